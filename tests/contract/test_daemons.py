"""A private dockerd leaves the host's network as it was, also when its session was killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from copy import copy
from pathlib import Path

import pytest

from isobench.core import deadlines
from isobench.daemons.private import has_init
from isobench.environments.docker._drivers import engine_version
from isobench.probe.build import probe_path
from isobench.processes.accounting import process_name

pytestmark = [pytest.mark.docker, pytest.mark.tool("iptables"), pytest.mark.tool("nsenter")]

ROOT = Path(__file__).parents[2]
SESSION = """
import sys
from pathlib import Path
from isobench.daemons import docker
from tests.contract.opening import learn_this_host
learn_this_host()
daemon = docker.start(Path(sys.argv[1]))
print("up", flush=True)
sys.stdin.read()
daemon.stop()
"""
BLOCK = """
import signal, sys
from isobench.core.signals import ENDING, ignore
from tests.contract.opening import learn_this_host
learn_this_host()
from isobench.daemons.private import private_daemons
for number in ENDING:
    signal.signal(number, lambda number, frame: sys.exit(130))
try:
    with private_daemons():
        print("up", flush=True)
        sys.stdin.read()
except KeyboardInterrupt:
    raise SystemExit(130)
finally:
    ignore()
"""
CLEAN = """
import sys
from pathlib import Path
from isobench.daemons import docker
docker.clean(Path(sys.argv[1]))
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


ENGINES = ("DOCKER_HOST", "ISOBENCH_LIBVIRT_URI")


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

    def start(self, code: str, *words: str) -> subprocess.Popen[bytes]:
        """A session, on its way."""
        command = [*self.enter, sys.executable, "-c", code, *words]
        environ = {name: value for name, value in self.environ.items() if name not in ENGINES}
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ)

    def daemons(self) -> list[int]:
        """What runs of this state, found without asking isobench."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                words = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
                if state != "Z" and f"{self.state.parent}/".encode() in words:
                    found.append(int(entry.name))
        return found

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
            process.wait(deadlines.stretched(60))


@pytest.fixture
def network() -> Iterator[Network]:
    folder = Path(tempfile.mkdtemp(prefix="net", dir="/var/tmp"))  # containerd wants a short path for its socket
    hidden = "mount -t tmpfs run /run"  # nobody's engines are to be seen
    lasting = f"exec sleep {deadlines.stretched(1800):.0f}"
    command = ["unshare", "--net", "--mount", "sh", "-c", f"ip link set lo up && {hidden} && echo up && {lasting}"]
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
        assert "nothing to clean" in network.said(f"{sys.executable} -m isobench clean")
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
    clean = f"{sys.executable} -m isobench clean"
    assert "would restore the host's network" in network.said(f"{clean} --dry-run") and "docker0" in network.looks()
    assert "the host's network" in network.said(clean)
    assert network.looks() == before and not kept.exists()
    assert network.said(clean) == "nothing to clean\n"


@pytest.mark.parametrize("first_to_end", ["older", "younger"])
@pytest.mark.parametrize("is_killed", [False, True])
def test_two_sessions_in_one_network(network: Network, first_to_end: str, is_killed: bool) -> None:
    """Whoever ends first leaves the other's bridge, chains and forwarding; the last restores what was before both."""
    before = network.looks()
    other = copy(network)
    other.state = network.state.parent / "other" / "docker"
    with ExitStack() as older, ExitStack() as younger:
        ending, lasting = (older, younger) if first_to_end == "older" else (younger, older)
        processes = {id(older): older.enter_context(network.session())}
        if first_to_end == "younger":  # a port of the older one's: the younger one empties that chain when it starts
            network.said("iptables -A DOCKER -p tcp --dport 4242 -j RETURN")
        during = network.looks()
        processes[id(younger)] = younger.enter_context(other.session())
        if is_killed:
            processes[id(ending)].kill()
        ending.close()
        if is_killed:
            states = {id(older): network.state, id(younger): other.state}
            network.start(CLEAN, str(states[id(ending)])).wait(deadlines.stretched(120))
        assert network.looks() == during
        lasting.close()
    assert network.looks() == before
    for state in (network.state, other.state):
        assert list(state.glob("*network-*.json")) == []


@pytest.mark.skipif(has_init(), reason="where an init system runs, no private daemon is started")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_they_start(network: Network, number: int) -> None:
    """However far they have come: nothing runs on, and the host is as it was."""
    before = network.looks()
    for seen in ("network-*.json", "run/docker.pid", "run/docker.sock"):
        with network.start(BLOCK) as process:
            deadline = time.monotonic() + deadlines.stretched(120)
            while not list(network.state.glob(seen)) and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.01)
            process.send_signal(number)
            time.sleep(0.05)
            process.send_signal(number)
            assert process.wait(deadlines.stretched(120)) == 130
        assert network.daemons() == [] and network.looks() == before
        assert list(network.state.glob("network-*.json")) == []


