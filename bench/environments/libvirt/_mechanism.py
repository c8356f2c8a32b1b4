"""libvirt and QEMU as a mechanism of the host: the programs started, their packages, and the sweep."""

from __future__ import annotations

import sys

from isobench.contracts.mechanism import Engine, Keeper, Mechanism, Need, Tool, command
from isobench.setup.packages import (
    QEMU,
    X86,
    libvirt_headers,
    python_headers,
    rom,
    unpacks_modules,
    virtiofsd,
)


def _sweep(run: str) -> list[str]:
    from isobench.environments.libvirt._leftovers import sweep

    return sweep(run)


def _orphans(dry_run: bool) -> list[str]:
    from isobench.environments.libvirt._orphans import remove_orphans

    return remove_orphans(dry_run=dry_run)


_GUESTS = "every virtual machine"
_QEMU_PACKAGES = ("qemu-system-x86",) if X86 else ("qemu-system-arm",)
QEMU_IMG = Tool("qemu-img", ("qemu-utils",))
MKE2FS = Tool("mke2fs", ("e2fsprogs",), "-V")
_QEMU = Tool(QEMU, _QEMU_PACKAGES)

LIBVIRT = Mechanism(
    "libvirt",
    _sweep,
    programs=("qemu-system-*", "qemu-kvm", "virtiofsd"),
    engine=Engine("ISOBENCH_LIBVIRT_URI", ("qemu:///system", "qemu:///session")),
    keepers=(Keeper(QEMU[:15], "virtual machine"), Keeper("qemu-kvm", "virtual machine")),
    cgroups=("machine.slice", "machine"),
    daemons=("libvirtd", "virt*d", "dnsmasq"),
    orphans=_orphans,
    tools=(Tool("libvirtd", ("libvirt-daemon-system",)), _QEMU, QEMU_IMG, MKE2FS),
    needs=(
        Need((f"python{sys.version_info[0]}.{sys.version_info[1]}-dev", "python3-dev"), python_headers, _GUESTS),
        Need(("pkg-config", "pkgconf"), command("pkg-config", "pkgconf"), _GUESTS),
        Need(("libvirt-daemon-system",), command("libvirtd", "virtqemud"), _GUESTS),
        Need(("libvirt-dev",), libvirt_headers, _GUESTS),
        _QEMU.need(_GUESTS),
        *((Need(("seabios",), rom("bios-256k.bin", "bios.bin"), _GUESTS),) if X86 else ()),
        QEMU_IMG.need("virtual machines with a qcow2 disk"),
        Need(("virtiofsd", "qemu-system-common"), lambda: virtiofsd() is not None, "virtual machines over virtiofs"),
        MKE2FS.need("I/O in virtual machines"),
        Need(("kmod",), command("depmod"), "virtual machines whose kernel has to be downloaded"),
        Need(("zstd",), unpacks_modules, "virtual machines with a disk"),
    ),
)
