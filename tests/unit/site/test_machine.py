"""What the pages of a machine are made of: courses, levels, intervals."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from isobench.nights.history import Night, Point, read
from isobench.site.machine import Machine, examine
from tests.unit.analysis.made import night
from tests.unit.site.made import STEP, add, add_nights

COUNT = 60


def nights(ratios: list[float] | np.ndarray, baseline: str = "process") -> list[Night]:
    """A night for each ratio of docker; NaN is a night whose baseline failed."""
    made = []
    for index, ratio in enumerate(ratios):
        points = [Point("a", "b", "docker", 0.2, float(ratio))]
        points += [Point("a", "b", baseline, 0.1, math.nan)] if not math.isnan(ratio) else []
        made.append(Night(f"h/{index}", "r", "h", night(index), baseline, {}, points))
    return made


def examined(given: list[Night], folder: Path = Path("nowhere")) -> Machine:
    return examine(folder, given, None, [""] * len(given), [])


def noise(seed: int = 1) -> np.ndarray:
    return np.exp(np.random.default_rng(seed).normal(0, 0.01, COUNT))


@pytest.mark.parametrize(("step", "back"), [(30, None), (20, 40)])
def test_levels_are_between_confirmed_changes(step: int, back: int | None) -> None:
    """Their numbers are the medians, and they leave no night out."""
    ratios = noise()
    ratios[step:back] *= 1.2
    (course,) = [one for one in examined(nights(ratios)).courses["a.b"] if one.environment == "docker"]
    edges = [0, step, *([back] if back else []), COUNT]
    assert [(level.first, level.last + 1) for level in course.levels] == list(pairwise(edges))
    for level in course.levels:
        assert level.number == pytest.approx(float(np.median(ratios[level.first : level.last + 1])))


def test_noise_has_one_level() -> None:
    """Nothing is drawn where nothing is known to have changed."""
    machine = examined(nights(noise()))
    assert all(len(course.levels) == 1 for course in machine.courses["a.b"]) and machine.watched == 2


def test_a_cost_without_its_baseline_for_a_night_is_told_by_its_ratios() -> None:
    """Values on those nights are no course of their own, as the trend does not watch them."""
    ratios = noise()
    ratios[5] = math.nan
    courses = examined(nights(ratios)).courses["a.b"]
    assert [(one.environment, one.against, len(one.nights)) for one in courses] == [
        ("process", "", COUNT - 1), ("docker", "process", COUNT - 1),
    ]  # fmt: skip


def test_another_baseline_is_another_course() -> None:
    """With a place of its own on the page; the newest comes first."""
    given = nights(noise())[: COUNT // 2] + nights(noise(), "chroot")[COUNT // 2 :]
    docker = [one for one in examined(given).courses["a.b"] if one.environment == "docker"]
    assert [(one.against, one.place) for one in docker] == [("chroot", "in-docker"), ("process", "in-docker~2")]


def test_the_newest_run_has_its_interval(tmp_path: Path) -> None:
    """Only it, and only of costs that it has; a run that went away meanwhile has none."""
    add_nights(tmp_path, STEP)
    add(tmp_path, STEP, names=("process", "process@control", "chroot"))
    given = read(tmp_path).nights
    machine = examined(given, tmp_path)
    chroot, docker = (machine.newest["startup.m0", name] for name in ("chroot", "docker"))
    assert chroot.estimate is not None and chroot.estimate.ratio_low < chroot.estimate.ratio_high
    assert docker.estimate is None and docker.night == STEP - 1
    assert examined(given, tmp_path / "gone").newest["startup.m0", "chroot"].estimate is None
    assert machine.hardware == "CPU, 4 CPUs"
