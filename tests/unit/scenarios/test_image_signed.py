"""A signed image: what is refused, in which order it is pulled, and what is left when something fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from isobench.contracts.images import Pulled, Rejected, Signed
from isobench.core.errors import BuildError, MeasurementError
from isobench.daemons import registry
from isobench.images import kinds
from isobench.planning import catalog
from isobench.scenarios import image_signed
from isobench.scenarios.image_signed import SCENARIOS, SignedImage

OFFERED = Signed("here:1/run/signed:image", "here:1/run/signed:unsigned", "here:1/run/signed:altered")


class FakeImages:
    """An engine that takes a second for every pull, and another one to verify a signature."""

    def __init__(self, accepts: set[str], fails: str = "") -> None:
        self.now = 0.0
        self.asked: list[str] = []
        self._accepts, self._fails = accepts, fails

    def monotonic(self) -> float:
        return self.now

    def signed(self, name: str, layers: object) -> Signed:
        return OFFERED

    def clear(self, name: str) -> None:
        self.asked.append("clear")

    def pull_by_policy(self, image: str, *, verified: bool) -> None:
        what = f"{image.rpartition(':')[2]} {'verified' if verified else 'unverified'}"
        self.asked.append(what)
        self.now += 1 + verified
        if what == self._fails:
            raise MeasurementError("the registry is gone")
        if verified and image not in self._accepts:
            raise Rejected("Source image rejected")

    def offer(self, name: str, layers: object) -> Any: ...
    def pull(self, image: str) -> Pulled: ...  # type: ignore[empty-body]
    def load(self, archive: Path) -> None: ...
    def push(self, image: str, elsewhere: str) -> None: ...
    def remove(self, image: str) -> None: ...
    def disk_bytes(self, image: str) -> int | None: ...


class FakeSandbox:
    def __init__(self, images: object) -> None:
        self._images = images

    def images(self) -> Any:
        return self._images

    def daemons(self) -> list[int]:
        return []

    def facts(self) -> dict[str, str]:
        return {}

    def launch(self, launch: object) -> Any:
        raise AssertionError("nothing is started")


@pytest.fixture(autouse=True)
def no_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "layers_of_kind", lambda name: ())


def measured(monkeypatch: pytest.MonkeyPatch, images: FakeImages) -> dict[str, float]:
    monkeypatch.setattr(image_signed, "time", images)
    return dict(SignedImage().measure(FakeSandbox(images)))


def test_each_policy_pulls_twice_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """After both refusals, which warm up what verifies; nothing of the image is there before a pull or afterwards."""
    engine = FakeImages({OFFERED.image})
    assert measured(monkeypatch, engine) == {"pull-unverified": 1.0, "pull-verified": 2.0}
    how = ("unverified", "verified", "verified", "unverified")
    pulls = ["unsigned verified", "altered verified", *(f"image {one}" for one in how)]
    assert engine.asked == [*(step for pull in pulls for step in ("clear", pull)), "clear"]


@pytest.mark.parametrize(
    ("accepted", "words"),
    [(OFFERED.unsigned, "let an unsigned image through"), (OFFERED.altered, "an image with another one's signature")],
)
def test_a_policy_that_lets_an_image_through_gives_no_time(
    monkeypatch: pytest.MonkeyPatch, accepted: str, words: str
) -> None:
    engine = FakeImages({OFFERED.image, accepted})
    with pytest.raises(MeasurementError, match=words):
        measured(monkeypatch, engine)
    assert engine.asked[-1] == "clear" and "image unverified" not in engine.asked


@pytest.mark.parametrize("step", ["unsigned verified", "altered verified", "image unverified", "image verified"])
def test_another_failure_is_no_refusal(monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """An engine that cannot reach the registry has refused nothing."""
    engine = FakeImages({OFFERED.image}, fails=step)
    with pytest.raises(MeasurementError, match="the registry is gone"):
        measured(monkeypatch, engine)
    assert engine.asked[-1] == "clear"


def test_a_signed_image_that_is_refused_fails_the_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Rejected):
        measured(monkeypatch, FakeImages(set()))


def test_an_engine_that_verifies_nothing_gives_no_number() -> None:
    with pytest.raises(MeasurementError, match="verifies no images"):
        SignedImage().measure(FakeSandbox(object()))


def test_what_the_host_lacks_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs, the right to keep GPG's agent apart, the image's layers."""
    scenario, here = SignedImage(), {registry.PROGRAM, "gpg", "gpg-agent"}
    for module in (image_signed, registry):
        monkeypatch.setattr(module, "find", lambda name: name if name in here else None)
    monkeypatch.setattr(image_signed, "lacking", list)
    assert scenario.lacks() is None
    programs = {one: f"apt-get install {one}" for one in ("gpg-agent", "gpg")} | {registry.PROGRAM: registry.REMEDY}
    for name, remedy in programs.items():
        here.remove(name)
        assert scenario.lacks() == (f"{name} is not installed", remedy)
    here |= programs.keys()
    monkeypatch.setattr(image_signed, "lacking", lambda: ["CAP_SYS_ADMIN"])
    lack = scenario.lacks()
    assert lack is not None and "CAP_SYS_ADMIN" in lack.reason
    monkeypatch.setattr(image_signed, "lacking", list)

    def cannot(name: str) -> None:
        raise BuildError("this host has no compiler", remedy="apt-get install gcc")

    monkeypatch.setattr(kinds, "layers_of_kind", cannot)
    assert scenario.lacks() == ("this host has no compiler", "apt-get install gcc")


def test_it_is_for_engines_that_verify() -> None:
    able = {name for name, one in catalog.environments().items() if SCENARIOS[0].needs <= one.capabilities}
    assert "podman" in able and not able & {"process", "docker", "containerd", "podman-rootless", "tcg"}
