"""The guest's kernel: the host's own if it can be read, otherwise the one downloaded by provisioning."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

from isobench.core import deadlines
from isobench.core.errors import BuildError, Unavailable
from isobench.filesystem.cache import cached, found
from isobench.filesystem.paths import content_hash

PACKAGES = {"x86_64": "linux-image-cloud-amd64", "aarch64": "linux-image-cloud-arm64"}
UBUNTU_PACKAGES = {"x86_64": "linux-image-virtual", "aarch64": "linux-image-virtual"}


class Kernel(NamedTuple):
    """A kernel to boot: its image, the folder of its modules, and where it comes from."""

    image: Path
    modules: Path
    version: str
    origin: str


_IMAGES = (
    "/boot/vmlinuz-{release}",
    "/lib/modules/{release}/vmlinuz",
    "/usr/lib/modules/{release}/vmlinuz",
    "/usr/lib/kernel/vmlinuz-{release}",
    "/boot/{machine_id}/{release}/linux",
    "/boot/efi/{machine_id}/{release}/linux",
    "/efi/{machine_id}/{release}/linux",
    "/boot/kernel-{release}",
    "/boot/Image-{release}",
    "/boot/vmlinux-{release}",
    "/run/booted-system/kernel",
)
"""Where distributions keep the running kernel: Debian and Ubuntu; Fedora, Arch and openSUSE beside its modules; Clear
Linux; kernel-install (systemd-boot); Gentoo; built by hand; NixOS."""
_MODULES = (
    "/lib/modules/{release}",
    "/usr/lib/modules/{release}",
    "/run/booted-system/kernel-modules/lib/modules/{release}",
)
"""Where its modules are; usable if depmod has listed them."""


def guest_kernel() -> Kernel:
    """The kernel that guests boot. Raises `Unavailable` with the remedy if there is none."""
    release = platform.release()
    own = next((image for image in map(Path, _places(_IMAGES, release)) if os.access(image, os.R_OK)), None)
    modules = next((m for m in map(Path, _places(_MODULES, release)) if (m / "modules.dep").is_file()), None)
    if own is not None and modules is not None:
        return Kernel(own, modules, release, "the host's own")
    fetched = sorted(found("kernel-*", "boot/vmlinuz-*"), key=lambda image: _by_number(image.name))
    if not fetched:
        what = "its modules are missing" if own is not None else "its image is missing or cannot be read"
        raise Unavailable(f"no kernel for guests: for the running {release}, {what}", remedy="isobench provision")
    image = fetched[-1]
    version = image.name.removeprefix("vmlinuz-")
    return Kernel(image, image.parent.parent / "lib/modules" / version, version, "a distribution package, unpacked")


def image_to_boot(kernel: Kernel) -> Path:
    """A copy of the kernel's image in the cache. The host itself boots the original, and a system's libvirt gives what
    a guest boots to QEMU's user as long as the guest lives, and for good if the host fails meanwhile.

    Raises `BuildError`.
    """
    status = kernel.image.stat()
    key = content_hash(str(part).encode() for part in (kernel.image, status.st_size, status.st_mtime_ns))

    def copy(folder: Path) -> None:
        shutil.copyfile(kernel.image, folder / "vmlinuz")
        (folder / "vmlinuz").chmod(0o644)  # QEMU's user may read it

    return cached("guestkernel", key, copy) / "vmlinuz"


def _places(templates: tuple[str, ...], release: str) -> list[str]:
    machine_id = Path("/etc/machine-id")
    known = machine_id.read_text(errors="replace").strip() if os.access(machine_id, os.R_OK) else "none"
    return [template.format(release=release, machine_id=known) for template in templates]


def _by_number(name: str) -> list[tuple[int, str]]:
    """A key that sorts 6.1.0-9 before 6.1.0-10."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]


def has_guest_kernel() -> bool:
    """Whether guests have a kernel to boot."""
    try:
        guest_kernel()
    except Unavailable:
        return False
    return True


def fetch_guest_kernel() -> Path | None:
    """Download and unpack (never install) the distribution's kernel if guests would have none; returns its folder.

    None if there is a kernel already. Needs apt; raises `BuildError`.
    """
    if has_guest_kernel():
        return None
    package = _image_package()
    return cached("kernel", package.removeprefix("linux-image-"), lambda folder: _unpack(package, folder))


def _image_package() -> str:
    """The versioned package behind the distribution's meta package."""
    machine = platform.machine()
    for meta in (PACKAGES.get(machine), UBUNTU_PACKAGES.get(machine)):
        for one in _needed(meta) if meta is not None and _known(meta) else []:
            if re.match(r"linux-image-\d", one):
                return one
    raise BuildError("apt finds no kernel package for guests", remedy="apt-get update")


def _known(package: str) -> bool:
    return subprocess.run(["apt-cache", "show", package], capture_output=True, check=False).returncode == 0


def _needed(package: str) -> list[str]:
    shown = _run(["apt-cache", "depends", "--no-recommends", "--no-suggests", package])
    return re.findall(r"Depends: (\S+)", shown)


def _unpack(package: str, folder: Path) -> None:
    """Download the package and those of the same version that it needs, and unpack kernel and modules: Ubuntu has the
    modules in another package, Debian after 13 the kernel, too."""
    with tempfile.TemporaryDirectory(prefix=".download-", dir=folder) as name:
        there = Path(name)
        there.chmod(0o755)
        version = package.removeprefix("linux-image-")
        for one in (package, *(one for one in _needed(package) if one.endswith(f"-{version}"))):
            _run(["apt-get", "download", one], folder=there)
        for archive in there.glob("*.deb"):
            _run(["dpkg", "-x", str(archive), str(folder)])
    usr_modules = folder / "usr/lib/modules"
    if usr_modules.is_dir():
        (folder / "lib").mkdir(exist_ok=True)
        usr_modules.rename(folder / "lib/modules")
    for part in ("usr", "etc"):
        shutil.rmtree(folder / part, ignore_errors=True)
    (folder / "boot").mkdir(exist_ok=True)
    for modules in (folder / "lib/modules").glob("*"):
        if (modules / "vmlinuz").exists():
            (modules / "vmlinuz").rename(folder / "boot" / f"vmlinuz-{modules.name}")
        _run(["depmod", "-b", str(folder), modules.name])
    if not list((folder / "boot").glob("vmlinuz-*")):
        raise BuildError(f"{package} has no kernel in any known place", remedy="report it, with the package's name")


def _run(command: list[str], folder: Path | None = None) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, errors="replace", check=True, cwd=folder, timeout=deadlines.stretched(600)
        )
    except FileNotFoundError as error:
        raise BuildError(f"{command[0]} is missing", remedy="apt-get install apt dpkg kmod") from error
    except subprocess.SubprocessError as error:
        words = getattr(error, "stderr", "") or str(error)
        raise BuildError(f"{' '.join(command[:3])}: {words.strip()[-500:]}", remedy="apt-get update") from error
    return done.stdout
