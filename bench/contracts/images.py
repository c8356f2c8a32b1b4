"""What an engine does with images: the protocol between scenarios and the sandboxes that keep images."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

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
    """One image that an engine can have, by its names in the registry of its sandbox."""

    image: str
    below: str
    """The same image without its uppermost layer; empty if it has only one."""
    elsewhere: str
    """A name under which the registry has nothing: where the image can be pushed to."""
    archive: Path
    """The image as a file, under the first name."""
    wire_bytes: int
    """What the registry sends to somebody who has nothing of it, by its own manifest."""


class Pulled(NamedTuple):
    """What an engine says of an image that it has fetched."""

    fetched: float | None = None
    """When the last byte had come, on the monotonic clock; None if it does not say."""
    reused: int | None = None
    """How many layers it had already; None if it does not say."""


class Images(Protocol):
    """The images of a sandbox. A call returns when the engine says that it is done, and raises `MeasurementError` with
    the engine's reason if it is not."""

    def offer(self, name: str, layers: Sequence[Layer]) -> Offer:
        """Have an image with these layers in the registry, and nothing under the name `elsewhere`; untimed."""
        ...

    def clear(self, name: str) -> None:
        """Have nothing of an offered image in the engine, whatever is there of it; untimed."""
        ...

    def pull(self, image: str) -> Pulled:
        """Fetch an image, ready to be run."""
        ...

    def load(self, archive: Path) -> None:
        """Take an image from an archive, ready to be run."""
        ...

    def push(self, image: str, elsewhere: str) -> None:
        """Send an image to a registry under another name."""
        ...

    def remove(self, image: str) -> None:
        """Remove an image of which there is no instance."""
        ...

    def disk_bytes(self, image: str) -> int | None:
        """What an image takes on the disk, in the blocks of its file system; None if that cannot be seen from here."""
        ...
