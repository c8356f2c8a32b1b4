"""Virtual machines through libvirt: with or without KVM, with a Linux kernel or the null kernel.

Nothing falls back silently: without KVM there is only `tcg`. `_sandbox.py` runs them.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from isobench.contracts.capabilities import Capability
from isobench.environments.libvirt._mechanism import LIBVIRT
from isobench.environments.libvirt._storage import Storage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

    from isobench.contracts.environment import Environment, Layer
    from isobench.contracts.mechanism import Mechanism
    from isobench.environments.libvirt._sandbox import GuestSandbox


class Guest:
    """One kind of virtual machine (`isobench.contracts.environment.Environment`)."""

    layer: Layer = "vm"
    mechanisms: tuple[Mechanism, ...] = (LIBVIRT,)

    def __init__(
        self,
        name: str,
        title: str,
        adds: str,
        compared_with: str | None,
        *,
        domain_type: str,
        null: bool = False,
        storage: Storage | None = None,
        single_factor: bool = True,
        groups: tuple[str, ...] = ("default", "ladder", "vms", "kinds"),
    ) -> None:
        self.name = name
        self.title = title
        self.adds = adds
        self.compared_with = compared_with
        self.domain_type = domain_type
        self.null = null
        self.storage = storage or Storage()
        self.layer: Layer = "vmm" if null else "vm"
        self.single_factor = single_factor and compared_with is not None
        self.groups = frozenset(groups)
        if self.storage.share:  # a limit of the disk is none of a folder of the host
            self.capabilities = self.capabilities - {Capability.LIMIT_DISK}
        if self.storage != Storage():  # a given disk says itself how it is to be opened
            self.capabilities = self.capabilities - {Capability.DISKS}
        if null:
            self.capabilities = frozenset({Capability.READY})

    capabilities = frozenset(
        {
            Capability.READY,
            Capability.PROBE,
            Capability.ROOTFS,
            Capability.COMMAND,
            Capability.DISKS,
            Capability.LIMIT_CPU,
            Capability.CPU_WEIGHT,
            Capability.LIMIT_MEMORY,
            Capability.LIMIT_DISK,
        }
    )

    @property
    def boots_like(self) -> tuple[str, bool]:
        """The kind of domain, and whether it has a null kernel."""
        return self.domain_type, self.null

    def sandbox(self, connection: Any, workdir: Path) -> GuestSandbox:
        """The sandbox that `open` yields."""
        from isobench.environments.libvirt._sandbox import GuestSandbox

        return GuestSandbox(connection, self, workdir)

    @contextmanager
    def open(self, workdir: Path) -> Iterator[GuestSandbox]:
        from isobench.environments.libvirt._sandbox import connected

        with connected(self) as connection:
            yield self.sandbox(connection, workdir)


ENVIRONMENTS: tuple[Environment, ...] = (
    Guest("tcg-null", "QEMU without KVM, no kernel", "a VMM and firmware", None, domain_type="qemu", null=True),
    Guest("tcg", "QEMU without KVM", "a guest kernel and its user space", "tcg-null", domain_type="qemu"),
    Guest("kvm-null", "KVM, no kernel", "hardware virtualisation", "tcg-null", domain_type="kvm", null=True),
    Guest("kvm", "KVM", "a guest kernel and its user space", "kvm-null", domain_type="kvm"),
)
