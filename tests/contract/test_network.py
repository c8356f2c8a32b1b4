"""Network paths: each is the path of its name, carries all four operations, and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.answers import first_answer
from scenarios.net import Net
from tests.contract.opening import opened

HOST = {"host-tcp", "host-udp", "host-connect", "host-mib"}


@pytest.mark.root
@pytest.mark.docker
def test_a_published_port_is_the_only_path() -> None:
    """The server answers with its token behind the published port; the two proxies count as helpers."""
    with opened("docker-published") as sandbox:
        with sandbox.launch("ready") as instance:
            helpers = [pid for pid, role in instance.host_pids().items() if role == "helper"]
            commands = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in helpers]
            assert sum(b"docker-proxy" in command for command in commands) == 2
            instance.wait()
        assert Net().circumstances(sandbox)["path"] == "a port published on the host's loopback"
        assert {name for name in Net().measure(sandbox) if name.startswith("host-")} == HOST


@pytest.mark.root
@pytest.mark.libvirt
def test_a_guest_is_reached_through_qemus_user_network() -> None:
    """The guest's own server answers behind the forwarded ports, with the guest's address and no other path."""
    with opened("tcg-user") as sandbox:
        assert "hostfwd=udp:127.0.0.1:" in sandbox.facts()["domain"]
        with sandbox.launch("net", "server", "7001", timeout=60) as instance:
            assert first_answer(instance.stdout)["addresses"] == ["10.0.2.15"]
            instance.wait()
        assert {name for name in Net().measure(sandbox) if name.startswith("host-")} == HOST
