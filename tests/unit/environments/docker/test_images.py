"""What Docker says of images while it works, with a client that says what a test scripts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from isobench.contracts.images import MessageLost, OutOfReach
from isobench.core.errors import MeasurementError
from isobench.environments import _offers
from isobench.environments.docker._images import DockerImages, in_containerd
from isobench.environments.docker._leftovers import _own_tags
from isobench.environments.docker._sdk import docker

RUN = "isobench-20260101T000000Z-abcdef"


class Client:
    """An engine that answers everything with these lines."""

    def __init__(self, lines: Iterable[dict[str, Any]] = (), inspected: dict[str, Any] | None = None) -> None:
        self.lines = lines
        self.inspected = inspected or {}
        self.started: dict[str, dict[str, Any]] = {}
        self.removed: list[tuple[str, bool]] = []
        self.asked: list[Any] = []

    def pull(self, *words: Any, **options: Any) -> Iterator[dict[str, Any]]:
        self.asked.append(words)
        return iter(self.lines)

    push = load_image = pull

    def import_image_from_data(self, file: Any, **options: Any) -> str:
        self.asked.append(options)
        return "".join(f"{json.dumps(line)}\r\n" for line in self.lines)

    def tag(self, *words: Any) -> None:
        self.asked.append(words)

    def containers(self, *, all: bool, filters: dict[str, str]) -> list[dict[str, str]]:
        return [{"Id": name} for name in self.started]

    def inspect_container(self, name: str) -> dict[str, Any]:
        return self.started[name]

    def inspect_image(self, image: str) -> dict[str, Any]:
        return self.inspected

    def images(self, filters: dict[str, list[str]]) -> list[dict[str, str]]:
        self.asked.append(filters["label"])
        return [{"Id": "sha256:1"}, {"Id": "sha256:2"}]

    def remove_image(self, image: str, *, force: bool = False) -> None:
        self.removed.append((image, force))


def images(client: Client, tmp_path: Path) -> DockerImages:
    return DockerImages(client, tmp_path / RUN / "docker")


def test_a_pull_tells_when_all_had_come_and_what_was_there(tmp_path: Path) -> None:
    """By the last layer that was fetched; the name is divided at its tag, not at its port."""
    states = ("Pulling fs layer", "Already exists", "Already exists", "Download complete", "Pull complete")
    client = Client([{"status": state, "id": "x"} for state in states])
    pulled = images(client, tmp_path).pull("127.0.0.1:5000/run/image:latest")
    assert pulled.reused == 2 and pulled.fetched is not None
    assert client.asked == [("127.0.0.1:5000/run/image", "latest")]
    assert images(Client(), tmp_path).pull("127.0.0.1:5000/run/image:latest") == (None, 0)


def test_containerds_image_store_tells_too_late_when_all_had_come(tmp_path: Path) -> None:
    """It looks ten times a second. What was there it tells all the same."""
    states = ("Pulling fs layer", "Already exists", "Download complete")
    client = Client([{"status": state, "id": "x"} for state in states])
    box = DockerImages(client, tmp_path / RUN / "docker", tells_fetched=False)
    assert box.pull("127.0.0.1:5000/run/image:latest") == (None, 1)


@pytest.mark.parametrize(
    ("status", "is_there"),
    [
        ([["driver-type", "io.containerd.snapshotter.v1"]], True),
        ([["Backing Filesystem", "extfs"], ["Supports d_type", "true"]], False),
        (None, False),
    ],
)
def test_an_engine_tells_where_its_images_are(status: Any, is_there: bool) -> None:
    """As `docker info` does."""
    assert in_containerd({"DriverStatus": status}) == is_there
    assert not in_containerd({})


@pytest.mark.parametrize("doing", ["pull", "push", "load", "import"])
def test_an_error_among_the_lines_is_an_error(doing: str, tmp_path: Path) -> None:
    """The engine answers with success and says later what went wrong; a page of it is cut, in one line."""
    (tmp_path / "archive").write_bytes(b"")
    box = images(Client([{"status": "x"}, {"error": f"no\nspace left {'x' * 999}"}]), tmp_path)
    calls: dict[str, Callable[[], object]] = {
        "pull": lambda: box.pull("here/image:latest"),
        "push": lambda: box.push("here/image:latest", "there/image:latest"),
        "load": lambda: box.load(tmp_path / "archive"),
        "import": lambda: box.import_files(tmp_path / "archive", "here/image:latest"),
    }
    with pytest.raises(MeasurementError, match=f"{doing}ing the image: no space left xx") as failed:
        calls[doing]()
    assert len(failed.value.reason) < 400


def test_what_is_imported_is_the_runs(tmp_path: Path) -> None:
    """By its labels, so that it is cleared, also after a killed run; it can be run like the one that is pulled."""
    (tmp_path / "archive").write_bytes(b"")
    client = Client([{"status": "sha256:1"}])
    images(client, tmp_path).import_files(tmp_path / "archive", "127.0.0.1:5000/run/slim:latest")
    (asked,) = client.asked
    assert (asked["repository"], asked["tag"]) == ("127.0.0.1:5000/run/slim", "latest")
    assert asked["changes"] == [
        f"LABEL isobench.run={RUN}",
        f"LABEL {_offers.LABEL}=slim",
        'CMD ["/probe", "ready"]',
        "WORKDIR /",
    ]


def test_an_image_has_a_digest_and_so_have_its_layers(tmp_path: Path) -> None:
    client = Client(inspected={"Id": "sha256:1", "RootFS": {"Type": "layers", "Layers": ["sha256:2", "sha256:3"]}})
    assert images(client, tmp_path).digests("a:1") == ("sha256:1", ("sha256:2", "sha256:3"))
    with pytest.raises(MeasurementError, match="inspecting the image"):
        images(Client(), tmp_path).digests("a:1")


@pytest.mark.parametrize("doing", ["pull", "push"])
def test_what_is_tried_again_has_no_cost(doing: str, tmp_path: Path) -> None:
    """The engine waits for seconds before it tries a layer again, and may succeed then. A push is measured again."""
    later = iter([{"status": "Retrying in 5 seconds", "id": "x"}, {"status": "Retrying in 4 seconds", "id": "x"}])
    box = images(Client(later), tmp_path)
    call: dict[str, Callable[[], object]] = {
        "pull": lambda: box.pull("here/image:latest"),
        "push": lambda: box.push("here/image:latest", "there/image:latest"),
    }
    with pytest.raises(MeasurementError, match=f"{doing}ing the image: a layer broke off") as found:
        call[doing]()
    assert isinstance(found.value, MessageLost) == (doing == "push")
    assert next(later)  # nothing was waited for


@pytest.mark.parametrize("status", ["Layer already exists", "Mounted from some/image"])
def test_a_push_that_did_not_send_everything_is_no_push(status: str, tmp_path: Path) -> None:
    with pytest.raises(MeasurementError, match="not all of it was sent"):
        images(Client([{"status": "Pushed"}, {"status": status}]), tmp_path).push("a:1", "b:2")


def test_only_what_carries_the_runs_name_and_the_kinds_is_cleared(tmp_path: Path) -> None:
    client = Client()
    images(client, tmp_path).clear("busybox")
    assert client.asked == [[f"isobench.run={RUN}", f"{_offers.LABEL}=busybox"]]
    assert client.removed == [("sha256:1", True), ("sha256:2", True)]


def test_what_went_with_another_image_is_cleared(tmp_path: Path) -> None:
    """As the images of a build's steps do with the last one. Another refusal is one."""

    class Refusing(Client):
        refusal: type[Exception] = docker.errors.ImageNotFound

        def remove_image(self, image: str, *, force: bool = False) -> None:
            super().remove_image(image, force=force)
            raise self.refusal("no")

    client = Refusing()
    images(client, tmp_path).clear("busybox")
    assert len(client.removed) == 2
    client.refusal = docker.errors.APIError
    with pytest.raises(MeasurementError, match="removing what there is of the image"):
        images(client, tmp_path).clear("busybox")


