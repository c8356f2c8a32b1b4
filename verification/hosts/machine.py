"""A booted host: an emulated machine that ends with this process, and ssh into it.

QEMU is started by the emulator tree's own dynamic loader, so that nothing has to be mounted. The disk is read-only:
what the host writes goes into a file without a name. The network reaches only this machine's ssh client.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import socket
import subprocess
import tempfile
import time
from typing import TYPE_CHECKING, NamedTuple

from isobench.core.errors import BuildError
from verification.hosts import foreign
from verification.hosts.architecture import ARCHITECTURES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from verification.hosts.host import Host

CPUS, MEMORY = 2, "8G"
BOOT = 1200.0
"""Seconds until ssh answers; 80 s on two idle CPUs."""
_CGROUPS = """\
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then echo cgroup version 2
elif [ -e /sys/fs/cgroup/unified/cgroup.procs ]; then echo 'cgroup version 1 with a tree of version 2'
else echo cgroup version 1; fi"""


class Done(NamedTuple):
    """A command's output and exit code; 124 if it ran out of time, 255 if ssh itself failed."""

    code: int
    out: str
    err: str
    seconds: float


class Machine:
    """Commands run as root in /srv/isobench."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path, key: Path, port: int) -> None:
        self._process, self.folder, self._key, self._port = process, folder, key, port

    def ssh(self, *options: str) -> list[str]:
        """The ssh command line, to which a command is appended."""
        fixed = [
            "BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR",
            "ConnectTimeout=30", "IdentitiesOnly=yes", "PasswordAuthentication=no",
        ]  # fmt: skip
        words = [word for option in fixed for word in ("-o", option)]
        return ["ssh", "-F", "none", "-i", str(self._key), "-p", str(self._port), *words, *options, "root@127.0.0.1"]

    def run(self, command: str, seconds: float, *, stdin: bytes = b"") -> Done:
        """Run one shell command, and end it after `seconds`."""
        inside = f"cd /srv/isobench 2> /dev/null; timeout --kill-after=60 {seconds:.0f} sh -c {shlex.quote(command)}"
        began = time.monotonic()
        try:
            done = subprocess.run(
                [*self.ssh(), inside], input=stdin, capture_output=True, check=False, timeout=seconds + 120
            )
        except subprocess.TimeoutExpired as late:
            return Done(124, _text(late.stdout), _text(late.stderr), time.monotonic() - began)
        return Done(done.returncode, _text(done.stdout), _text(done.stderr), time.monotonic() - began)

    def lay_in(self, tree: bytes, *, is_fresh: bool = False) -> None:
        """Unpack a tar archive into /srv/isobench, and install it there unless the host is fresh. Raises
        `BuildError`."""
        install = "/opt/isobench-python/bin/pip install --quiet --no-index --no-deps --no-build-isolation --editable ."
        if is_fresh:
            install = "true"
        done = self.run(f"mkdir -p /srv/isobench; cd /srv/isobench; tar -x; {install}", 900, stdin=tree)
        if done.code != 0:
            raise BuildError(f"isobench cannot be installed in the host: {(done.err or done.out).strip()[-500:]}")

    def lay_in_cache(self) -> None:
        """Unpack the second disk into the host's cache. Raises `BuildError`."""
        built = "/var/cache/isobench/built"
        done = self.run(f"install -d -m 711 /var/cache/isobench {built} && tar -xf /dev/vdb -C {built}", 900)
        if done.code != 0:
            raise BuildError(f"root file systems cannot be laid in: {done.err.strip()[-300:]}")

    def fetch(self, names: str) -> None:
        """Copy folders of /srv/isobench into ours. Raises `BuildError`."""
        pack = f"cd /srv/isobench; tar -cz $(ls -d {names} 2> /dev/null)"
        unpack = ("tar", "-xz", "--no-same-owner", "--no-same-permissions", "-C", str(self.folder))
        with subprocess.Popen([*self.ssh(), pack], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as packing:
            done = subprocess.run(unpack, stdin=packing.stdout, capture_output=True, text=True, check=False)
        if packing.returncode != 0 or done.returncode != 0:
            raise BuildError(f"the host's results cannot be fetched: {done.stderr.strip()[-300:]}")

    def wait(self, deadline: float = BOOT) -> float:
        """Wait until systemd has started everything; returns the seconds. Raises `BuildError` with the end of the
        console."""
        began = time.monotonic()
        while time.monotonic() - began < deadline:
            if self._process.poll() is not None:
                raise BuildError(f"QEMU ended while the host booted: {self._console()}")
            if self.run("systemctl is-system-running --wait", 300).out.strip() in ("running", "degraded"):
                return time.monotonic() - began
            time.sleep(2)
        raise BuildError(f"the host did not answer within {deadline:.0f} s: {self._console()}")

    def facts(self) -> str:
        """The host's kernel, cgroup version, security modules, and versions of its engines."""
        asked = (
            "uname -r", "systemctl is-system-running", _CGROUPS, "cat /sys/kernel/security/lsm; echo",
            'mode=$(getenforce 2> /dev/null) && echo "SELinux $mode, $(id --context)"',  # its label: a policy is loaded
            "cat /sys/module/kvm_amd/parameters/npt 2> /dev/null | sed 's/^/nested paging /'",
            "dockerd --version | cut -d, -f1", "libvirtd --version", "qemu-system-$(uname -m) --version | head -1",
        )  # fmt: skip
        return ", ".join(self.run("; ".join(asked), 300).out.split("\n")).strip(", ")

    def reboot(self) -> None:
        """Reboot, and wait until the host is up again. Raises `BuildError`."""
        before = self._boot_id()
        self.run("systemctl --no-block reboot", 60)
        deadline = time.monotonic() + BOOT
        while self._boot_id() in (before, ""):
            if time.monotonic() > deadline:
                raise BuildError(f"the host did not come back from a reboot: {self._console()}")
            time.sleep(2)
        self.wait()

    def _boot_id(self) -> str:
        return self.run("cat /proc/sys/kernel/random/boot_id", 60).out.strip()

    def off(self) -> bool:
        """Power off; returns whether the host did so by itself."""
        self.run("systemctl --no-block poweroff", 60)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(300)
            return True
        return False

    def _console(self) -> str:
        text = (self.folder / "console.log").read_text(errors="replace") if self.folder.exists() else ""
        return " / ".join(text.splitlines()[-3:]) or "it said nothing"


@contextlib.contextmanager
def booted(host: Host, image: Path, emulator: Path, folder: Path, entries: Sequence[Path] = ()) -> Iterator[Machine]:
    """A host that can be reached by ssh. Its console and fetched files go to `folder`.

    `entries` of this machine's cache are on a second disk, as an archive: the host reaches no mirror to make them, and
    ssh would take minutes, as its ciphers are emulated, too. Raises `BuildError`.
    """
    port = _free_port()
    with tempfile.TemporaryFile(dir=folder) as disk, open(folder / "console.log", "wb") as console:
        more = []
        if entries:
            _pack(entries, disk.fileno())
            more = ["-drive", f"file=/proc/self/fd/{disk.fileno()},if=virtio,format=raw,readonly=on"]
        process = subprocess.Popen(
            [*_qemu(host, emulator), *_devices(host, image, port), *more], pass_fds=(disk.fileno(),),
            stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT, cwd=folder,
            env=_environ(emulator, folder),
        )  # fmt: skip
        try:
            machine = Machine(process, folder, image / "key", port)
            machine.wait()
            yield machine
        finally:
            process.kill()
            process.wait()


def _pack(entries: Sequence[Path], file: int) -> None:
    names = ["CACHEDIR.TAG", *(one.name for one in entries)]
    pack = ["tar", "-c", "--owner=0", "--group=0", "-C", str(entries[0].parent), *names]
    done = subprocess.run(pack, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.PIPE, text=True, check=False)
    used_meanwhile = 1  # a run noted its use of an entry: the host's own isobench verifies what it gets
    if done.returncode not in (0, used_meanwhile):
        raise BuildError(f"root file systems cannot be packed: {done.stderr.strip()[-300:]}")


def configure(host: Host, image: Path, emulator: Path) -> None:
    """Let a disk of another architecture configure its packages (verification/hosts/foreign.py). Raises
    `BuildError`."""
    devices = _devices(host, image, _free_port(), "init=/lay/second-stage", "panic=-1")
    kept = ["-no-reboot", *(word.replace("snapshot=on,", "") for word in devices)]
    foreign.configure([*_qemu(host, emulator), *kept], image, _environ(emulator, image))


def _environ(emulator: Path, folder: Path) -> dict[str, str]:
    return {**os.environ, "QEMU_MODULE_DIR": str(emulator / "usr/lib/x86_64-linux-gnu/qemu"), "TMPDIR": str(folder)}


def _qemu(host: Host, emulator: Path) -> list[str]:
    libraries = emulator / "usr/lib/x86_64-linux-gnu"
    loader = emulator / "usr/lib64/ld-linux-x86-64.so.2"
    firmware = [word for name in ("qemu", "seabios") for word in ("-L", str(emulator / "usr/share" / name))]
    dies_with_us = ("setpriv", "--pdeathsig", "KILL")
    return [
        *dies_with_us,
        str(loader),
        "--library-path",
        str(libraries),
        str(emulator / "usr/bin" / ARCHITECTURES[host.architecture].program),
        *firmware,
    ]


def _devices(host: Host, image: Path, port: int, *more: str) -> list[str]:
    here = ARCHITECTURES[host.architecture]
    words = " ".join(("root=/dev/vda", "rw", f"console={here.console}", "systemd.show_status=1", *host.kernel, *more))
    return [
        "-nodefaults", "-no-user-config", "-display", "none", "-vga", "none", "-serial", "stdio",
        *here.machine, "-accel", "tcg,thread=multi,tb-size=1024",
        "-smp", str(CPUS), "-m", MEMORY,
        "-kernel", str(image / "vmlinuz"), "-initrd", str(image / "initrd"), "-append", words,
        "-drive", f"file={image / 'disk.raw'},if=virtio,format=raw,snapshot=on,cache=unsafe,aio=threads",
        "-netdev", f"user,id=n,restrict={'off' if host.is_fresh else 'on'},hostfwd=tcp:127.0.0.1:{port}-:22",
        "-device", "virtio-net-pci,netdev=n,romfile=", "-device", "virtio-rng-pci",
    ]  # fmt: skip


def _text(said: bytes | None) -> str:
    return (said or b"").decode(errors="replace")


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
