"""Engines for the faults only: dockerd and libvirtd, which can be killed and restarted, and their instances."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from isobench.processes.programs import find

_COVERED = ("/run/libvirt", "/var/lib/libvirt", "/var/cache/libvirt", "/var/log/libvirt", "/etc/libvirt")
_QEMU = 'user = "root"\ngroup = "root"\ndynamic_ownership = 0\nsecurity_driver = "none"\nstdio_handler = "file"\n'
_QEMU += "remember_owner = 0\nnamespaces = []\n"


class Engine:
    """One daemon. No guard cleans up after it: what it leaves when it is killed stays, as on a host with systemd."""

    def __init__(self, command: list[str], path: Path, log: Path) -> None:
        self.command = command
        self.path = path
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            with suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(5)
                connection.connect(str(self.path))
                connection.sendall(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
                if "libvirt" in str(self.path) or b"200 OK" in connection.recv(256):
                    return
            time.sleep(0.1)
        raise RuntimeError(f"{self.command[0]} did not start: {self._log.read_text(errors='replace')[-800:]}")

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End it with this signal and wait."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(number)
        try:
            self._process.wait(40)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def docker(state: Path) -> Engine:
    """dockerd with all its state under a folder."""
    (state / "run").mkdir(parents=True, mode=0o700)
    path = state / "run/docker.sock"
    dockerd = find("dockerd") or "dockerd"
    command = [dockerd, f"--data-root={state}/data", f"--exec-root={state}/run/exec", f"--pidfile={state}/run/pid"]
    command += [f"--host=unix://{path}", "--group=root", "--log-level=warn"]
    return Engine([*command, f"--cgroup-parent=/{cgroup_of(state.parent)}"], path, state / "log")


def cgroup_of(folder: Path) -> str:
    """The cgroup above those of all containers, by which the leftovers of a killed engine are found and removed."""
    return f"isobench-{folder.name}"


def libvirt(state: Path) -> Engine:
    """libvirtd; folders under `state` are mounted over its fixed ones, in the mount namespace of the faults."""
    for name in _COVERED:
        inner = state / name.lstrip("/")
        inner.mkdir(parents=True, mode=0o700)
        Path(name).mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "--bind", str(inner), name], check=True)
    sockets = state / "sockets"
    sockets.mkdir(mode=0o700)
    (state / "etc/libvirt/qemu.conf").write_text(_QEMU)
    (state / "libvirtd.conf").write_text(
        f'unix_sock_dir = "{sockets}"\nunix_sock_rw_perms = "0600"\nunix_sock_ro_perms = "0600"\n'
        'auth_unix_rw = "none"\nauth_unix_ro = "none"\nmdns_adv = 0\nlog_outputs = "3:stderr"\n'
    )
    libvirtd = find("libvirtd") or "libvirtd"
    command = [libvirtd, "-f", str(state / "libvirtd.conf"), "-p", str(state / "pid")]
    return Engine(command, sockets / "libvirt-sock", state / "log")


def pids_of(name: str, words: str = "") -> list[int]:
    """The processes of this name (as in comm, which the kernel cuts at 15 bytes) with these words in their command."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (entry / "comm").read_text().strip() == name[:15] and words in (entry / "cmdline").read_text():
                found.append(int(entry.name))
    return [pid for pid in found if pid != os.getpid()]
