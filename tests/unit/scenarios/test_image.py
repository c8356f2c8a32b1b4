"""Images: what is asked of an engine in which order, what is timed, and what is left when it fails."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from isobench.cells.cell import TimedSandbox
from isobench.contracts.capabilities import Capability, KeepsImages
from isobench.contracts.environment import Role
from isobench.contracts.image_kinds import KINDS
from isobench.contracts.images import MessageLost, Offer, OutOfReach, Pulled, UnknownCompression
from isobench.contracts.launch import Launch
from isobench.core.errors import BuildError, MeasurementError, StoppedShort
from isobench.daemons import registry
from isobench.images import kinds
from isobench.planning import catalog
from isobench.scenarios import image
from isobench.scenarios.image import SCENARIOS, Image
from tests.fake import FakeInstance

WHOLE = Offer(
    image="here:1/run/busybox:latest",
    below="here:1/run/busybox:below",
    elsewhere="there:1/x:latest",
    archive=Path("x.tar"),
    context=Path("c.tar"),
    wire_bytes=1234,
    root=Path("r.tar"),
)


UNSAID = Pulled()


class FakeImages:
    """An engine that takes a second for everything, on a clock of its own."""

    def __init__(self, offer: Offer, pulled: Pulled, fails: str = "") -> None:
        self.now = 0.0
        self.asked: list[str] = []
        self.running = 0
        self.lost: list[str] = []
        """The steps that lose a message, the next time."""
        self.unknown: UnknownCompression | OutOfReach | None = None
        """What a pull ends with."""
        self._offer, self._pulled, self._fails = offer, pulled, fails

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None: ...

    def _do(self, what: str, *words: object) -> None:
        self.asked.append(" ".join((what, *map(str, words))))
        self.now += 1
        if what == self._fails:
            raise MeasurementError("the engine says no")
        if what == "pull" and self.unknown is not None:
            raise self.unknown
        if what in self.lost:
            self.lost.remove(what)
            raise MessageLost("the client lost it")

    def offer(self, name: str, layers: object) -> Offer:
        return self._offer

    def clear(self, name: str) -> None:
        self._do("clear", name)

    def pull(self, image: str) -> Pulled:
        self._do("pull", image)
        fetched = self._pulled.fetched
        return self._pulled._replace(fetched=self.now - 1 + fetched if fetched is not None else None)

    def load(self, archive: Path) -> None:
        self._do("load", archive)

    def push(self, image: str, elsewhere: str) -> None:
        self._do("push", image, elsewhere)

    def remove(self, image: str) -> None:
        self._do("remove", image)

    def disk_bytes(self, image: str) -> int | None:
        return 4096 + 100 * self.running


class FakeBuilder(FakeImages):
    made: tuple[tuple[str, tuple[str, ...]], ...] = (("image", ("low", "top")),) * 2
    """What each build gives, one after the other."""

    def digests(self, image: str) -> tuple[str, tuple[str, ...]]:
        made, *more = self.made
        self.made = (*more, made)
        return made

    def build(self, context: Path, image: str, *, cached: bool) -> None:
        self._do("build", context, image, "cached" if cached else "anew")


class FakeImporter(FakeImages):
    def import_files(self, root: Path, image: str) -> None:
        self._do("import", root, image)


class FakeBuildKit(FakeBuilder):
    lacks = ""

    def lacks_buildkit(self) -> str:
        return self.lacks

    def build_with_buildkit(self, context: Path, image: str, *, cached: bool) -> None:
        self._do("buildkit", context, image, "cached" if cached else "anew")


class Asked(FakeInstance):
    """An instance of an engine that says when it has created it."""

    def __init__(self) -> None:
        super().__init__(0.5)
        self.events |= {
            "created": self.events["requested"] + 2 * 10**8,
            "attached": self.events["requested"] + 3 * 10**8,
        }


class FakeSandbox:
    def __init__(self, images: FakeImages) -> None:
        self._images = images
        self.launched: list[Launch] = []
        self.instance: Callable[[], FakeInstance] = Asked

    def images(self) -> FakeImages:
        return self._images

    def daemons(self) -> list[int]:
        return []

    def facts(self) -> Mapping[str, str]:
        return {}

    @contextmanager
    def launch(self, launch: Launch) -> Iterator[FakeInstance]:
        self.launched.append(launch)
        self._images.running += 1
        yield self.instance()
        self._images.running -= 1


class Sealed:
    """A sandbox whose engine does not keep images."""

    def daemons(self) -> list[int]:
        return []

    def facts(self) -> Mapping[str, str]:
        return {}

    def launch(self, launch: Launch) -> Any:
        raise AssertionError


def sandbox(monkeypatch: pytest.MonkeyPatch, offer: Offer = WHOLE, pulled: Pulled = UNSAID, fails: str = "") -> Any:
    """Of an engine whose layers nobody has to make."""
    fake = FakeImages(offer, pulled, fails)
    monkeypatch.setattr(image, "time", fake)
    monkeypatch.setattr(os, "sync", lambda: fake.asked.append("sync"))
    monkeypatch.setattr(image, "seen_inside", lambda sandbox, name: dict.fromkeys(image._SEEN, "0"))
    monkeypatch.setattr(kinds, "layers_of_kind", lambda name: ())
    return FakeSandbox(fake)


BUSYBOX = Image("busybox", "")
CLEAR, PULL = "clear busybox", f"pull {WHOLE.image}"


def test_what_is_asked_and_what_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that is timed finds what it needs and nothing more; the container is one of the image."""
    box = sandbox(monkeypatch, pulled=Pulled(fetched=0.25, reused=0))
    found = BUSYBOX.measure(box)
    sent = [f"remove {WHOLE.image}", f"load {WHOLE.archive}", f"push {WHOLE.image} {WHOLE.elsewhere}"]
    assert box.images().asked == [CLEAR, PULL, "sync", *sent, CLEAR, f"pull {WHOLE.below}", PULL, CLEAR]
    assert [(one.image, one.is_idle) for one in box.launched] == [(WHOLE.image, True)] * 12
    assert found == {
        **dict.fromkeys(("pull", "remove", "load", "push", "pull-top"), 1.0),
        "fetch": 0.25,
        "unpack": 0.75,
        "create": 0.2,
        "start": 0.5,
        "start-again": 0.5,
        "first-byte": 1.5,
        "disk": 4096.0,
        "disk-first": 4196.0,
        "disk-tenth": 5096.0,
    }