@pytest.mark.parametrize("driver", [{}, {"GraphDriver": None}, {"GraphDriver": {"Data": None, "Name": "overlayfs"}}])
def test_what_names_no_folders_has_no_size_on_the_disk(driver: dict[str, Any], tmp_path: Path) -> None:
    """As with containerd's image store; nor has what lies on another machine."""
    assert images(Client(inspected=driver), tmp_path).disk_bytes("a:1") is None
    away = {"GraphDriver": {"Data": {"UpperDir": str(tmp_path / "none")}}}
    assert images(Client(inspected=away), tmp_path).disk_bytes("a:1") is None


def test_the_size_on_the_disk_is_of_blocks_and_each_file_counts_once(tmp_path: Path) -> None:
    """In all layers; a hole takes none."""
    for layer in ("one", "two"):
        (tmp_path / layer).mkdir()
    (tmp_path / "one/file").write_bytes(b"x" * 100_000)
    (tmp_path / "two/same").hardlink_to(tmp_path / "one/file")
    with (tmp_path / "two/hole").open("wb") as file:
        file.truncate(1 << 30)
    data = {"UpperDir": str(tmp_path / "one"), "LowerDir": f"{tmp_path / 'two'}"}
    found = images(Client(inspected={"GraphDriver": {"Data": data}}), tmp_path).disk_bytes("a:1")
    assert found is not None and 100_000 <= found < 200_000


