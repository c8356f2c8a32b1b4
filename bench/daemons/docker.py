"""A private Docker Engine: dockerd with its own state, on a private socket."""

from __future__ import annotations

import shutil
import socket
import subprocess
from pathlib import Path

from bench import daemons
from bench.daemons import Daemon
from bench.errors import Unavailable
from bench.mounts import remove_tree, unmount_below

_BRIDGE = "docker0"
_FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")


def start(state: Path) -> Daemon:
    """Start dockerd with everything it keeps under `state` (0700). Raises `Unavailable`."""
    dockerd = shutil.which("dockerd")
    if dockerd is None:
        raise Unavailable("dockerd is not installed", remedy="apt-get install docker.io")
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    run = state / "run"
    run.mkdir(mode=0o700, exist_ok=True)
    socket_path = run / "docker.sock"
    for leftover in ("docker.pid", "docker.sock"):
        (run / leftover).unlink(missing_ok=True)
    command = [dockerd, f"--data-root={state}/data", f"--exec-root={run}/exec", f"--pidfile={run}/docker.pid"]
    command += [f"--host=unix://{socket_path}", "--group=root", "--log-level=warn", *_runtimes(state)]
    bridge_was_there = Path("/sys/class/net", _BRIDGE).exists()
    chains_were_there = _docker_chains()
    forwarding = _FORWARDING.read_text() if _FORWARDING.exists() else None

    def clean_up() -> None:
        if not bridge_was_there and Path("/sys/class/net", _BRIDGE).exists():
            subprocess.run(["ip", "link", "delete", _BRIDGE], check=False, capture_output=True)
        if not chains_were_there:
            _remove_chains()
            if forwarding is not None:
                _FORWARDING.write_text(forwarding)
        unmount_below(state)
        remove_tree(run)

    return daemons.start(
        "dockerd",
        command,
        log=state / "dockerd.log",
        address=f"unix://{socket_path}",
        answers=lambda: _answers(socket_path),
        after=clean_up,
    )


def _runtimes(state: Path) -> list[str]:
    """gVisor as a runtime where it is installed, with the options it needs to run on hosts without its own network."""
    runsc = shutil.which("runsc")
    if runsc is None:
        return []
    wrapper = state / "runsc-ptrace"
    wrapper.write_text(f'#!/bin/sh\nexec {runsc} --platform=ptrace --ignore-cgroups --network=none "$@"\n')
    wrapper.chmod(0o700)
    return [f"--add-runtime=runsc={wrapper}"]


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(str(path))
        connection.sendall(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
        return b"200 OK" in connection.recv(256)


def _docker_chains() -> bool:
    found = subprocess.run(["iptables-save"], check=False, capture_output=True, text=True) if _iptables() else None
    return bool(found and ":DOCKER" in found.stdout)


def _iptables() -> bool:
    return shutil.which("iptables-save") is not None


def _remove_chains() -> None:
    """Take out the rules, chains and policy that dockerd made; all of its rules name its chains or its bridge."""
    if not _iptables():
        return
    subprocess.run(["iptables", "-P", "FORWARD", "ACCEPT"], check=False, capture_output=True)
    for table in ("filter", "nat"):
        saved = subprocess.run(["iptables-save", "-t", table], check=False, capture_output=True, text=True).stdout
        ours = [line for line in saved.splitlines() if "DOCKER" in line or _BRIDGE in line or "172.17." in line]
        for line in ours:
            if line.startswith("-A "):
                subprocess.run(["iptables", "-t", table, "-D", *line.split()[1:]], check=False, capture_output=True)
        for line in ours:
            if line.startswith(":DOCKER"):
                chain = line[1:].split()[0]
                subprocess.run(["iptables", "-t", table, "-X", chain], check=False, capture_output=True)
