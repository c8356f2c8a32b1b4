"""Images in Podman: which layers a failed pull has left, and how they are removed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from isobench.contracts.images import Offer
from isobench.core.errors import MeasurementError
from isobench.environments.runtimes._podman_images import PodmanImages

OFFER = Offer("here:1/run/slim:latest", "here:1/run/slim:below", "there:1/slim:latest", Path("slim.tar"), None, 1)
LAYERS = [{"id": "base"}, {"id": "low", "parent": "base"}, {"id": "top", "parent": "low"}]


def listed(storage: Path, what: str, *ones: dict[str, str], volatile: bool = False) -> None:
    """Write one of the lists that the storage keeps."""
    folder = storage / f"overlay-{what}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{'volatile-' if volatile else ''}{what}.json").write_text(json.dumps(ones))


class Podman:
    """A storage in which the removal of an image also removes its layers; `takes` says whether loading owns them."""

    def __init__(self, workdir: Path, *, takes: bool = True) -> None:
        self.storage = workdir / "storage"
        self.said: list[str] = []
        self._takes = takes

    def __call__(self, *words: str) -> str:
        self.said.append(words[0])
        if words[0] == "rmi" and self._takes:
            listed(self.storage, "layers", LAYERS[0])
        return "sha256:1\n" if words[0] == "images" and "load" in self.said else ""


def images(podman: Podman) -> PodmanImages:
    found = PodmanImages(podman.storage.parent, podman)
    found._known["slim"] = OFFER
    listed(podman.storage, "images", {"id": "1", "layer": "base"})
    listed(podman.storage, "layers", *LAYERS)
    return found


def test_layers_of_a_failed_pull_are_removed_with_an_image_that_has_them(tmp_path: Path) -> None:
    """Otherwise the next pull would not be cold, and Podman would not say so."""
    podman = Podman(tmp_path)
    images(podman).clear("slim")
    assert podman.said == ["images", "load", "images", "rmi"]


def test_what_is_imported_is_found_by_its_label(tmp_path: Path) -> None:
    """A path is given, since Podman would first copy what it reads from its standard input."""
    words: list[str] = []

    def said(*told: str) -> str:
        words.extend(told)
        return ""

    PodmanImages(tmp_path, said).import_files(Path("/x/root.tar"), OFFER.image)
    assert words[:2] == ["import", "--quiet"] and words[-2:] == ["/x/root.tar", OFFER.image]
    assert "--change=LABEL isobench.image=slim" in words


def test_an_image_has_a_digest_and_so_have_its_layers(tmp_path: Path) -> None:
    told = json.dumps([{"Id": "1", "RootFS": {"Type": "layers", "Layers": ["sha256:2", "sha256:3"]}}])
    assert PodmanImages(tmp_path, lambda *said: told).digests(OFFER.image) == ("1", ("sha256:2", "sha256:3"))


@pytest.mark.parametrize("folders", [":", "<no value>:<no value>"])
def test_of_a_driver_that_names_no_folders_nothing_is_counted(tmp_path: Path, folders: str) -> None:
    """Not a container's own files about it alone: with vfs a container is a whole copy."""
    (tmp_path / "about").mkdir()
    told = {"image": f"{folders}\n", "ps": "1\n", "container": f"{folders}:<no value>:{tmp_path}/about\n"}
    assert PodmanImages(tmp_path, lambda *said: told[said[0]]).disk_bytes(OFFER.image) is None


def test_layers_that_stay_fail_the_cell(tmp_path: Path) -> None:
    with pytest.raises(MeasurementError, match="2 layers that no image has remain"):
        images(Podman(tmp_path, takes=False)).clear("slim")


def test_what_images_and_containers_have_is_no_leftover(tmp_path: Path) -> None:
    """Of an image all layers down to the lowest, of a container the layers beneath its own; in either list."""
    podman = Podman(tmp_path)
    box = images(podman)
    listed(podman.storage, "images", {"id": "1", "layer": "low"})
    listed(podman.storage, "layers", *LAYERS[:2])
    listed(podman.storage, "layers", LAYERS[2], volatile=True)
    listed(podman.storage, "containers", {"id": "2", "layer": "top"}, volatile=True)
    box.clear("slim")
    assert podman.said == ["images"]


@pytest.mark.parametrize("empty", [None, b"", b"null", b"[]"])
def test_a_storage_without_images_has_no_leftovers(tmp_path: Path, empty: bytes | None) -> None:
    podman = Podman(tmp_path)
    box = PodmanImages(tmp_path, podman)
    box._known["slim"] = OFFER
    for what in ("layers", "images", "containers") if empty is not None else ():
        listed(podman.storage, what)
        (podman.storage / f"overlay-{what}/{what}.json").write_bytes(empty or b"")
    box.clear("slim")
    assert podman.said == ["images"]
