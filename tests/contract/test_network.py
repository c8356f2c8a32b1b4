"""Network paths: each is the path of its name, carries all four operations, and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import pytest

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