def test_what_the_first_container_takes_of_the_memory_is_counted_while_it_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of processes that can be observed; of others there is no value."""

    class Here(Asked):
        pids: Mapping[int, Role] = {os.getpid(): "payload"}

        def host_pids(self) -> Mapping[int, Role]:
            return {} if "exited" in self.events else self.pids

    box = sandbox(monkeypatch)
    box.instance = Here
    assert BUSYBOX.measure(box)["memory"] > 1 << 20
    monkeypatch.setattr(Here, "pids", {})
    assert "memory" not in BUSYBOX.measure(box)


def test_where_the_disk_cannot_be_observed_no_more_containers_are_started(monkeypatch: pytest.MonkeyPatch) -> None:
    box = sandbox(monkeypatch)
    box.images().disk_bytes = lambda image: None
    assert not [name for name in BUSYBOX.measure(box) if name.startswith("disk")]
    assert len(box.launched) == 2


@pytest.mark.parametrize(
    ("engine", "without", "costs", "steps"),
    [
        (
            FakeBuilder,
            WHOLE._replace(context=None),
            {"build": 1.0, "build-cached": 1.0},
            [f"build {WHOLE.context} {WHOLE.image} {how}" for how in ("anew", "cached")],
        ),
        (FakeImporter, WHOLE._replace(root=None), {"import": 1.0}, [f"import {WHOLE.root} {WHOLE.image}"]),
    ],
)
def test_an_image_is_made_with_nothing_there_of_it(
    monkeypatch: pytest.MonkeyPatch, engine: type[FakeImages], without: Offer, costs: dict[str, float], steps: list[str]
) -> None:
    """By an engine that builds, anew and again, or imports; not if the image is not offered for that, as one of very
    many layers."""
    for offer, taken, asked in ((WHOLE, costs, [CLEAR, *steps]), (without, {}, [])):
        box = sandbox(monkeypatch, offer)
        images = engine(offer, UNSAID)
        monkeypatch.setattr(image, "time", images)
        box.images = lambda images=images: images
        found = BUSYBOX.measure(box)
        assert {name: found[name] for name in found if name.startswith(("build", "import"))} == taken
        assert images.asked[-1 - len(asked) :] == [*asked, CLEAR]


@pytest.mark.parametrize(
    ("second", "said"),
    [
        (("image", ("low", "top")), "2 of 2 layers are the same, the image is the same"),
        (("other", ("low", "top")), "2 of 2 layers are the same, the image is another one"),
        (("other", ("low", "new")), "1 of 2 layers are the same, the image is another one"),
    ],
)
def test_whether_an_image_is_built_alike_twice_is_a_fact(
    second: tuple[str, tuple[str, ...]], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a cache, and with nothing of it there afterwards; where nothing is built there is no such fact."""
    monkeypatch.setattr(kinds, "composition_of_kind", lambda name: kinds.Composition(1, 1, 1, (), (), (), 0))
    box = sandbox(monkeypatch)
    assert "rebuilt" not in BUSYBOX.facts(box)
    builder = FakeBuilder(WHOLE, UNSAID)
    builder.made = (("image", ("low", "top")), second)
    box.images = lambda: builder
    assert BUSYBOX.facts(box)["rebuilt"] == said
    build = f"build {WHOLE.context} {WHOLE.image} anew"
    assert builder.asked[:5] == [CLEAR, build, CLEAR, build, CLEAR]


