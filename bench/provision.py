"""Installs what is missing (Debian, Ubuntu) and starts private daemons where no init system runs any.

Only the standard library and what imports no SDK: it runs before those are installed.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bench.errors import BuildError, IsobenchError, UsageError
from bench.paths import state_dir

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.daemons import Daemon


class Need(NamedTuple):
    """A Debian package and how to see, without asking the package manager, that what it is for is there."""

    package: str
    present: Callable[[], bool]


def _command(name: str) -> Callable[[], bool]:
    return lambda: shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") is not None


def _file(*paths: str) -> Callable[[], bool]:
    return lambda: any(Path(path).exists() for path in paths)


NEEDS = (
    Need("gcc", _command("cc")),
    Need("libc6-dev", _file("/usr/lib/x86_64-linux-gnu/libc.a", "/usr/lib/aarch64-linux-gnu/libc.a")),
    Need("python3-dev", lambda: _python_headers().exists()),
    Need("pkg-config", _command("pkg-config")),
    Need("docker.io", _command("dockerd")),
    Need("iptables", _command("iptables")),
    Need("runc", _command("runc")),
    Need("libvirt-daemon-system", _command("libvirtd")),
    Need("libvirt-dev", lambda: _pkg_config("libvirt")),
    Need("qemu-system-x86", _command("qemu-system-x86_64")),
    Need("seabios", _file("/usr/share/seabios/bios.bin", "/usr/share/qemu/bios.bin")),
    Need("ipxe-qemu", _file("/usr/lib/ipxe/qemu/pxe-virtio.rom", "/usr/lib/ipxe/qemu/efi-virtio.rom")),
    Need("qemu-utils", _command("qemu-img")),
    Need("fio", _command("fio")),
    Need("e2fsprogs", _command("mke2fs")),
    Need("iproute2", _command("ip")),
    Need("kmod", _command("depmod")),
)
"""Everything a full run uses, in the order of installation."""


def missing() -> list[str]:
    """The packages whose purpose nothing on this host serves yet."""
    return [need.package for need in NEEDS if not need.present()]


def provision(*, dry_run: bool = False) -> list[str]:
    """Install what is missing and fetch a kernel for guests where the host's own cannot be read.

    Says what it does before it does it, changes nothing else, and nothing at all with `dry_run`. Gives the lines it
    said. Raises `UsageError` without root or apt, `BuildError` when an installation fails.
    """
    from bench.images.kernel import fetch_guest_kernel, has_guest_kernel

    packages = missing()
    lines = [f"install {package}" for package in packages]
    if not has_guest_kernel():
        lines.append("fetch a kernel for guests (unpacked into the cache, not installed)")
    for line in lines or ["nothing is missing"]:
        print(f"provision: {line}", file=sys.stderr, flush=True)
    if dry_run or not lines:
        return lines
    if os.geteuid() != 0:
        raise UsageError("provisioning installs packages and needs root", remedy="run it with sudo")
    if shutil.which("apt-get") is None:
        raise UsageError("provisioning knows Debian and Ubuntu; apt-get is not there", remedy="install these yourself")
    _apt("update")
    if packages:
        _apt("install", "--yes", "--no-install-recommends", *packages)
    fetch_guest_kernel()
    return lines


@contextmanager
def daemons() -> Iterator[None]:
    """Private Docker and libvirt daemons for the time of the block, where no init system runs and none answers.

    Their addresses are passed on in DOCKER_HOST and ISOBENCH_LIBVIRT_URI. One that does not start is named on
    standard error; the rest is measured.
    """
    from bench.daemons import docker, libvirt

    wanted: list[tuple[str, str, str, Callable[[Path], Daemon]]] = []
    if os.geteuid() == 0 and not has_init():
        wanted.append(("docker", "DOCKER_HOST", "/var/run/docker.sock", docker.start))
        wanted.append(("libvirt", "ISOBENCH_LIBVIRT_URI", "/var/run/libvirt/libvirt-sock", libvirt.start))
    before = dict(os.environ)
    with ExitStack() as stack:
        for name, variable, usual, start in wanted:
            if variable in os.environ or _answers(usual):
                continue
            try:
                daemon = start(daemon_state() / name)
            except IsobenchError as error:
                print(f"provision: {name}: {error.reason}", file=sys.stderr)
                continue
            stack.callback(daemon.stop)
            os.environ[variable] = daemon.address
        try:
            yield
        finally:
            for _, variable, _, _ in wanted:
                if variable not in before:
                    os.environ.pop(variable, None)


def daemon_state() -> Path:
    """Where private daemons keep what they keep: on a real disk, for an overlay needs one."""
    if "ISOBENCH_STATE" in os.environ:
        return state_dir() / "daemons"
    return Path("/var/lib/isobench")


def has_init() -> bool:
    """Whether an init system runs that would start daemons."""
    return Path("/run/systemd/system").is_dir() or Path("/run/openrc").is_dir()


def _answers(path: str) -> bool:
    with suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(path)
        return True
    return False


def _python_headers() -> Path:
    import sysconfig

    return Path(sysconfig.get_paths()["include"]) / "Python.h"


def _pkg_config(name: str) -> bool:
    if shutil.which("pkg-config") is None:
        return False
    return subprocess.run(["pkg-config", "--exists", name], check=False).returncode == 0


def _apt(*words: str) -> None:
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        ["apt-get", "-qq", *words], env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise BuildError(f"apt-get {words[0]} failed: {(done.stderr or done.stdout).strip()[-800:]}")
