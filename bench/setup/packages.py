"""What a run uses of the system: a need each, how to see that it is met, and the packages that meet it.

Asked without the package manager, so that what comes from elsewhere (an engine's own repository, /usr/local) counts.
"""

from __future__ import annotations

import platform
import subprocess
import sys
import sysconfig
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from isobench.host.programs import find

if TYPE_CHECKING:
    from collections.abc import Callable


class Need(NamedTuple):
    """Something that runs use. `packages` are its names in Debian and Ubuntu, releases old and new: the first that apt
    knows is taken. `lost` says what cannot be measured without it."""

    packages: tuple[str, ...]
    present: Callable[[], bool]
    lost: str


def _command(*names: str) -> Callable[[], bool]:
    return lambda: any(find(name) is not None for name in names)


def _library(name: str) -> Callable[[], bool]:
    def loads() -> bool:
        import ctypes

        with suppress(OSError):
            ctypes.CDLL(name)
            return True
        return False

    return loads


X86 = platform.machine() == "x86_64"
QEMU = {"x86_64": "qemu-system-x86_64", "aarch64": "qemu-system-aarch64"}.get(platform.machine(), "qemu-system-x86_64")


def _rom(*names: str) -> Callable[[], bool]:
    """Whether QEMU finds one of these files of firmware where it looks, wherever its packages put them."""
    return lambda: any((folder / name).exists() for folder in _firmware_folders() for name in names)


def _firmware_folders() -> list[Path]:
    usual = [Path(folder) for folder in ("/usr/share/qemu", "/usr/share/seabios", "/usr/lib/ipxe/qemu")]
    qemu = find(QEMU)
    if qemu is None:
        return usual
    with suppress(OSError, subprocess.SubprocessError):
        said = subprocess.run([qemu, "-L", "help"], capture_output=True, timeout=30, check=True).stdout
        return [*usual, *(Path(line) for line in said.decode(errors="replace").splitlines() if line.startswith("/"))]
    return usual


def _static_c_library() -> bool:
    """libc.a, where the compiler looks for it: its own word for it, or the folders of this machine's libraries."""
    with suppress(OSError, subprocess.SubprocessError):
        cc = find("cc") or find("gcc")
        if cc is not None:
            said = subprocess.run([cc, "-print-file-name=libc.a"], capture_output=True, timeout=30, check=True).stdout
            return Path(said.decode(errors="replace").strip()).is_absolute()
    triplet = str(sysconfig.get_config_var("MULTIARCH") or f"{platform.machine()}-linux-gnu")
    return any(Path(folder, "libc.a").exists() for folder in (f"/usr/lib/{triplet}", "/usr/lib64", "/usr/lib"))


def _python_headers() -> bool:
    return (Path(sysconfig.get_paths()["include"]) / "Python.h").exists()


def _libvirt_headers() -> bool:
    config = find("pkg-config") or find("pkgconf")
    if config is None:
        return False
    return subprocess.run([config, "--exists", "libvirt"], capture_output=True, check=False).returncode == 0


VIRTIOFSD = ("/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd", "/usr/lib/virtiofsd", "/usr/libexec/qemu/virtiofsd")
"""Where distributions keep it beside PATH: its own package, QEMU's before version 8, Arch."""


def virtiofsd() -> str | None:
    """The path of the daemon that serves a guest a folder of the host."""
    return find("virtiofsd") or next((path for path in VIRTIOFSD if Path(path).exists()), None)


def _unpacks_modules() -> bool:
    """zstd, only where this kernel's modules are packed so."""
    packed = next(Path("/lib/modules", platform.release()).glob("kernel/*/*.ko.zst"), None) or next(
        Path("/lib/modules", platform.release()).glob("kernel/*/*/*.ko.zst"), None
    )
    return packed is None or find("zstd") is not None


_EVERYTHING = "everything: the program that is measured is built here"
_GUESTS = "every virtual machine"

NEEDS = (
    Need(("gcc",), _command("cc", "gcc", "clang"), _EVERYTHING),
    Need(("libc6-dev",), _static_c_library, _EVERYTHING),
    Need((f"python{sys.version_info[0]}.{sys.version_info[1]}-dev", "python3-dev"), _python_headers, _GUESTS),
    Need(("pkg-config", "pkgconf"), _command("pkg-config", "pkgconf"), _GUESTS),
    Need(("docker.io",), _command("dockerd"), "Docker"),
    Need(("iptables",), _command("iptables"), "a private Docker engine"),
    Need(("runc",), _command("runc"), "runc, containerd and Docker"),
    Need(("libseccomp2",), _library("libseccomp.so.2"), "the rungs with a seccomp filter"),
    Need(("libvirt-daemon-system",), _command("libvirtd", "virtqemud"), _GUESTS),
    Need(("libvirt-dev",), _libvirt_headers, _GUESTS),
    Need(("qemu-system-x86",) if X86 else ("qemu-system-arm",), _command(QEMU), _GUESTS),
    *((Need(("seabios",), _rom("bios-256k.bin", "bios.bin"), _GUESTS),) if X86 else ()),
    Need(("ipxe-qemu",), _rom("efi-virtio.rom", "pxe-virtio.rom"), "virtual machines with a network card"),
    Need(("qemu-utils",), _command("qemu-img"), "virtual machines with a qcow2 disk"),
    Need(("virtiofsd", "qemu-system-common"), lambda: virtiofsd() is not None, "virtual machines over virtiofs"),
    Need(("fio",), _command("fio"), "I/O"),
    Need(("e2fsprogs",), _command("mke2fs"), "I/O in virtual machines"),
    Need(("iproute2",), _command("ip"), "virtual machines behind a tap"),
    Need(("kmod",), _command("depmod"), "virtual machines with a kernel that has to be fetched"),
    Need(("zstd",), _unpacks_modules, "virtual machines with a disk"),
)
"""Everything a full run uses, in the order of installation."""

TEST_NEEDS = (
    Need(("chromium",), _command("chromium"), "the tests of the page"),
    Need(("chromium-driver",), _command("chromedriver"), "the tests of the page"),
    Need(("hyperfine",), _command("hyperfine"), "a check of Docker's startup"),
    Need(("docker-cli", "docker.io"), _command("docker"), "a check of Docker's startup"),
    Need(("linux-perf", "linux-tools-generic"), _command("perf"), "a check of system calls"),
    Need(("iperf3",), _command("iperf3"), "a check of the network"),
    Need(("crun",), _command("crun"), "crun"),
    Need(("podman",), _command("podman"), "podman"),
    Need(("bubblewrap",), _command("bwrap"), "bubblewrap"),
    Need(("systemd-container",), _command("systemd-nspawn"), "systemd-nspawn"),
    Need(("lxc",), _command("lxc-start"), "LXC"),
    Need(("runsc",), _command("runsc"), "gVisor"),
    Need(("mmdebstrap",), _command("mmdebstrap"), "the distribution's virtual machine"),
    Need(("extlinux",), _command("extlinux"), "the distribution's virtual machine"),
    Need(("fdisk",), _command("sfdisk"), "the distribution's virtual machine"),
    Need(("busybox-static", "busybox"), _command("busybox"), "a check of I/O in a virtual machine"),
    Need(("cpio",), _command("cpio"), "a check of I/O in a virtual machine"),
    Need(("openssl",), _command("openssl"), "a check of an engine behind TLS"),
)
"""What only the tests use: a browser for the page, independent tools to check figures against, and the runtimes and
the Debian image that a plain run does without."""