def test_a_build_that_fails_costs_no_other_fact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "composition_of_kind", lambda name: kinds.Composition(1, 1, 1, (), (), (), 0))
    box = sandbox(monkeypatch)
    box.images = lambda: FakeBuilder(WHOLE, UNSAID, fails="build")
    facts = BUSYBOX.facts(box)
    assert facts["rebuilt"] == "not known: the engine says no" and facts["wire"] == "1234"


def test_what_a_program_sees_in_a_container_of_it_is_a_fact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an image that was pulled for it and is removed again; what cannot be known costs no other fact."""
    monkeypatch.setattr(kinds, "composition_of_kind", lambda name: kinds.Composition(1, 1, 1, (), (), (), 0))
    asked: list[str] = []

    def seen_inside(sandbox: object, name: str) -> dict[str, str]:
        asked.append(name)
        return {**dict.fromkeys(image._SEEN, "1"), "pid": "1"}

    box = sandbox(monkeypatch)
    monkeypatch.setattr(image, "seen_inside", seen_inside)
    facts = BUSYBOX.facts(box)
    assert facts["inside.files"] == facts["inside.calls"] == "1" and "inside.pid" not in facts
    assert (asked, box.images().asked) == ([WHOLE.image], [CLEAR, PULL, CLEAR])
    assert "without.disk" not in facts
    facts = BUSYBOX.facts(sandbox(monkeypatch, fails="pull"))
    assert facts["inside"] == "not known: the engine says no" and facts["wire"] == "1234"


def test_why_it_is_not_known_what_an_image_takes_is_a_fact(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for an ordinary user, who may not look into Docker's folders."""
    monkeypatch.setattr(kinds, "composition_of_kind", lambda name: kinds.Composition(1, 1, 1, (), (), (), 0))
    box = sandbox(monkeypatch)
    box.images().disk_bytes = lambda image: None
    assert "may not look into them" in BUSYBOX.facts(box)["without.disk"]


def test_why_an_engine_imports_no_files_is_a_fact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "composition_of_kind", lambda name: kinds.Composition(1, 1, 1, (), (), (), 0))
    box = sandbox(monkeypatch)
    assert "without.import" not in BUSYBOX.facts(box)
    box.images().without_import = "it makes none"
    assert BUSYBOX.facts(box)["without.import"] == "it makes none"


