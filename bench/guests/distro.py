"""A stock Debian disk image: systemd inside, booted by firmware and boot loader, with a service that sends the ready
line.

Made with mmdebstrap from the host's own package sources, once per content, and never booted before it is measured.
"""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from isobench.core import deadlines
from isobench.core.errors import BuildError, Unavailable
from isobench.filesystem.cache import cached
from isobench.filesystem.paths import content_hash
from isobench.guests.kernel import PACKAGES
from isobench.images.debian import CONTAINED, mirror
from isobench.probe.build import probe_path
from isobench.processes.endings import ENDS_WITH_US
from isobench.processes.programs import find

_BOOT_SECTORS = ("/usr/lib/EXTLINUX/mbr.bin", "/usr/lib/syslinux/mbr/mbr.bin")
_FIRST_SECTOR = 2048
_SIZE_MIB = 2048

_UNIT = """\
[Unit]
Description=isobench probe
After=multi-user.target
SuccessAction=poweroff

[Service]
Type=exec
ExecStart=/probe ready
StandardInput=tty
StandardOutput=tty
TTYPath=/dev/ttyS0

[Install]
WantedBy=multi-user.target
"""
_BOOTED_UNIT = """\
[Unit]
Description=isobench: the kernel has handed over
DefaultDependencies=no
Before=sysinit.target systemd-journald.service

[Service]
Type=oneshot
ExecStart=/bin/sh -c 'printf + > /dev/ttyS0'

[Install]
WantedBy=sysinit.target
"""
_INSTALL = 'mount -o "$1" "$2" /mnt && exec extlinux --install /mnt/boot/extlinux'
"""Installs the boot loader into a mounted file system. Only this script sees the mount, which ends with it."""
_LOADER = """\
DEFAULT linux
PROMPT 0
TIMEOUT 0
LABEL linux
  LINUX {kernel}
  INITRD {initrd}
  APPEND root=/dev/vda1 rw console=ttyS1 quiet
"""


@cache
def distro_image() -> Path:
    """The raw disk image in the cache, built now if it is not there (a minute or two). Raises `Unavailable`."""
    if platform.machine() != "x86_64":
        raise Unavailable("the Debian image is built for x86-64 only")
    suite = _suite()
    key = content_hash(
        [suite.encode(), _UNIT.encode(), _BOOTED_UNIT.encode(), _LOADER.encode(), probe_path().read_bytes()]
    )
    return cached("distro", key, lambda folder: _build(folder / "disk.raw", suite)) / "disk.raw"


def _suite() -> str:
    match = re.search(r'^VERSION_CODENAME="?([a-z]+)', _release(), re.MULTILINE)
    if match is None or find("apt-get") is None:
        raise Unavailable("a Debian image can be built only on Debian and Ubuntu")
    return match[1]


def _mirror() -> list[str]:
    """The mirror of Debian that this host uses; on Ubuntu, whose releases are not there, mmdebstrap's default."""
    return mirror() if re.search(r'^ID="?debian"?$', _release(), re.MULTILINE) else []


def _release() -> str:
    """What the host says about its distribution (os-release(5))."""
    file = Path("/etc/os-release")
    return file.read_text(errors="replace") if file.exists() else ""


def _build(target: Path, suite: str) -> None:
    with tempfile.TemporaryDirectory(prefix="isobench-distro-", dir=target.parent) as name:
        tree = Path(name) / "tree"
        packages = f"systemd-sysv,{PACKAGES[platform.machine()]}"
        _run(*CONTAINED, "mmdebstrap", "--quiet", "--variant=minbase", f"--include={packages}", suite,
             str(tree), *_mirror())  # fmt: skip
        _furnish(tree)
        _partition(target)
        offset = _FIRST_SECTOR * 512
        _run("mke2fs", "-q", "-t", "ext4", "-O", "^64bit,^metadata_csum", "-d", str(tree), "-E", f"offset={offset}",
             str(target), f"{_SIZE_MIB - 1}M")  # fmt: skip
        _run(*ENDS_WITH_US, "sh", "-c", _INSTALL, "sh", f"loop,offset={offset}", str(target))
        _write_boot_sector(target)
    target.chmod(0o644)


def _furnish(tree: Path) -> None:
    """The probe, its service, the boot loader's configuration."""
    shutil.copyfile(probe_path(), tree / "probe")
    (tree / "probe").chmod(0o755)
    units = tree / "etc/systemd/system"
    services = (("isobench", _UNIT, "multi-user"), ("isobench-booted", _BOOTED_UNIT, "sysinit"))
    for name, text, target in services:
        wants = units / f"{target}.target.wants"
        wants.mkdir(exist_ok=True)
        (units / f"{name}.service").write_text(text)
        (wants / f"{name}.service").symlink_to(f"../{name}.service")
    (tree / "etc/fstab").write_text("/dev/vda1 / ext4 errors=remount-ro 0 1\n")
    loader = tree / "boot/extlinux"
    loader.mkdir()
    kernel = next((tree / "boot").glob("vmlinuz-*")).name
    initrd = next((tree / "boot").glob("initrd.img-*")).name
    (loader / "extlinux.conf").write_text(_LOADER.format(kernel=f"/boot/{kernel}", initrd=f"/boot/{initrd}"))


def _partition(target: Path) -> None:
    with target.open("wb") as file:
        file.truncate(_SIZE_MIB << 20)
    _run("sfdisk", "--quiet", str(target), words=f"label: dos\nstart={_FIRST_SECTOR}, type=83, bootable\n")


def _write_boot_sector(target: Path) -> None:
    code = next((Path(path) for path in _BOOT_SECTORS if Path(path).exists()), None)
    if code is None:
        raise BuildError("no boot sector code found", remedy="apt-get install extlinux syslinux-common")
    with target.open("r+b") as file:
        file.write(code.read_bytes()[:440])


def _run(*command: str, words: str = "") -> None:
    try:
        subprocess.run(
            command, input=words, capture_output=True, errors="replace", check=True, timeout=deadlines.stretched(900)
        )
    except FileNotFoundError as error:
        raise BuildError(f"{command[0]} is missing") from error
    except subprocess.SubprocessError as error:
        said = str(getattr(error, "stderr", "") or error).strip()
        raise BuildError(f"{command[0]}: {said[-600:]}") from error
