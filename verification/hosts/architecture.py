"""What differs between the architectures of hosts: packages, QEMU's machine, wheels."""

from __future__ import annotations

from typing import NamedTuple


class Architecture(NamedTuple):
    """As Debian, QEMU and Python's wheels name it, and the machine that a host of it is booted on."""

    kernel: str
    """Debian's package of the kernel."""
    qemu: str
    """Debian's package of QEMU for its guests, and for the machine itself."""
    program: str
    """QEMU for it."""
    wheels: str
    """The end of the names of platforms in wheels."""
    machine: tuple[str, ...]
    """QEMU's options: a machine whose CPU virtualises."""
    console: str
    firmware: tuple[str, ...] = ()
    """Packages of the emulator with what the machine starts from."""


ARCHITECTURES = {
    "amd64": Architecture(
        "linux-image-amd64", "qemu-system-x86", "qemu-system-x86_64", "x86_64",
        ("-machine", "q35", "-cpu", "max,la57=off,monitor=off"), "ttyS0", ("seabios",),
    ),
    "arm64": Architecture(
        "linux-image-arm64", "qemu-system-arm", "qemu-system-aarch64", "aarch64",
        ("-machine", "virt,virtualization=on,gic-version=3", "-cpu", "max,pauth-impdef=on,sve=off,sme=off"), "ttyAMA0",
    ),
}  # fmt: skip
"""By Debian's name. A CPU at EL2 and simple pointer authentication, which costs less to emulate; neither vectors of
variable length nor matrices, which only make every context switch longer. No MWAIT on amd64: QEMU emulates it as
PAUSE, so that an idle CPU would take all of a real one."""