def test_buildkit_begins_with_nothing_of_what_the_other_builder_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it can be used; where it cannot, the reason is a fact."""
    monkeypatch.setattr(kinds, "composition_of_kind", lambda name: kinds.Composition(1, 1, 1, (), (), (), 0))
    for lacks in ("", "no docker command here has BuildKit"):
        box = sandbox(monkeypatch)
        builder = FakeBuildKit(WHOLE, UNSAID)
        builder.lacks = lacks
        monkeypatch.setattr(image, "time", builder)
        box.images = lambda builder=builder: builder
        found = BUSYBOX.measure(box)
        assert ("buildkit" in found, "buildkit-cached" in found) == (not lacks, not lacks) and "build" in found
        steps = [f"buildkit {WHOLE.context} {WHOLE.image} {how}" for how in ("anew", "cached")]
        assert (builder.asked[-4:-1] == [CLEAR, *steps]) == (not lacks)
        assert BUSYBOX.facts(box).get("without.buildkit", "") == lacks


def test_an_image_of_one_layer_has_none_below(monkeypatch: pytest.MonkeyPatch) -> None:
    box = sandbox(monkeypatch, WHOLE._replace(below=""))
    assert "pull-top" not in BUSYBOX.measure(box) and box.images().asked.count(PULL) == 1


def test_an_engine_that_does_not_say_when_all_had_come_gives_no_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    box = sandbox(monkeypatch)
    box.instance = lambda: FakeInstance(0.5)
    found = BUSYBOX.measure(box)
    assert not {"fetch", "unpack", "create"} & set(found) and found["pull"] == 1.0


def test_a_pull_that_found_layers_is_no_cold_one(monkeypatch: pytest.MonkeyPatch) -> None:
    box = sandbox(monkeypatch, pulled=Pulled(reused=2))
    with pytest.raises(MeasurementError, match="2 layers of the image were there already"):
        BUSYBOX.measure(box)
    assert box.images().asked == [CLEAR, PULL, CLEAR]


@pytest.mark.parametrize("step", ["pull", "remove", "load", "push"])
def test_after_a_failure_the_engine_is_cleared(monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """And its reason is the one that is told."""
    box = sandbox(monkeypatch, fails=step)
    with pytest.raises(MeasurementError, match="the engine says no"):
        BUSYBOX.measure(box)
    assert box.images().asked[-1] == CLEAR


@pytest.mark.parametrize("step", ["pull", "push"])
def test_after_a_lost_message_everything_is_measured_again_but_once(monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """A message that is lost each time is no accident."""
    box = sandbox(monkeypatch)
    usual = BUSYBOX.measure(box)
    fake = box.images()
    asked, fake.lost = list(fake.asked), [step]
    fake.asked.clear()
    assert BUSYBOX.measure(box) == usual
    again = next(at for at, what in enumerate(fake.asked) if what.startswith(step))
    assert fake.asked == [*asked[: again + 1], CLEAR, *asked]
    fake.lost = [step, step]
    with pytest.raises(MessageLost, match="the client lost it"):
        BUSYBOX.measure(box)


def test_an_engine_too_old_for_a_compression_gives_no_number_and_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """But for layers of gzip, which all engines know, the same words are a failure."""
    box = sandbox(monkeypatch)
    box.images().unknown = UnknownCompression("invalid tar header", remedy="a newer engine")
    with pytest.raises(StoppedShort, match=r"^invalid tar header \(a newer engine\)$") as stopped:
        Image("distroless-zstd", "").measure(box)
    assert stopped.value.values == {} and box.images().asked[-1] == "clear distroless-zstd"
    with pytest.raises(UnknownCompression):
        BUSYBOX.measure(box)


def test_an_engine_in_another_network_gives_no_number_and_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the kind."""
    box = sandbox(monkeypatch)
    box.images().unknown = OutOfReach("it is elsewhere", remedy="another one")
    with pytest.raises(StoppedShort, match=r"^it is elsewhere \(another one\)$") as stopped:
        BUSYBOX.measure(box)
    assert stopped.value.values == {} and box.images().asked[-1] == CLEAR


def test_an_engine_that_cannot_be_cleared_gives_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next pull would not be cold."""
    box = sandbox(monkeypatch, fails="clear")
    with pytest.raises(MeasurementError, match="the engine says no"):
        BUSYBOX.measure(box)
    assert box.images().asked == [CLEAR]


def test_what_a_run_times_keeps_images_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The runner's own sandbox has them as the engine's has; one without them is told from it."""
    box = sandbox(monkeypatch)
    assert isinstance(TimedSandbox(box), KeepsImages) and TimedSandbox(box).images() is box.images()  # type: ignore[attr-defined]
    with pytest.raises(MeasurementError, match="has no images"):
        BUSYBOX.measure(Sealed())


def test_what_the_host_lacks_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry, or what an image is made of, each with its remedy."""

    def cannot(name: str) -> None:
        raise BuildError("this host has no static busybox", remedy="apt-get install busybox-static")

    monkeypatch.setattr(kinds, "layers_of_kind", cannot)
    monkeypatch.setattr(registry, "find", lambda name: "/usr/bin/docker-registry")
    assert BUSYBOX.lacks() == ("this host has no static busybox", "apt-get install busybox-static")
    monkeypatch.setattr(registry, "find", lambda name: None)
    assert BUSYBOX.lacks() == ("docker-registry is not installed", registry.REMEDY)


def test_they_are_run_when_they_are_named() -> None:
    """By their group or one by one, and in the engines that keep images alone."""
    names = {one.name for one in SCENARIOS}
    of_images = [one for one in catalog.select_scenarios("image") if Capability.DISKS not in one.needs]
    assert {one.name for one in of_images} == names | {"image-signed"}
    assert {one.name for one in SCENARIOS} & {one.name for one in catalog.select_scenarios("default")} == set()
    able = {name for name, one in catalog.environments().items() if SCENARIOS[0].needs <= one.capabilities}
    assert "docker" in able and "process" not in able and len(KINDS) == len(SCENARIOS)