def test_containers_take_what_they_do_not_share_with_their_image(tmp_path: Path) -> None:
    """Their own layers and the engine's files about each; the image's layers count once."""
    for name in ("image", "a/upper", "a/work", "a/init", "a/about", "b/upper", "b/work", "b/init", "b/about"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "file").write_bytes(b"x" * 100_000)
    client = Client(inspected={"GraphDriver": {"Data": {"UpperDir": str(tmp_path / "image")}}})
    taken = []
    for name in ("", "a", "b"):
        there = tmp_path / name
        data = {"UpperDir": f"{there}/upper", "WorkDir": f"{there}/work", "LowerDir": f"{there}/init:{tmp_path}/image"}
        client.started |= {name: {"GraphDriver": {"Data": data}, "HostsPath": f"{there}/about/hosts"}} if name else {}
        taken.append(images(client, tmp_path).disk_bytes("a:1") or 0)
    alone, first, second = taken
    assert 100_000 <= alone < 200_000
    assert 400_000 <= first - alone == second - first < 500_000


@pytest.mark.parametrize("hosts", ["", "/none/hosts"])
def test_a_container_whose_files_cannot_be_found_has_no_size(hosts: str, tmp_path: Path) -> None:
    """Rather than that of another folder."""
    data = {"GraphDriver": {"Data": {"UpperDir": str(tmp_path)}}}
    client = Client(inspected=data)
    assert images(client, tmp_path).disk_bytes("a:1") is not None
    client.started["a"] = {**data, "HostsPath": hosts}
    assert images(client, tmp_path).disk_bytes("a:1") is None


def test_the_sweep_knows_a_runs_tags_in_a_registry() -> None:
    """By the run's name between slashes; what somebody else named after it is left alone."""
    mine = [f"127.0.0.1:5000/{RUN.lower()}/busybox:latest", f"localhost:5000/{RUN.lower()}/pushed/busybox:latest"]
    theirs = ["theirs:latest", f"their-{RUN.lower()}:latest", f"127.0.0.1:5000/x{RUN.lower()}/busybox:latest"]
    assert _own_tags([*mine, *theirs, f"{RUN.lower()}:docker-1"], RUN) == [*mine, f"{RUN.lower()}:docker-1"]


class _Kept:
    """A registry of which only these two things are asked."""

    address = "127.0.0.1:5000"

    def __init__(self, *, alive: bool) -> None:
        self.alive = alive

    def answers(self) -> bool:
        return self.alive


@pytest.mark.parametrize(
    ("alive", "image", "words", "is_elsewhere"),
    [
        (True, "127.0.0.1:5000/run/slim:latest", "dial tcp 127.0.0.1:5000: connect: connection refused", True),
        (True, "127.0.0.1:5000/run/slim:latest", "dial tcp 127.0.0.1:5000: connect: network is unreachable", True),
        (True, "127.0.0.1:5000/run/slim:latest", "unexpected EOF", False),
        (False, "127.0.0.1:5000/run/slim:latest", "dial tcp 127.0.0.1:5000: connect: connection refused", False),
        (True, "127.0.0.1:50/run/slim:latest", "dial tcp 127.0.0.1:50: connect: connection refused", False),
    ],
)
def test_an_engine_that_does_not_reach_a_living_registry_is_elsewhere(
    tmp_path: Path, alive: bool, image: str, words: str, is_elsewhere: bool
) -> None:
    """In a container, in RootlessKit, on another machine. A registry that has died is a failure."""
    box = images(Client([{"error": words}]), tmp_path)
    box._registry = _Kept(alive=alive)  # type: ignore[assignment]
    with pytest.raises(MeasurementError, match="pulling the image: ") as failed:
        box.pull(image)
    assert isinstance(failed.value, OutOfReach) == is_elsewhere
