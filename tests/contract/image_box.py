"""Engines that keep images, and what is there of images: for the tests of what goes well and of what fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from isobench.contracts.images import Offer
from isobench.core import deadlines
from isobench.images.kinds import layers_of_kind
from isobench.scenarios.image import SCENARIOS, Image
from tests.contract.opening import has_image_store, inner, opened

ENGINES = [
    pytest.param("docker", marks=pytest.mark.docker),
    pytest.param("podman", marks=pytest.mark.tool("podman")),
    pytest.param("containerd", marks=pytest.mark.docker),
    pytest.param("runc", marks=[pytest.mark.tool("skopeo"), pytest.mark.tool("umoci"), pytest.mark.tool("runc")]),
]

BY_KIND: dict[str, Image] = {one.kind: one for one in SCENARIOS if isinstance(one, Image)}
_CONTAINERDS = "containerd/daemon/io.containerd"
_STORED = (
    *("overlay2/*", "tmp/*", f"{_CONTAINERDS}.snapshotter.v1.overlayfs/snapshots/*"),
    *(f"{_CONTAINERDS}.content.v1.content/{place}/*" for place in ("blobs/sha256", "ingest")),
)
"""What an engine stores of images, below its folder; the last three are of containerd's image store."""


def present(client: Any) -> set[str]:
    """What the engine has of images of any run, but for a sandbox's own."""
    images = client.images(filters={"label": "isobench.image"})
    root = Path(client.info()["DockerRootDir"])
    stored = {str(path) for place in _STORED for path in root.glob(place) if path.name != "l" and not _is_record(path)}
    return {image["Id"] for image in images} | stored


def _is_record(path: Path) -> bool:
    """Whether it is none of containerd's compressed layers, but a small file about a build. BuildKit keeps its history
    there as long as the engine runs."""
    if path.parent.name != "sha256":
        return False
    with suppress(FileNotFoundError), path.open("rb") as file:
        return file.read(2) != b"\x1f\x8b"
    return True  # it has been removed by now


def there(sandbox: Any) -> set[str]:
    """The same by sandbox. Podman and umoci have a folder of the sandbox's own, containerd a namespace."""
    if hasattr(inner(sandbox), "_client"):
        return present(inner(sandbox)._client)
    if inner(sandbox).runtime.name == "containerd":
        asked = (("images", "ls"), ("snapshots", "ls"), ("content", "ls"), ("content", "active"), ("leases", "ls"))
        said = [sandbox.images()._said(*words).splitlines()[1:] for words in asked]
        return {line.split()[0] for lines in said for line in lines if line.strip()}
    if inner(sandbox).runtime.name == "runc":
        return {str(path) for path in (inner(sandbox).workdir / "umoci").glob("*/*")}
    return {str(path) for path in (inner(sandbox).workdir / "storage/overlay").glob("*/diff")}


def left(look: Callable[[], set[str]], before: set[str]) -> set[str]:
    """What is there besides what was there before. After a failed pull, Docker removes layers in its own time."""
    deadline = time.monotonic() + deadlines.stretched(30)
    while (more := look() - before) and time.monotonic() < deadline:
        time.sleep(0.1)
    return more


@contextmanager
def box(engine: str = "docker") -> Iterator[Any]:
    """An engine's sandbox; in the end the engine has what it had."""
    if engine == "docker-containerd" and not has_image_store():
        pytest.skip("Docker is older than 24.0, the first with containerd's image store")
    with opened(engine) as sandbox:
        before = there(sandbox)
        yield sandbox
        assert left(lambda: there(sandbox), before) == set()


def kept(sandbox: Any) -> Any:
    """The registry of a sandbox."""
    return sandbox.images()._registry


def offered(sandbox: Any, kind: str) -> Offer:
    """An image that is in the registry of a sandbox."""
    offer: Offer = sandbox.images().offer(kind, layers_of_kind(kind))
    return offer


def only_fetched(sandbox: Any, kind: str) -> Offer:
    """The same, but its cells do not build and import it, which is most of their time: for tests of what has no part in
    that. tests/contract/test_images.py does all of it with every engine."""
    offer = offered(sandbox, kind)._replace(context=None, root=None)
    sandbox.images()._known[kind] = offer
    return offer
