"""A run as everything that tells of it reads it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec
import pytest

from isobench.analysis import frames, verdicts
from isobench.analysis.compare import compare
from isobench.analysis.results import Results, load
from isobench.export.formats import formats
from isobench.report.build import render
from isobench.results import store
from isobench.run.closing import last_words
from tests.unit.analysis.made import write_run


def test_the_estimates_are_the_summary(tmp_path: Path) -> None:
    """Number by number what the verdicts make of the samples frame; all of it plain data, ready to be printed."""
    results = load(write_run(tmp_path))
    frame = frames.summary(frames.samples(results.run), "process")
    for row, (_, expected) in zip(results.estimates, frame.iterrows(), strict=True):
        for key, value in row._asdict().items():
            both_missing = isinstance(value, float) and math.isnan(value) and math.isnan(expected[key])
            assert both_missing or value == expected[key], (row.name, row.environment, key)
            assert type(value) in (str, int, float, bool), key
    assert msgspec.json.decode(msgspec.json.encode(results.estimates[0]))[0] == "startup"


def test_differences_are_of_one_scenario(tmp_path: Path) -> None:
    results = load(write_run(tmp_path, blocks=30))
    (one,) = results.differences("startup", [("docker", "chroot"), ("docker", "nothing")])
    expected = frames.differences(results.samples, [("docker", "chroot")]).iloc[0]
    assert (one.environment, one.compared_with) == ("docker", "chroot")
    assert (one.value, one.low, one.high) == tuple(expected[["value", "low", "high"]])
    assert results.differences("memory", [("docker", "chroot")]) == []


def test_what_is_not_asked_for_is_left_out(tmp_path: Path) -> None:
    results = load(write_run(tmp_path))
    assert results.only({("startup", "ready")}).estimates == results.estimates
    assert results.only(set()).estimates == []


def test_a_run_is_loaded_and_summarised_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its report, every export, its last words and a comparison: one reading of the folder, one summary, one estimate
    of each ratio; and none of them changes what the next one sees."""
    path = write_run(tmp_path / "elsewhere")  # no folder of a host's: there is no history to be read
    path = path.rename(tmp_path / "run")
    calls: dict[str, int] = {}

    def counted(name: str, function: Any) -> Any:
        def call(*words: Any, **named: Any) -> Any:
            calls[name] = calls.get(name, 0) + 1
            return function(*words, **named)

        return call

    for module, name in ((store, "load"), (verdicts, "rows"), (verdicts, "compared"), (frames, "samples")):
        monkeypatch.setattr(module, name, counted(name, getattr(module, name)))
    results = load(path)
    before = results.samples.copy()
    render(results, tmp_path / "out", compare_with=results)
    for one in formats().values():
        one.write(results)
    last_words(results)
    compare(results, Results(results.run))
    assert calls == {"load": 1, "rows": 1, "compared": 2, "samples": 1}, "the second comparison's run is another"
    assert results.samples.equals(before)
