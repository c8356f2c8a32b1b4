"""A disk of another architecture. No foreign program runs on this machine: packages are unpacked here, and configured
inside the emulated one, by the same script that dresses any other host.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from isobench.core.errors import BuildError
from isobench.guests.kernel import Kernel
from isobench.guests.modules import content, modules_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MODULES = ("virtio_pci", "virtio_blk", "ext4")
HOURS = 4
"""How long configuring may take; 40 minutes on two idle CPUs."""
DONE = "lab: configured"
"""Said on the console at the end."""

_INIT = """\
#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
for module in $(/bin/busybox cat /modules.list); do /bin/busybox insmod /modules/$module; done
until /bin/busybox mount -t ext4 /dev/vda /root 2> /dev/null; do /bin/busybox sleep 0.1; done
/bin/busybox mount --move /dev /root/dev
/bin/busybox mount -t proc proc /proc
init=/sbin/init
for word in $(/bin/busybox cat /proc/cmdline); do case $word in init=*) init=${word#init=} ;; esac; done
/bin/busybox umount /proc
exec /bin/busybox switch_root /root "$init"
"""

_SECOND_STAGE = f"""\
#!/bin/sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 HOME=/root
export DEBIAN_FRONTEND=noninteractive DEBCONF_NONINTERACTIVE_SEEN=true INITRD=No
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t tmpfs tmpfs /run; mount -t tmpfs tmpfs /tmp
mkdir -p /dev/pts; mount -t devpts devpts /dev/pts
configure() {{
    set -eu
    printf '#!/bin/sh\\nexit 101\\n' > /usr/sbin/policy-rc.d  # no service is started
    chmod 755 /usr/sbin/policy-rc.d
    cd /lay/packages
    dpkg="dpkg --force-depends --force-unsafe-io --force-confold"
    $dpkg --install $(cat /lay/essential)
    $dpkg --unpack ./*.deb
    $dpkg --configure --pending
    sh /lay/dress.sh / /lay
    rm -rf /usr/sbin/policy-rc.d /lay
    sync
}}
(configure) && echo '{DONE}'
sync
exec busybox poweroff -f
"""


def unpack(lay: Path, names: Sequence[str]) -> tuple[str, ...]:
    """The words for mmdebstrap that unpack these packages into a tree, and keep their archives in `lay`."""
    keep = f'mkdir {lay}/packages && cp "$1"/var/cache/apt/archives/*.deb {lay}/packages'
    return ("--variant=extract", "--include=?essential", f"--include=apt,{','.join(names)}", f"--extract-hook={keep}")


def prepare(tree: Path, lay: Path, script: Path, folder: Path) -> None:
    """Write the second stage into the unpacked tree, and kernel and initrd into `folder`. Raises `BuildError`."""
    essential = [file.name for file in sorted((lay / "packages").glob("*.deb")) if _is_essential(file)]
    (lay / "essential").write_text("\n".join(essential) + "\n")
    (lay / "second-stage").write_text(_SECOND_STAGE)
    (lay / "second-stage").chmod(0o755)
    shutil.copy(script, lay / "dress.sh")
    for name in ("passwd", "group"):  # unpacking looks up owners by their names
        shutil.copy(tree / "usr/share/base-passwd" / f"{name}.master", tree / "etc" / name)
    (tree / "var/lib/dpkg/info").mkdir(parents=True, exist_ok=True)
    for name in ("status", "available"):
        (tree / "var/lib/dpkg" / name).touch()
    shutil.move(lay, tree / "lay")
    image = next((tree / "boot").glob("vmlinuz-*"))
    shutil.copy(image, folder / "vmlinuz")
    version = image.name.removeprefix("vmlinuz-")
    _run("depmod", "--basedir", str(tree), version)
    _initrd(folder, Kernel(image, tree / "usr/lib/modules" / version, version, "unpacked"), tree / "usr/bin/busybox")


def _is_essential(package: Path) -> bool:
    return _run("dpkg-deb", "--field", str(package), "Essential").strip() == "yes"


def _initrd(folder: Path, kernel: Kernel, busybox: Path) -> None:
    """An initramfs with the host's modules alone; it is not made in the host, where that takes minutes."""
    root = folder / "initramfs"
    for name in ("bin", "dev", "proc", "root", "modules"):
        (root / name).mkdir(parents=True)
    shutil.copy(busybox, root / "bin/busybox")
    (root / "init").write_text(_INIT)
    (root / "init").chmod(0o755)
    modules = modules_of(kernel, MODULES)
    for module in modules:
        (root / "modules" / module.file.name).write_bytes(content(module.file))
    (root / "modules.list").write_text("".join(f"{module.file.name}\n" for module in modules))
    _run("sh", "-c", 'cd "$1" && find . | cpio --quiet -o -H newc > "$2"', "sh", str(root), str(folder / "initrd"))
    shutil.rmtree(root)


def configure(command: Sequence[str], folder: Path, environ: Mapping[str, str]) -> None:
    """Boot the disk once, until the second stage has powered the machine off. Raises `BuildError` with its last
    words."""
    with open(folder / "console.log", "wb") as console:
        try:
            subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=console, stderr=console, env=environ, cwd=folder,
                timeout=HOURS * 3600, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise BuildError(f"configuring the packages took longer than {HOURS} hours") from error
    said = (folder / "console.log").read_text(errors="replace")
    if DONE not in said:
        raise BuildError(f"configuring the packages failed: {' / '.join(said.splitlines()[-8:])[-800:]}")


def _run(*words: str) -> str:
    """Raises `BuildError` with the end of the command's output."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BuildError(f"{words[0]} failed: {(done.stderr or done.stdout).strip()[-800:]}")
    return done.stdout
