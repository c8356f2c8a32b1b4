"""What an engine does with images: the protocol between scenarios and the sandboxes that keep images."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

from isobench.core.errors import MeasurementError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class Layer(NamedTuple):
    """One layer of an image: a compressed archive."""

    blob: Path
    size: int
    """Bytes of the blob, as they are sent."""
    digest: str
    diff_id: str
    """The digest of the archive inside."""


class Offer(NamedTuple):
    """One image that an engine can fetch, by its names in the registry of its sandbox."""

    image: str
    below: str
    """The same image without its uppermost layer; empty if it has only one."""
    elsewhere: str
    """A name that is free in the registry, to which the image can be pushed."""
    archive: Path
    """The image as a file, under the first name."""
    context: Path | None
    """The same image as an archive with a Dockerfile that adds layer after layer; None if it has very many layers, or
    layers that an older builder would add without unpacking them."""
    wire_bytes: int
    """Bytes that the registry sends to a client that has none of the layers, by the manifest."""
    root: Path | None = None
    """Its files as one archive without compression, as of a root file system; None where there is no context either."""


class Pulled(NamedTuple):
    """What an engine reports about an image that it has fetched."""

    fetched: float | None = None
    """When the last byte had arrived, on the monotonic clock; None if it does not report that."""
    reused: int | None = None
    """How many layers it already had; None if it does not report that."""


class Images(Protocol):
    """The images of a sandbox. A call returns when the engine reports success, and raises `MeasurementError` with the
    engine's reason otherwise."""

    def offer(self, name: str, layers: Sequence[Layer]) -> Offer:
        """Put an image with these layers into the registry, and free the name `elsewhere` there; untimed."""
        ...

    def clear(self, name: str) -> None:
        """Remove an offered image from the engine, with any part of it that is there; untimed."""
        ...

    def pull(self, image: str) -> Pulled:
        """Fetch an image, ready to be run."""
        ...

    def load(self, archive: Path) -> None:
        """Take an image from an archive, ready to be run."""
        ...

    def push(self, image: str, elsewhere: str) -> None:
        """Send an image to its registry under another name."""
        ...

    def remove(self, image: str) -> None:
        """Remove an image of which there is no instance."""
        ...

    def disk_bytes(self, image: str) -> int | None:
        """Bytes of the blocks that an image and its containers take on the disk, each block once; None if that cannot
        be observed from here."""
        ...


@runtime_checkable
class HasBuildKit(Protocol):
    """The images of a sandbox whose engine also builds with BuildKit, and whose cache of that ends with the run."""

    def lacks_buildkit(self) -> str:
        """Why it cannot be used here, with what to do; empty if it can."""
        ...

    def build_with_buildkit(self, context: Path, image: str, *, cached: bool) -> None:
        """The same as `BuildsImages.build`."""
        ...


@runtime_checkable
class BuildsImages(Protocol):
    """The images of a sandbox whose engine also builds them."""

    def build(self, context: Path, image: str, *, cached: bool) -> None:
        """Build an image from an archive with a Dockerfile: every step anew, or with the steps of earlier builds."""
        ...

    def digests(self, image: str) -> tuple[str, tuple[str, ...]]:
        """The digest of an image, and those of its layers when they are unpacked, the lowest first."""
        ...


@runtime_checkable
class ImportsFiles(Protocol):
    """The images of a sandbox whose engine also makes an image of a root file system."""

    def import_files(self, root: Path, image: str) -> None:
        """Make an image of one layer of the files in an archive that is not compressed, ready to be run."""
        ...


@runtime_checkable
class ImportsNoFiles(Protocol):
    """The images of a sandbox whose engine does not."""

    @property
    def without_import(self) -> str:
        """Why."""
        ...


class Rejected(MeasurementError):
    """An engine does not use an image because its policy demands a signature that the image does not have."""


class UnknownCompression(MeasurementError):
    """An engine does not know how the layers of an image are compressed; `remedy` names the first version that does."""


class OutOfReach(MeasurementError):
    """An engine does not reach the registry, which answers on this host's loopback: it is in another network, or on
    another machine."""


class MessageLost(MeasurementError):
    """An engine's client lost a message of its daemon, or the engine one of the registry, by accident: the same command
    may well succeed."""


class Signed(NamedTuple):
    """Images with the same files, by their names in the registry of a sandbox; the policy accepts only the first."""

    image: str
    """Signed with the key that the policy demands."""
    unsigned: str
    altered: str
    """It comes with the signature of the first one, as if somebody had changed that."""


@runtime_checkable
class VerifiesImages(Images, Protocol):
    """The images of a sandbox whose engine can verify signatures (`Capability.SIGNED_IMAGES`)."""

    def signed(self, name: str, layers: Sequence[Layer]) -> Signed:
        """Put such images into the registry, with their signatures; untimed."""
        ...

    def pull_by_policy(self, image: str, *, verified: bool) -> None:
        """Fetch an image, ready to be run, by a policy that demands the signature, or by one that accepts any image.
        Raises `Rejected`."""
        ...
