"""Detection of system dependencies, and those that every run has.

Detection does not use the package manager, so that other sources (an engine's own repository, /usr/local) count.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from isobench.contracts.mechanism import Need, Tool, command
from isobench.core import deadlines
from isobench.core.errors import MeasurementError
from isobench.processes.programs import find, output

if TYPE_CHECKING:
    from collections.abc import Callable


def library(name: str) -> Callable[[], bool]:
    def loads() -> bool:
        import ctypes  # slow

        with suppress(OSError):
            ctypes.CDLL(name)
            return True
        return False

    return loads


X86 = os.uname().machine == "x86_64"
QEMU = {"x86_64": "qemu-system-x86_64", "aarch64": "qemu-system-aarch64"}.get(os.uname().machine, "qemu-system-x86_64")


def _exists(path: str) -> bool:
    return os.access(path, os.F_OK)


def rom(*names: str) -> Callable[[], bool]:
    """Whether QEMU finds one of these firmware files in its search path."""
    return lambda: any(_exists(f"{folder}/{name}") for folder in _firmware_folders() for name in names)


def _firmware_folders() -> list[str]:
    usual = ["/usr/share/qemu", "/usr/share/seabios", "/usr/lib/ipxe/qemu"]
    qemu = find(QEMU)
    return [*usual, *(line for line in _said(qemu, "-L", "help").splitlines() if line.startswith("/"))]


def _said(program: str | None, *words: str) -> str:
    """What a program prints; nothing if it does not exist or fails."""
    with suppress(MeasurementError):
        return output([program, *words], deadlines.stretched(30)) if program else ""
    return ""


def _static_c_library() -> bool:
    """Whether the compiler finds libc.a: asked of the compiler, or else looked up in this machine's library folders."""
    said = _said(find("cc") or find("gcc"), "-print-file-name=libc.a")
    if said:
        return said.startswith("/")
    folders = (f"/usr/lib/{os.uname().machine}-linux-gnu", "/usr/lib64", "/usr/lib")
    return any(_exists(f"{folder}/libc.a") for folder in folders)


def python_headers() -> bool:
    """Whether the headers of this Python are where its build has put them (as sysconfig says, which is slow)."""
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}{sys.abiflags}"
    return _exists(f"{sys.base_prefix}/include/{version}/Python.h")


def libvirt_headers() -> bool:
    return bool(_said(find("pkg-config") or find("pkgconf"), "--modversion", "libvirt"))


VIRTIOFSD = ("/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd", "/usr/lib/virtiofsd", "/usr/libexec/qemu/virtiofsd")
"""Where distributions keep it outside PATH: its own package, QEMU's before version 8, Arch."""


def virtiofsd() -> str | None:
    """The path of the daemon that shares a folder of the host with a guest."""
    return find("virtiofsd") or next((path for path in VIRTIOFSD if _exists(path)), None)


def unpacks_modules() -> bool:
    """zstd, only if this kernel's modules are compressed with it."""
    modules = f"/lib/modules/{os.uname().release}/kernel"
    packed = (name for _, _, names in os.walk(modules) for name in names if name.endswith(".ko.zst"))
    return next(packed, None) is None or find("zstd") is not None


_EVERYTHING = "everything: the measured program is compiled here"

NEEDS: tuple[Need, ...] = (
    Need(("gcc",), command("cc", "gcc", "clang"), _EVERYTHING),
    Need(("libc6-dev",), _static_c_library, _EVERYTHING),
    Need(("fio",), command("fio"), "I/O"),
    Need(("mmdebstrap",), command("mmdebstrap"), "workloads made of Debian packages"),
    Need(("skopeo",), command("skopeo"), "images in a registry", everyday=False),
)
"""Dependencies of every run; those of a mechanism are part of its own record (`isobench.contracts.mechanism`)."""

TOOLS: tuple[Tool, ...] = (
    Tool("cc", ("gcc",)),
    Tool("fio", ("fio",)),
    Tool("mmdebstrap", ("mmdebstrap",)),
    Tool("hyperfine", ("hyperfine",)),
    Tool("perf", ("linux-perf", "linux-tools-generic")),
)
"""Programs that isobench or its checks start, whatever is measured."""

TEST_NEEDS: tuple[Need, ...] = (
    Need(("chromium",), command("chromium"), "the tests of the page"),
    Need(("chromium-driver",), command("chromedriver"), "the tests of the page"),
    Need(("hyperfine",), command("hyperfine"), "a check of Docker's startup"),
    Need(("docker-cli", "docker.io"), command("docker"), "a check of Docker's startup"),
    Need(("linux-perf", "linux-tools-generic"), command("perf"), "a check of system calls"),
    Need(("iperf3",), command("iperf3"), "a check of the network"),
    Need(("busybox-static", "busybox"), command("busybox"), "a check of I/O in a virtual machine"),
    Need(("cpio",), command("cpio"), "a check of I/O in a virtual machine"),
    Need(("prometheus",), command("promtool"), "the tests of the alert rules"),
    Need(("openssh-server",), command("sshd"), "the tests of the fleet"),
    Need(("openssl",), command("openssl"), "a check of an engine behind TLS"),
    Need(("tzdata",), lambda: _exists("/usr/share/zoneinfo/Europe"), "a check of an image with time zones"),
    Need(("ca-certificates",), lambda: _exists("/etc/ssl/certs/ca-certificates.crt"), "a check of the same image"),
)
"""Used only by the tests: a browser for the page, and independent tools to check figures against."""
