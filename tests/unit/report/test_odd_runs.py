"""Runs that went differently: hardly anything measured, much failed, something vanished, far too much to draw."""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING

import pytest

from isobench.report.build import render
from isobench.results.record import FailureRecord
from tests.unit.report.made import ENVIRONMENTS, METRICS, write_run

if TYPE_CHECKING:
    from pathlib import Path

FORTY = (*ENVIRONMENTS, *((f"rung-{i}", "namespace", "process", True, 2 + i / 2) for i in range(40)))
FAILURES = [
    FailureRecord(block, name, scenario, f"deadline: {block} s passed", "last words")
    for block in range(9)
    for name, *_ in ENVIRONMENTS
    for scenario in METRICS
]

SILLY = (
    r"\bnan\b", r"\binf\b", r"\bNone\b", r"\(s\)", r"\b1 (blocks|environments|metrics|costs|runs|benchmarks)\b",
    r"@control", r"\[–", r"only \w+ was measured", r"n = 0\b",
)  # fmt: skip
"""What no report of ours should say."""


@pytest.fixture(autouse=True)
def _no_warnings() -> object:
    """matplotlib warns of axes without an extent: a figure with nothing in it."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def report(folder: Path, **how: object) -> str:
    """The Markdown of a made run; the page is laid out, too, and both stay within their limits."""
    written = render(write_run(folder / "results", **how), folder / "out")  # type: ignore[arg-type]
    assert written["html"].stat().st_size < 3_000_000 and written["md"].stat().st_size < 64_000
    text = written["md"].read_text()
    for words in SILLY:
        assert not re.search(words, text), (words, re.search(f".*{words}.*", text))
    return text


def test_a_run_of_the_baseline_alone(tmp_path: Path) -> None:
    """Its costs are said, and that there is nothing to compare them with."""
    text = report(tmp_path, environments=ENVIRONMENTS[:1], blocks=8)
    assert re.search(r"\*\*Startup\*\* \(request to first byte; process .+\): measured in nothing else", text)
    assert "measured in process alone" in text and "✓" not in text


def test_one_block_concludes_nothing(tmp_path: Path) -> None:
    """One block has values and ratios, but no interval, no verdict, no cheapest."""
    text = report(tmp_path, blocks=1)
    assert "Only 1 block: fewer than six give no 95 % interval" in text
    assert "[no interval]" in text and not re.search(r"× \[\d", text)
    assert "✓" not in text and "costs more" not in text and "measurably above" not in text


def test_a_run_interrupted_in_its_warm_up(tmp_path: Path) -> None:
    """Nothing measured is said first, and the configuration is there."""
    text = report(tmp_path, blocks=0, finished="", stopped="interrupted")
    assert "Nothing was measured: the run has no block beyond its warm-up." in text
    assert "The run was cut off" in text and "## How it was measured" in text and "## Overview" not in text


def test_a_run_cut_off_while_it_wrote_a_block(tmp_path: Path) -> None:
    """The block is lost, and that is said."""
    path = write_run(tmp_path, blocks=2, finished="")
    file = path / "session.json"
    file.write_text(file.read_text().replace('"torn": false', '"torn": true'))
    written = render(path, tmp_path / "out", ("md",))
    assert "The block that was being written is lost." in written["md"].read_text()
    assert "is lost" not in report(tmp_path / "other", blocks=2, finished="")


def test_a_run_in_which_everything_failed(tmp_path: Path) -> None:
    """Blocks without a single value: the reasons, one row for each cell."""
    text = report(tmp_path, blocks=8, keep=lambda block, _: block == 0, failures=FAILURES)
    assert "Nothing was measured: every measurement failed." in text
    rows = re.findall(r"\| \*\*\S+\*\* \| \S+ \| 9 \| deadline: 8 s passed · last words \|", text)
    assert len(rows) == len(ENVIRONMENTS) * len(METRICS)


def test_an_environment_that_vanished(tmp_path: Path) -> None:
    """What it gave is shown without an interval, and how much is missing stands under trust."""
    text = report(tmp_path, blocks=8, keep=lambda block, e: e.environment != "docker" or block <= 3)
    assert "startup in docker (3 of 8)" in text
    assert re.search(r"docker about \d+×", text) and re.search(r"\*\*docker\*\* \|.*\[no interval\]", text)


def test_a_metric_without_its_baseline(tmp_path: Path) -> None:
    """Values are shown, no ratio is made up."""
    text = report(tmp_path, blocks=8, keep=lambda _, e: (e.scenario, e.environment[:7]) != ("memory", "process"))
    assert re.search(r"\| \*\*docker\*\* \| .+ \| \*\*\d+ MiB\*\* · – \|", text)
    assert "no ratio, as the baseline process has no value" in text


def test_a_run_without_its_baseline(tmp_path: Path) -> None:
    """The report says so in its first sentence."""
    text = report(tmp_path, blocks=8, keep=lambda _, e: not e.environment.startswith("process"))
    assert "There is no ratio: process, the baseline, has no value in this run." in text


def test_forty_environments(tmp_path: Path) -> None:
    """The first table keeps to the kinds people ask about; every number is in the page."""
    text = report(tmp_path, blocks=8, environments=FORTY)
    first = text.split("## Can this be trusted?")[0]
    assert "docker" in first and "rung-7" not in first
    assert "rung-39" in (tmp_path / "out" / "index.html").read_text()
