"""Images without an engine: skopeo fetches them into an OCI layout, and umoci unpacks them into the root file system of
a bundle, which runc runs. There is no storage of layers: each image is unpacked as a whole, into a folder of its own.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from isobench.contracts.images import Pulled, UnknownCompression
from isobench.core import deadlines
from isobench.core.errors import MeasurementError, Unavailable
from isobench.environments._offers import allocated
from isobench.environments._signed import SignedOffers, rejections
from isobench.environments.runtimes._blob_cache import BlobCache
from isobench.filesystem.mounts import remove_tree
from isobench.filesystem.paths import check_name
from isobench.probe.launcher import ENVIRON
from isobench.processes.programs import find, output

if TYPE_CHECKING:
    from pathlib import Path

TOOLS = ("skopeo", "umoci")
_ANYTHING = "--insecure-policy"
_TOO_OLD = "tar+zstd"
"""What umoci says of a layer with a compression that it does not know."""


class UmociImages(SignedOffers):
    """Implements `isobench.contracts.images.Images` in a folder of the sandbox's. An image and that without its
    uppermost layer share a layout, so that skopeo fetches what they have in common once."""

    without_import = "umoci makes an image of files in several steps (init, new, insert, config), and has no import"

    def __init__(self, workdir: Path) -> None:
        """Raises `Unavailable` if a tool is missing, or cannot work in this folder."""
        for name in TOOLS:
            if find(name) is None:
                raise Unavailable(f"{name} is not installed", remedy=f"apt-get install {name}")
        check_name(workdir, "skopeo", ":", "ISOBENCH_WORK")  # which begins the tag in the name of an image
        super().__init__(workdir, {})
        self._workdir = workdir
        self._folder = workdir / "umoci"
        self._cache = BlobCache(workdir)

    def close(self) -> None:
        super().close()
        self._cache.close()

    def root_of(self, image: str) -> Path:
        """The root file system of an image that was pulled or loaded."""
        return self._bundle(image) / "rootfs"

    def clear(self, name: str) -> None:
        remove_tree(self._folder / name)

    def pull(self, image: str) -> Pulled:
        self._fetch(image, _ANYTHING)
        fetched = time.monotonic()
        self._unpack(image)
        return Pulled(fetched)

    def pull_by_policy(self, image: str, *, verified: bool) -> None:
        policy = f"--policy={self.policy(verified=verified)}"
        with rejections():
            self._fetch(image, policy)
        self._unpack(image)

    def load(self, archive: Path) -> None:
        image = self._known[archive.stem].image
        self._folder_of(image).mkdir(mode=0o700, parents=True, exist_ok=True)
        self._copy(_ANYTHING, f"oci-archive:{archive}", self._stored(image))
        self._unpack(image)

    def push(self, image: str, elsewhere: str) -> None:
        self._copy(_ANYTHING, "--dest-tls-verify=false", self._stored(image), f"docker://{elsewhere}")

    def remove(self, image: str) -> None:
        """Its name, the blobs that no other image has, and what was unpacked."""
        self._said("umoci", "rm", f"--image={self._named(image)}")
        self._said("umoci", "gc", f"--layout={self._folder_of(image)}/layout")
        remove_tree(self._bundle(image))

    def disk_bytes(self, image: str) -> int | None:
        """The compressed layers and the unpacked files."""
        return allocated([f"{self._folder_of(image)}/layout", str(self._bundle(image))])

    def _folder_of(self, image: str) -> Path:
        """The folder of all images of a name."""
        return self._folder / image.rpartition("/")[2].partition(":")[0]

    def _named(self, image: str) -> str:
        """The image in its layout, as umoci names it."""
        return f"{self._folder_of(image)}/layout:{_tag(image)}"

    def _stored(self, image: str) -> str:
        """The same as skopeo names it."""
        return f"oci:{self._named(image)}"

    def _bundle(self, image: str) -> Path:
        return self._folder_of(image) / f"bundle-{_tag(image)}"

    def _fetch(self, image: str, policy: str) -> None:
        self._folder_of(image).mkdir(mode=0o700, parents=True, exist_ok=True)
        self._copy(policy, "--src-tls-verify=false", f"docker://{image}", self._stored(image))

    def _copy(self, policy: str, *words: str) -> None:
        """Signatures are verified, and not copied: a layout cannot hold them."""
        (self._folder / "tmp").mkdir(mode=0o700, parents=True, exist_ok=True)
        options = (policy, f"--tmpdir={self._folder}/tmp")
        self._said("skopeo", *options, "copy", "--quiet", "--remove-signatures", *words)

    def _unpack(self, image: str) -> None:
        try:
            self._said("umoci", "unpack", f"--image={self._named(image)}", str(self._bundle(image)))
        except MeasurementError as error:
            if _TOO_OLD not in error.reason:
                raise
            remedy = "for layers of zstd: an engine, or a newer umoci"
            raise UnknownCompression(error.reason, remedy=remedy) from error

    def _said(self, tool: str, *words: str) -> None:
        """Raises `MeasurementError` with the tool's reason."""
        apart = self._cache.words() if tool == "skopeo" else []  # umoci has no such cache
        command = [*apart, find(tool) or tool, *words]
        environ = {**ENVIRON, **dict.fromkeys(("HOME", "TMPDIR"), str(self._workdir))}
        try:
            output(command, deadlines.stretched(300), environ=environ)
        except MeasurementError as error:
            doing = "copy" if tool == "skopeo" else words[0]
            raise MeasurementError(f"{tool} {doing}: {error.reason.partition(': ')[2]}") from error


def _tag(image: str) -> str:
    return image.rpartition(":")[2]
