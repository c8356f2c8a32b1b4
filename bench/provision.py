"""Installs what is missing (Debian, Ubuntu).

Only the standard library and what imports no SDK: it runs before those are installed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bench.errors import BuildError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable


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

TEST_NEEDS = (
    Need("chromium", _command("chromium")),
    Need("chromium-driver", _command("chromedriver")),
    Need("hyperfine", _command("hyperfine")),
    Need("linux-perf", _command("perf")),
    Need("iperf3", _command("iperf3")),
    Need("crun", _command("crun")),
    Need("podman", _command("podman")),
    Need("bubblewrap", _command("bwrap")),
    Need("systemd-container", _command("systemd-nspawn")),
    Need("lxc", _command("lxc-start")),
    Need("runsc", _command("runsc")),
    Need("mmdebstrap", _command("mmdebstrap")),
    Need("extlinux", _command("extlinux")),
    Need("fdisk", _command("sfdisk")),
    Need("busybox-static", _command("busybox")),
    Need("cpio", _command("cpio")),
)
"""What only the tests use: a browser for the page, independent tools to check figures against, and the runtimes and
the Debian image that a plain run does without."""


def missing(*, for_tests: bool = False) -> list[str]:
    """The packages whose purpose nothing on this host serves yet."""
    return [need.package for need in (*NEEDS, *(TEST_NEEDS if for_tests else ())) if not need.present()]


def provision(*, dry_run: bool = False, for_tests: bool = False) -> list[str]:
    """Install what is missing and fetch a kernel for guests where the host's own cannot be read.

    Says what it does before it does it, changes nothing else, and nothing at all with `dry_run`. Gives the lines it
    said. Raises `UsageError` without root or apt, `BuildError` when an installation fails.
    """
    from bench.images.kernel import fetch_guest_kernel, has_guest_kernel

    packages = missing(for_tests=for_tests)
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
