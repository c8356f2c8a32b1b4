"""A private dockerd leaves the host's network as it was, also when its session was killed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

pytestmark = [pytest.mark.docker, pytest.mark.tool("iptables"), pytest.mark.tool("nsenter")]

ROOT = Path(__file__).parents[2]
SESSION = """
import sys
from pathlib import Path
from bench.daemons import docker
daemon = docker.start(Path(sys.argv[1]))
print("up", flush=True)
sys.stdin.read()
daemon.stop()
"""
BEFORE = (
    "iptables -P FORWARD DROP",
    "iptables -A FORWARD -s 172.17.9.9/32 -j ACCEPT",
    "iptables -t nat -A POSTROUTING -s 172.17.0.5/32 -j MASQUERADE",
    "iptables -N DOCKER",
    "iptables -A DOCKER -s 10.1.2.3/32 -j DROP",
    "ip6tables -A INPUT -s fd00::1/128 -j DROP",
)
"""Somebody else's: what looks like dockerd's, and a chain that dockerd empties when it starts."""


class Network:
    """A network namespace, and a mount namespace, of this test's own."""

    def __init__(self, pid: int, folder: Path) -> None:
        self.enter = ("nsenter", f"--target={pid}", "--net", "--mount")
        self.state = folder / "daemons" / "docker"
        self.environ = {**os.environ, "PYTHONPATH": str(ROOT), "ISOBENCH_STATE": str(folder)}

    def said(self, command: str) -> str:
        done = subprocess.run(
            [*self.enter, *command.split()], check=True, capture_output=True, text=True, env=self.environ
        )
        return done.stdout

    def looks(self) -> list[str]:
        """All rules, chains and policies without counters, interfaces, forwarding."""
        rules = (self.said("iptables-save") + self.said("ip6tables-save")).splitlines()
        told = [line.partition(" [")[0] for line in rules if line.startswith(("-A", ":"))]
        empty = {line for line in told if line.startswith(":") and line.endswith(" ACCEPT")}  # a table that was listed
        names = [one["ifname"] for one in json.loads(self.said("ip -json link show"))]
        return [*(line for line in told if line not in empty), *names, self.said("cat /proc/sys/net/ipv4/ip_forward")]

    @contextmanager
    def session(self) -> Iterator[subprocess.Popen[bytes]]:
        """A living session with a private dockerd, ended in order unless it was killed."""
        command = [*self.enter, sys.executable, "-c", SESSION, str(self.state)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=self.environ) as process:
            assert process.stdin is not None and process.stdout is not None
            assert process.stdout.readline() == b"up\n"
            yield process
            with suppress(BrokenPipeError):
                process.stdin.close()
            process.wait(60)


@pytest.fixture
def network() -> Iterator[Network]:
    folder = Path(tempfile.mkdtemp(prefix="net", dir="/var/tmp"))  # containerd wants a short path for its socket
    command = ["unshare", "--net", "--mount", "sh", "-c", "ip link set lo up && echo up && exec sleep 600"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"up\n"
        try:
            found = Network(process.pid, folder)
            for line in BEFORE:
                found.said(line)
            yield found
        finally:
            process.kill()
    shutil.rmtree(folder)


def test_the_network_is_as_it_was(network: Network) -> None:
    """After an orderly end; after SIGKILL and another session; after SIGKILL and `isobench clean`."""
    before = network.looks()
    assert ":FORWARD DROP" in before
    with network.session():
        assert "docker0" in network.looks()
        (kept,) = network.state.glob("network-*.json")
        assert kept.stat().st_mode & 0o777 == 0o600
        assert "nothing to clean" in network.said(f"{sys.executable} -m bench clean")
        network.said("iptables -I FORWARD -d 172.17.0.0/16 -j REJECT")  # somebody else's, made meanwhile
    during = [line for line in network.looks() if "REJECT" not in line]
    assert during == before and len(network.looks()) == len(before) + 1 and not kept.exists()
    network.said("iptables -D FORWARD 1")

    with network.session() as session:
        session.kill()
    assert "docker0" in network.looks()
    with network.session():
        pass
    assert network.looks() == before and not kept.exists()

    with network.session() as session:
        session.kill()
    clean = f"{sys.executable} -m bench clean"
    assert "would put the host's network back" in network.said(f"{clean} --dry-run") and "docker0" in network.looks()
    assert "the host's network" in network.said(clean)
    assert network.looks() == before and not kept.exists()
    assert network.said(clean) == "nothing to clean\n"
