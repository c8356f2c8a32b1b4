"""Images in containerd, each call a command of its client: `ctr images pull`, `import`, `push` and `rm`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from isobench.contracts.images import MessageLost, Pulled
from isobench.core import deadlines
from isobench.core.errors import MeasurementError
from isobench.environments._offers import Offers
from isobench.probe.launcher import ENVIRON
from isobench.processes.programs import output, search_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from isobench.contracts.images import Layer, Offer


def environ() -> dict[str, str]:
    """The environment of `ctr`, as that of `ctr run`: with the caller's CONTAINERD_SNAPSHOTTER it would unpack an image
    where no instance looks, and each start would unpack it again."""
    return {**ENVIRON, "PATH": search_path()}


_STORE = "io.containerd.content.v1.content/blobs/sha256"
_LOST = "code = Internal desc = unexpected EOF"
"""What gRPC says of a message that ended too early: in two of some thousand pushes, and to others (containerd 5734)."""


class CtrImages(Offers):
    """Implements `isobench.contracts.images.Images` in the run's own containerd namespace, which has no other
    images."""

    without_import = "ctr imports images, and makes none of a root file system"

    def __init__(self, workdir: Path, ctr: Sequence[str], root: Path) -> None:
        """`ctr` is its command line up to the command, `root` containerd's data folder."""
        super().__init__(workdir, {})
        self._ctr = ctr
        self._root = root
        self._layers: dict[str, list[str]] = {}
        """The digests of the layers of each image that was offered."""

    def offer(self, name: str, layers: Sequence[Layer]) -> Offer:
        self._layers[name] = [layer.digest for layer in layers]
        return super().offer(name, layers)

    def clear(self, name: str) -> None:
        """Removes the image, and what a failed pull fetched, which a lease would keep for a day. Raises
        `MeasurementError` also if the layers are there in another namespace (Docker's, for one): containerd would not
        fetch them again (its `content_sharing_policy` "shared")."""
        leases = self._said("leases", "list", "--quiet").split()
        if leases:
            self._said("leases", "delete", "--sync", *leases)
        known = [image for image in self._said("images", "list", "--quiet").split() if f"/{name}:" in image]
        if known:
            self._said("images", "rm", "--sync", *known)
        there = sum(self._blob(digest).exists() for digest in self._layers.get(name, ()))
        if there:
            raise MeasurementError(
                f"containerd has {there} layers of the image in another namespace, so no pull would be cold",
                remedy="isobench clean, or without Docker in the same run: its images are in the same containerd",
            )

    def pull(self, image: str) -> Pulled:
        """Without the details of `Pulled`: the client reports neither when all has arrived nor what existed before."""
        self._said("images", "pull", "--plain-http", image)
        return Pulled()

    def load(self, archive: Path) -> None:
        self._said("images", "import", str(archive))

    def push(self, image: str, elsewhere: str) -> None:
        self._said("images", "push", "--plain-http", elsewhere, image)

    def remove(self, image: str) -> None:
        """Waits until it is gone: without `--sync` containerd frees the disk later."""
        self._said("images", "rm", "--sync", image)

    def disk_bytes(self, image: str) -> int | None:
        """The unpacked layers, by containerd's own count of their blocks, and the compressed ones, which it keeps:
        everything in the namespace."""
        blobs = [self._blob(digest) for digest in self._said("content", "ls", "-q").split()]
        layers = self._said("snapshots", "usage", "-b").splitlines()[1:]
        if not layers or not all(blob.is_file() for blob in blobs):
            return None
        return sum(int(line.split()[1]) for line in layers) + 512 * sum(blob.stat().st_blocks for blob in blobs)

    def _blob(self, digest: str) -> Path:
        """The file of a compressed layer, or of another blob."""
        return self._root / _STORE / digest.partition(":")[2]

    def _said(self, *words: str) -> str:
        try:
            return output([*self._ctr, *words], deadlines.stretched(300), environ=environ())
        except MeasurementError as error:
            reason = error.reason.partition(": ")[2].removeprefix("ctr: ")
            kind = MessageLost if _LOST in reason else MeasurementError
            raise kind(f"ctr {' '.join(words[:2])}: {reason}") from error