@pytest.mark.skipif(has_init(), reason="where an init system runs, no private daemon is started")
@pytest.mark.tool("libvirtd")
def test_orphans_of_a_killed_session(network: Network) -> None:
    """Also where their guards were killed as well, and libvirtd hangs: the next session, and `clean`, end them."""
    before = network.looks()
    for following in ("session", "clean"):
        with network.start(BLOCK) as process:
            assert process.stdout is not None and process.stdout.readline() == b"up\n"
            living = network.daemons()
            names = {pid: process_name(pid) for pid in living}
            assert {"dockerd", "containerd", "libvirtd"} <= set(names.values())
            for pid in (pid for pid, name in names.items() if name == "libvirtd"):
                os.kill(pid, signal.SIGSTOP)
            process.kill()
            killed = {"probe"} if following == "session" else {"probe", "dockerd"}  # one is told to end, and ends
            for pid in (pid for pid, name in names.items() if name in killed):
                with suppress(ProcessLookupError):  # it has been told to end, and was quick
                    os.kill(pid, signal.SIGKILL)
        assert network.daemons() != []
        if following == "session":
            with network.start(BLOCK) as after:
                assert after.stdout is not None and after.stdout.readline() == b"up\n"
                assert not set(living) & set(network.daemons())
                after.send_signal(signal.SIGTERM)
                assert after.wait(deadlines.stretched(120)) == 130
        else:
            assert (network.state / "data").is_dir()
            assert "libvirtd" in network.said(f"{sys.executable} -m isobench clean")
            assert not (network.state / "data").exists()  # it has what was half made
            assert network.said(f"{sys.executable} -m isobench clean") == "nothing to clean\n"
        assert network.daemons() == [] and network.looks() == before


@pytest.mark.tool("docker")
@pytest.mark.parametrize("following", ["session", "clean"])
def test_what_containers_in_the_making_leave(network: Network, following: str) -> None:
    """dockerd is killed while it makes some: its pairs of interfaces go, also those of which no end is in a container
    yet; somebody else's stay, whether they have the same form of name or are on the same bridge."""
    network.said("ip link add veth00000a1 type veth peer name veth00000a2")
    before = network.looks()
    with network.session() as session:
        network.said("ip link add veth-mine type veth peer name veth-yours")
        network.said("ip link set veth-yours master docker0")
        pid = int((network.state / "run/docker.pid").read_text())
        docker = f"docker --host unix://{network.state}/run/docker.sock"
        image = f"tar -C {probe_path().parent} -c {probe_path().name} | {docker} import - one"
        subprocess.run(image, shell=True, check=True, capture_output=True)
        run = [*docker.split(), "run", "--interactive", "one", f"/{probe_path().name}", "ready"]
        none = subprocess.DEVNULL
        makers: list[subprocess.Popen[bytes]] = []
        deadline = time.monotonic() + deadlines.stretched(120)
        while not _is_stopped_in_the_making(network, pid, len(makers)) and time.monotonic() < deadline:
            if len(_pairs(network)) == len(makers):  # none yet, or each of them was made while nobody looked
                makers += [subprocess.Popen(run, stdin=subprocess.PIPE, stdout=none, stderr=none) for _ in "123"]
        os.kill(pid, signal.SIGKILL)
        session.kill()
        for maker in makers:
            maker.communicate(timeout=deadlines.stretched(60))
    assert _half_made(network) or (_pairs(network) and engine_version() >= AT_ONCE)
    if following == "clean":
        assert "the host's network" in network.said(f"{sys.executable} -m isobench clean")
    else:
        with network.session():
            pass
    network.said("ip link delete veth-mine")
    assert network.looks() == before


AT_ONCE = 28
"""Since this version, dockerd makes the other end of a pair in the container, when that has got so far as to have a
program."""


def _is_stopped_in_the_making(network: Network, pid: int, makers: int) -> bool:
    """Whether dockerd, which stands still while it is looked at and goes on otherwise, has half made a pair; since that
    version, whether it has made all."""
    os.kill(pid, signal.SIGSTOP)
    if _half_made(network) or (makers and len(_pairs(network)) == makers and engine_version() >= AT_ONCE):
        return True
    os.kill(pid, signal.SIGCONT)
    time.sleep(0.005)
    return False


def _half_made(network: Network) -> bool:
    """Whether a pair of dockerd's has both its ends outside of containers."""
    return any("link" in one for one in _pairs(network))


def _pairs(network: Network) -> list[dict[str, object]]:
    """The ends that dockerd has put on its bridge."""
    told = json.loads(network.said("ip -json link show type veth"))
    return [one for one in told if one.get("master") == "docker0" and one["ifname"] != "veth-yours"]
