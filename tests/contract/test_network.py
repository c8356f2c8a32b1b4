"""Network paths: each is the path of its name, carries all four operations, and leaves nothing behind."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from isobench.contracts.answers import first_answer
from isobench.contracts.capabilities import HasAddress
from isobench.contracts.launch import idle, working
from isobench.environments.libvirt._network import bridge_name, sweep
from isobench.filesystem.paths import RUN_PREFIX
from isobench.lifecycle.workspace import new_run_id
from isobench.scenarios.net import Net
from tests.contract.opening import GUEST, opened

HOST = {"host-tcp", "host-udp", "host-connect", "host-mib"}


@pytest.mark.root
@pytest.mark.docker
def test_a_published_port_is_the_only_path() -> None:
    """The server answers with its token behind the published port; the two proxies count as helpers."""
    with opened("docker-published") as sandbox:
        with sandbox.launch(idle()) as instance:
            helpers = [pid for pid, role in instance.host_pids().items() if role == "helper"]
            commands = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in helpers]
            assert sum(b"docker-proxy" in command for command in commands) == 2
            instance.wait()
        assert Net().facts(sandbox)["path"] == "a port published on the host's loopback"
        assert {name for name in Net().measure(sandbox) if name.startswith("host-")} == HOST


@pytest.mark.root
@pytest.mark.libvirt
def test_a_guest_is_reached_through_qemus_user_network() -> None:
    """The guest's own server answers behind the forwarded ports, with the guest's address and no other path."""
    with opened(f"{GUEST}-user") as sandbox:
        facts = sandbox.facts()
        assert "hostfwd=udp:127.0.0.1:" in facts["domain"]
        assert not facts["storage"] and not facts["domain.disk"]
        with sandbox.launch(working("net", "server", "7001", timeout=60)) as instance:
            assert first_answer(instance.stdout)["addresses"] == ["10.0.2.15"]
            instance.wait()
        assert {name for name in Net().measure(sandbox) if name.startswith("host-")} == HOST


@pytest.mark.root
@pytest.mark.libvirt
def test_a_guest_is_reached_through_a_tap_on_a_bridge() -> None:
    """The guest's own server answers at the address given to it; the bridge goes with the sandbox, and no other."""
    before = _bridges()
    with opened(f"{GUEST}-tap") as sandbox:
        (bridge,) = _bridges() - before
        assert len(bridge) <= 15 and "BRIDGE" in sandbox.facts()["domain"]
        with sandbox.launch(working("net", "server", timeout=60)) as instance:
            (address,) = first_answer(instance.stdout)["addresses"]
            assert isinstance(instance, HasAddress) and address == instance.address and address.startswith("10.213.")
            assert len(list(Path(f"/sys/class/net/{bridge}/brif").iterdir())) == 1
            instance.wait()
        assert {name for name in Net().measure(sandbox) if name.startswith("host-")} == HOST
    assert _bridges() == before


@pytest.mark.root
def test_a_dead_runs_bridge_is_swept_and_a_similar_one_is_not() -> None:
    """Found by its name alone, without a record; a bridge that another run might have made stays."""
    run = f"{RUN_PREFIX}{new_run_id()}"
    ours = bridge_name(run, "tcg-tap")
    decoy = ours[:-1] + ("0" if ours[-1] != "0" else "1")
    try:
        for name in (ours, decoy):
            subprocess.run(["ip", "link", "add", name, "type", "bridge"], check=True)
        assert sweep(run, ["tcg-tap"]) == [f"bridge {ours}"] and sweep(run, ["tcg-tap"]) == []
        assert ours not in _bridges() and decoy in _bridges()
    finally:
        for name in {ours, decoy} & _bridges():
            subprocess.run(["ip", "link", "delete", name], check=True)


def _bridges() -> set[str]:
    return {folder.parent.name for folder in Path("/sys/class/net").glob("*/bridge")}
