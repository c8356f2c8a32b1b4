"""Virtual machines with a network card: behind QEMU's user-mode network, or behind a tap on a bridge."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from isobench.contracts.capabilities import Capability
from isobench.contracts.mechanism import Mechanism, Need, command
from isobench.environments.libvirt._mechanism import LIBVIRT
from isobench.environments.libvirt.guest import Guest
from isobench.setup.packages import rom

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from isobench.contracts.environment import Environment
    from isobench.environments.libvirt._sandbox import GuestSandbox


_CARDS = Mechanism(
    "network cards of guests",
    needs=(Need(("ipxe-qemu",), rom("efi-virtio.rom", "pxe-virtio.rom"), "virtual machines with a network card"),),
)


class UserNetGuest(Guest):
    """A guest without a disk whose network card is set up before the verb, even if it is idle."""

    mechanisms = (LIBVIRT, _CARDS)
    capabilities = frozenset({Capability.READY, Capability.PROBE})

    def sandbox(self, connection: Any, workdir: Path) -> GuestSandbox:
        from isobench.environments.libvirt._network import UserNetSandbox

        return UserNetSandbox(connection, self, workdir)


class TapGuest(UserNetGuest):
    """The same guest behind a tap, which libvirt creates, on this environment's own bridge."""

    needs_root = True
    capabilities = UserNetGuest.capabilities | {Capability.LIMIT_NETWORK}

    @property
    def mechanisms(self) -> tuple[Mechanism, ...]:  # type: ignore[override]
        return (LIBVIRT, _CARDS, _BRIDGES)

    def sandbox(self, connection: Any, workdir: Path) -> GuestSandbox:
        from isobench.environments.libvirt._network import TapSandbox

        return TapSandbox(connection, self, workdir)

    @contextmanager
    def open(self, workdir: Path) -> Iterator[GuestSandbox]:
        from isobench.environments.libvirt._network import on_a_bridge

        with super().open(workdir) as sandbox, on_a_bridge(sandbox, workdir.parent.name):
            yield sandbox


def _sweep(run: str) -> list[str]:
    from isobench.environments.libvirt._network import sweep

    return sweep(run, [guest.name for guest in ENVIRONMENTS if isinstance(guest, TapGuest)])


_BRIDGES = Mechanism("bridges", _sweep, needs=(Need(("iproute2",), command("ip"), "virtual machines behind a tap"),))

ENVIRONMENTS: tuple[Environment, ...] = tuple(
    guest(
        f"{kind}-{path}",
        f"{title}, {words}",
        f"a virtio network card set up at boot, behind {behind}; its and the disk's modules loaded",
        kind,
        domain_type=domain_type,
        single_factor=False,
        groups=("network",),
    )
    for guest, path, words, behind in (
        (UserNetGuest, "user", "user-mode network", "QEMU's user-mode network"),
        (TapGuest, "tap", "a tap on a bridge", "a tap on a bridge of the host"),
    )
    for kind, title, domain_type in (("tcg", "QEMU without KVM", "qemu"), ("kvm", "KVM", "kvm"))
)
