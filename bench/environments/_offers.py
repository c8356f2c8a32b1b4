"""The registry of a sandbox that keeps images, and what it offers: common to all engines."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from isobench.contracts.images import BuildsImages, ImportsFiles, Offer
from isobench.daemons import registry
from isobench.images.layers import MANIFEST, files_of, image_of_layers, is_gzip, write_archive, write_context

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from isobench.contracts.images import Layer
    from isobench.images.layers import Layered

LABEL = "isobench.image"
"""The label of every image that is offered; its value is the image's name."""
_WHOLE, _BELOW = "latest", "below"
"""The tags of an image, and of the same image without its uppermost layer."""


_MOST_BUILT = 10
"""The most layers of an image that is also built: each is a step, which takes a classic builder as long as a start. Of
more layers nothing is imported either: that makes one layer, and others have the same files in fewer."""


class Offers:
    """The sandbox's own registry, in its work folder, and the images in it."""

    def __init__(self, workdir: Path, labels: Mapping[str, str]) -> None:
        """`labels` mark every image as the run's."""
        self._place = workdir / "images"
        self._run = workdir.parent.name.lower()  # a reference must be lower case
        self._pushed = f"{self._run}/pushed"
        self._labels = labels
        self._registry: registry.Registry | None = None
        self._known: dict[str, Offer] = {}

    def offer(self, name: str, layers: Sequence[Layer]) -> Offer:
        """See `isobench.contracts.images.Images`. Starts the registry if none answers, so that the next block works
        even if it was killed."""
        kept = self._running()
        if name not in self._known:
            self._known[name] = self._put(kept, name, layers)
        kept.forget(self._pushed)  # of every image: an engine would link a layer that another one has, too
        return self._known[name]

    def close(self) -> None:
        """End the registry, if there is one. What it has goes with the work folder."""
        self._stop()

    def _stop(self) -> None:
        if self._registry is not None:
            self._registry.stop()

    def _running(self) -> registry.Registry:
        if self._registry is not None and self._registry.answers():
            return self._registry
        self._stop()
        self._known.clear()  # it has another port now
        self._place.mkdir(mode=0o700, exist_ok=True)
        self._registry = registry.start(self._place / "registry")
        return self._registry

    def _put(self, kept: registry.Registry, name: str, layers: Sequence[Layer]) -> Offer:
        repository, labels = f"{self._run}/{name}", {**self._labels, LABEL: name}
        image = image_of_layers(layers, labels)
        upload(kept, repository, _WHOLE, image)
        if len(layers) > 1:
            upload(kept, repository, _BELOW, image_of_layers(layers[:-1], labels))
        reference = f"{kept.address}/{repository}"
        archive = self._place / f"{name}.tar"
        write_archive(archive, image, f"{reference}:{_WHOLE}")
        context: Path | None = None
        root: Path | None = None
        is_usual = len(layers) <= _MOST_BUILT and is_gzip(layers)
        if isinstance(self, BuildsImages) and is_usual:
            context = self._place / f"{name}-context.tar"
            write_context(context, layers, labels)
        if isinstance(self, ImportsFiles) and is_usual:
            root = self._place / f"{name}-root.tar"
            root.unlink(missing_ok=True)  # of a registry that was killed
            root.symlink_to(files_of(layers))  # the path of the cache may have a colon, which is an address to Podman
        manifest = kept.manifest(repository, _WHOLE, MANIFEST)
        sizes = [int(one["size"]) for one in (manifest["config"], *manifest["layers"])]
        return Offer(
            image=f"{reference}:{_WHOLE}",
            below=f"{reference}:{_BELOW}" if len(layers) > 1 else "",
            # Another name of the registry: under this one the engine knows what it has pulled, and would only link it.
            # The name "localhost" may be the other address, ::1, or nobody's.
            elsewhere=f"{registry.LOOPBACK}:0{kept.port}/{self._pushed}/{name}:{_WHOLE}",
            archive=archive,
            context=context,
            wire_bytes=len(image.manifest) + sum(sizes),
            root=root,
        )

    def _instructions(self, image: str) -> list[str]:
        """What an offered image has besides its files, as lines of a Dockerfile."""
        labels = {**self._labels, LABEL: image.rpartition("/")[2].partition(":")[0]}
        return [*(f"LABEL {key}={value}" for key, value in labels.items()), 'CMD ["/probe", "ready"]', "WORKDIR /"]


def allocated(folders: Sequence[str]) -> int | None:
    """The bytes of the blocks that the folders of an image's layers take, each file once; None if they are not on this
    host, or if not all of them may be looked into."""
    if not folders or not all(map(os.path.isdir, folders)):
        return None
    blocks: dict[tuple[int, int], int] = {}
    try:
        for folder in folders:
            for where, inner, files in os.walk(folder, onerror=_unless_gone):
                for name in (".", *inner, *files):
                    with suppress(FileNotFoundError):
                        found = os.lstat(os.path.join(where, name))  # noqa: PTH118 (thousands of times)
                        blocks[found.st_dev, found.st_ino] = found.st_blocks
    except OSError:
        return None
    return 512 * sum(blocks.values())


def _unless_gone(error: OSError) -> None:
    """Raise the error, which `os.walk` would ignore, unless somebody has removed the folder meanwhile."""
    if not isinstance(error, FileNotFoundError):
        raise error


def upload(kept: registry.Registry, repository: str, tag: str, image: Layered) -> None:
    """Put an image into a registry."""
    for digest, blob in image.blobs.items():
        kept.put_blob(repository, digest, blob)
    kept.put_manifest(repository, tag, image.manifest, MANIFEST)
