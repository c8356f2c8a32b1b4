"""Two runs against each other."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import msgspec
import numpy as np
import pytest
from scipy import stats

from bench import store
from bench.analysis.compare import Comparison, compare, shift
from bench.errors import UsageError
from tests.unit.analysis.made import write_run

SCHEMA = Path(__file__).parents[3] / "docs" / "compare.schema.json"


def _compare(a: Path, b: Path, **options: object) -> Comparison:
    return compare(store.load(a), store.load(b), **options)  # type: ignore[arg-type]


def test_a_slower_docker_is_found_and_nothing_else(tmp_path: Path) -> None:
    """Twenty per cent more in one environment: one confirmed verdict, the rest equivalent."""
    a = write_run(tmp_path, started="2026-01-01T02:00:00Z", seed=1)
    b = write_run(tmp_path, started="2026-01-02T02:00:00Z", seed=2, factors={"docker": 240.0})
    found = {change.environment: change for change in _compare(a, b).changes}
    assert found.keys() == {"process", "chroot", "docker"}
    assert found["docker"].verdict == "slower" and found["docker"].confirmed
    assert found["docker"].low < 1.2 < found["docker"].high
    assert {found["process"].verdict, found["chroot"].verdict} == {"equivalent"}


def test_a_change_within_the_noise_is_not_confirmed(tmp_path: Path) -> None:
    """The baseline's second copy strays by 30 % in this run: a change of 20 % says nothing."""
    a = write_run(tmp_path, started="2026-01-01T02:00:00Z", seed=1, factors={"process@control": 1.3})
    b = write_run(tmp_path, started="2026-01-02T02:00:00Z", seed=2, factors={"docker": 240.0})
    docker = next(c for c in _compare(a, b).changes if c.environment == "docker")
    assert docker.verdict == "slower" and not docker.confirmed


def test_two_hosts_are_refused_unless_told(tmp_path: Path) -> None:
    """Across hosts, a host twice as slow changes no ratio."""
    a = write_run(tmp_path, host="one")
    b = write_run(
        tmp_path, host="two", seed=5, factors={"process": 2.0, "process@control": 2.0, "chroot": 2.2, "docker": 400.0}
    )
    with pytest.raises(UsageError, match="two hosts"):
        _compare(a, b)
    found = _compare(a, b, across_hosts=True)
    assert found.compared == "ratios to the baseline"
    assert {c.environment: c.verdict for c in found.changes} == {"chroot": "equivalent", "docker": "equivalent"}


def test_the_document_is_as_documented(tmp_path: Path) -> None:
    """docs/compare.schema.json is made from the records, and what is printed obeys it."""
    documented = json.loads(SCHEMA.read_text())
    assert documented == msgspec.json.schema(Comparison)
    a = write_run(tmp_path, started="2026-01-01T02:00:00Z")
    b = write_run(tmp_path, started="2026-01-02T02:00:00Z", kernel="6.2")
    document = json.loads(msgspec.json.encode(_compare(a, b)))
    jsonschema.validate(document, documented)
    assert document["differing"] == {"kernel": ["6.1", "6.2"]}


def test_the_interval_covers_the_truth() -> None:
    """Of 400 pairs of samples with a true shift, 93 to 97 % of the intervals hold it."""
    random = np.random.default_rng(3)
    covered = 0
    for _ in range(400):
        found = shift(random.normal(0.3, 1, 20), random.normal(0, 1, 15))
        covered += found.low <= 0.3 <= found.high
    assert 0.93 <= covered / 400 <= 0.975


def test_the_interval_agrees_with_scipys_test() -> None:
    """Moved by either end of its interval, the sample is at the edge of what Mann-Whitney's test tells apart."""
    random = np.random.default_rng(4)
    mine, theirs = random.normal(0.5, 1, 30), random.normal(0, 1, 25)
    found = shift(mine, theirs)
    for end, inwards in ((found.low, 0.05), (found.high, -0.05)):
        inside = stats.mannwhitneyu(mine - end - inwards, theirs, method="asymptotic").pvalue
        outside = stats.mannwhitneyu(mine - end + inwards, theirs, method="asymptotic").pvalue
        assert inside > 0.05 > outside - 0.02
