"""Two groups and drift: found where they were put, and seldom elsewhere."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from isobench.analysis.results import load
from isobench.estimation.shape import drift, kendall, oddities, two_groups
from tests.unit.analysis.made import write_run


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_two_groups_are_found(share: float) -> None:
    random = np.random.default_rng(1)
    values = np.exp(random.normal(0, 0.02, 40))
    values[: round(40 * share)] *= 1.3
    found = two_groups(random.permutation(values))
    assert found is not None
    assert found.share == pytest.approx(share) and found.upper / found.lower == pytest.approx(1.3, rel=0.03)


@pytest.mark.parametrize("kind", ["normal", "uniform", "log-normal"])
def test_one_cloud_is_seldom_taken_for_two(kind: str) -> None:
    """At most one in fifty, at twenty values each."""
    random = np.random.default_rng(2)
    clouds = {
        "normal": np.exp(random.normal(0, 0.2, (500, 20))),
        "uniform": np.exp(random.uniform(0, 1, (500, 20))),
        "log-normal": random.lognormal(0, 1, (500, 20)),
    }
    assert sum(two_groups(cloud) is not None for cloud in clouds[kind]) <= 10


def test_drift_is_the_whole_way() -> None:
    blocks = np.arange(1, 41)
    assert drift(blocks, 2.0 * 1.2 ** ((blocks - 1) / 39)) == pytest.approx(1.2)


def test_a_run_in_words(tmp_path: Path) -> None:
    """A quiet run has nothing to say; the same with a drift and with two groups has."""
    tables = load(write_run(tmp_path, blocks=40)).tables
    assert oddities(tables) == []
    ready = tables["startup", "ready"]
    docker, chroot = ready["docker"], ready["chroot"]
    ready["docker"] = docker._replace(values=docker.values * (1 + 0.01 * docker.blocks))
    ready["chroot"] = chroot._replace(values=chroot.values * np.where(chroot.blocks % 3 == 0, 1.5, 1.0))
    said = {one.environment: one.text for one in oddities(tables)}
    assert said.keys() == {"docker", "chroot"}
    assert "drifted" in said["docker"] and "two groups: 68% around" in said["chroot"]


@pytest.mark.parametrize("ties", [False, True])
def test_kendalls_p_and_the_slope_are_scipys(ties: bool) -> None:
    """On forty values with and without ties: within a hundredth, and to the last digit."""
    values = np.random.default_rng(9).normal(0, 1, 40) + np.linspace(0, 0.8, 40)
    values = np.exp(np.round(values) if ties else values)
    blocks = np.arange(1, 41)
    assert kendall(blocks, values) == pytest.approx(
        stats.kendalltau(blocks, values, method="asymptotic").pvalue, abs=0.01
    )
    slope = stats.theilslopes(np.log(values), blocks).slope
    assert drift(blocks, values) == pytest.approx(math.exp(slope * 39))
