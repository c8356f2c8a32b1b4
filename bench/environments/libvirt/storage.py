"""Virtual machines with other storage paths; each is compared with the one that it differs from in that path.

`tcg` and `kvm` use the host's direct I/O and its native queue (cache none, io native). Cache writeback with io native
does not exist, because QEMU needs O_DIRECT for its native queue.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from isobench.contracts.answers import answers
from isobench.contracts.launch import working
from isobench.core import deadlines
from isobench.core.errors import DeadlineExceeded, MeasurementError, Unavailable
from isobench.environments.libvirt._storage import Storage
from isobench.environments.libvirt.guest import Guest
from isobench.setup.packages import virtiofsd

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from isobench.contracts.environment import Environment
    from isobench.environments.libvirt._sandbox import GuestSandbox

_FEWEST_FILES = "10"


class StorageGuest(Guest):
    """Opened only if its storage works. The smoke test cannot tell, because an idle guest has no disk."""

    @contextmanager
    def open(self, workdir: Path) -> Iterator[GuestSandbox]:
        self._require()
        with super().open(workdir) as sandbox:
            self._test_storage(sandbox)
            yield sandbox

    def _require(self) -> None:
        """Raise `Unavailable` if the host's side of the storage is missing."""
        if self.storage.share == "virtiofs" and virtiofsd() is None:
            remedy = "apt-get install virtiofsd (before Debian 13 and Ubuntu 24.04 qemu-system-common has it)"
            raise Unavailable("virtiofsd is not installed", remedy=remedy)

    def _test_storage(self, sandbox: GuestSandbox) -> None:
        """Boot once with the disk and write a few files to it. Raises `Unavailable` with the guest's error."""
        try:
            with sandbox.launch(working("meta", _FEWEST_FILES, disk=True, timeout=deadlines.scaled())) as instance:
                answers(instance)
        except DeadlineExceeded:
            raise
        except MeasurementError as error:
            raise Unavailable(f"its storage cannot be used: {error.reason} {_last_line(error.console)}") from error


def _last_line(console: str) -> str:
    lines = [line.strip() for line in console.splitlines() if line.strip()]
    return f"(last line: {lines[-1][:200]})" if lines else ""


_PATHS = (
    # suffix, title, what it adds, compared with, storage, in that alone
    (
        "iouring",
        "virtio-blk, io_uring",
        "QEMU's io_uring queue instead of its native one",
        "",
        Storage(io="io_uring"),
        1,
    ),
    (
        "writeback",
        "virtio-blk, cache writeback",
        "the host's page cache",
        "-iouring",
        Storage(io="io_uring", cache="writeback"),
        1,
    ),
    ("qcow2", "virtio-blk, qcow2", "a qcow2 image instead of a raw one", "", Storage(kind="qcow2"), 1),
    ("scsi", "virtio-scsi", "virtio-scsi instead of virtio-blk", "", Storage(bus="scsi"), 1),
    (
        "virtiofs",
        "virtiofs",
        "its data on a folder of the host, over virtiofs; its memory shared with virtiofsd",
        "",
        Storage(share="virtiofs"),
        0,
    ),
    ("9p", "9p", "its data on a folder of the host, over 9p", "", Storage(share="9p"), 1),
)

ENVIRONMENTS: tuple[Environment, ...] = tuple(
    StorageGuest(
        f"{kind}-{suffix}",
        f"{title}, {path}",
        adds,
        f"{kind}{lower}",
        domain_type=domain_type,
        storage=storage,
        single_factor=bool(alone),
        groups=("storage",),
    )
    for kind, title, domain_type in (("tcg", "QEMU without KVM", "qemu"), ("kvm", "KVM", "kvm"))
    for suffix, path, adds, lower, storage, alone in _PATHS
)
