"""What remains of a run whose values are gone, and which runs lose them."""

from __future__ import annotations

import math
import os
import shutil
from pathlib import Path

import msgspec
import pytest

from isobench.analysis.compare import Comparison, compare
from isobench.analysis.earlier import earlier
from isobench.analysis.results import load
from isobench.core.errors import StoreError
from isobench.export.formats import export
from isobench.nights import history, pruning
from isobench.nights.trend import evaluate
from isobench.report.build import render
from isobench.results import store
from isobench.results.journal import Journal
from tests.unit.analysis.made import night, write_run

NIGHTS = 24


@pytest.fixture(scope="module")
def history_of(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two dozen nights of a host: docker costs a third more from the twelfth on, one night's control strays, one has
    too few blocks for an interval, and one values of zero."""
    folder = tmp_path_factory.mktemp("history") / "results"
    for number in range(NIGHTS):
        factors = {"docker": 200.0 if number < 12 else 266.0}
        factors |= {"process@control": 1.4} if number == 3 else {}
        blocks = 5 if number == 4 else 8
        path = write_run(folder, started=night(number), seed=number, factors=factors, blocks=blocks)
        if number == 5:
            record = msgspec.json.decode((path / store.SESSION).read_bytes())
            values = [0.0, *[1e-3] * (blocks - 1)]
            series = {"name": "startup.zero/docker", "unit": "second", "blocks": [*range(1, blocks + 1)]}
            record["not_in_suite"] = [{**series, "values": values, "warmups": [(0, 1e-3)]}]
            (path / store.SESSION).write_bytes(msgspec.json.encode(record))
    return folder


@pytest.fixture
def results(history_of: Path, tmp_path: Path) -> Path:
    """A copy to prune."""
    return Path(shutil.copytree(history_of, tmp_path / "results"))


def _folders(results: Path) -> list[Path]:
    return list(store.find_runs(results))


def _plain(document: object) -> object:
    """As data, in which what is no number equals itself."""
    return msgspec.json.decode(msgspec.json.encode(document))


def _told(found: Comparison) -> object:
    """A comparison but for the word that values were pruned."""
    sides = ([msgspec.structs.replace(run, pruned="") for run in side] for side in (found.a, found.b))
    return _plain(msgspec.structs.replace(found, a=next(sides), b=next(sides)))


def _compared(a: list[Path], b: list[Path]) -> Comparison:
    sides = [[load(path) for path in side] for side in (a, b)]
    return compare(*sides, earlier=earlier([one.run for side in sides for one in side]))


def test_nights_and_trend_are_the_same(results: Path) -> None:
    """Every point, bit by bit, with its interval; so every alert."""
    before = history.read(results)
    assert not before.problems and len(evaluate(before).alerts) == 1
    done = pruning.prune(results, 1)
    assert len(done.pruned) == NIGHTS - 1 and sum(one.freed for one in done.pruned) > 0 and not done.failed
    after = history.read(results)
    assert [bool(one.pruned) for one in after.nights] == [True] * (NIGHTS - 1) + [False]
    unmarked = [msgspec.structs.replace(one, pruned="") for one in after.nights]
    assert _plain(unmarked) == _plain(before.nights) and not after.problems
    assert evaluate(after) == evaluate(before)


@pytest.mark.parametrize(("a", "b"), [((2,), (12,)), ((3,), (11,)), ((5,), (4,)), ((0, 1, 2), (12, 13, 15))])
def test_comparisons_are_the_same(results: Path, a: tuple[int, ...], b: tuple[int, ...]) -> None:
    """With failed controls, few blocks, a value of zero, several runs a side, and the earlier runs that say how far
    runs differ; only that values are gone is new."""
    folders = _folders(results)
    sides = [folders[n] for n in a], [folders[n] for n in b]
    before = _compared(*sides)
    pruning.prune(results, 1)
    after = _compared(*sides)
    assert [bool(run.pruned) for run in after.a] == [True] * len(a)
    assert _told(after) == _told(before)


def test_estimates_are_the_same_and_formats_of_them_too(results: Path) -> None:
    """The summary in full, so that what is made of it alone can still be made."""
    folders = _folders(results)
    before = [_plain(load(path).estimates) for path in folders]
    metrics = export(load(folders[5]), "openmetrics")
    pruning.prune(results, 1)
    assert [_plain(load(path).estimates) for path in folders] == before
    assert export(load(folders[5]), "openmetrics") == metrics


def test_what_needs_the_values_says_that_they_are_gone(results: Path, tmp_path: Path) -> None:
    """A report and an export of every sample; nothing is half-written."""
    pruning.prune(results, 1)
    first = _folders(results)[0]
    with pytest.raises(StoreError, match="its values were pruned on"):
        export(load(first), "csv")
    with pytest.raises(StoreError, match="its values were pruned on"):
        render(first, tmp_path / "report")
    assert not (tmp_path / "report").exists()


def test_the_newest_and_named_runs_keep_their_values(results: Path) -> None:
    """Of every machine; a label and a tag alike."""
    folders = _folders(results)
    store.relabel(folders[0], label="before", tags=[])
    store.relabel(folders[1], label="", tags=["good"])
    other = write_run(results, started=night(0), host="other")
    done = pruning.prune(results, 3)
    assert [one.path for one in done.pruned] == folders[2:-3] and done.named == 2
    assert all(load(path).tables for path in (*folders[:2], *folders[-3:], other))
    store.relabel(folders[5], label="late", tags=[])  # which must not bring anything back, or fail
    assert load(folders[5]).session.label == "late" and load(folders[5]).session.pruned is not None


def test_a_dry_run_and_a_second_one_change_nothing(results: Path) -> None:
    """What would be done is what is done then; after it there is nothing left to do."""

    def states() -> dict[Path, bytes]:
        return {file: file.read_bytes() for file in results.glob("*/*/*")}

    before = states()
    would = pruning.prune(results, 2, dry_run=True)
    assert states() == before
    done = pruning.prune(results, 2)
    assert [one.path for one in done.pruned] == [one.path for one in would.pruned] and len(done.pruned) == NIGHTS - 2
    after = states()
    assert pruning.prune(results, 2).pruned == [] and states() == after


def test_a_run_that_is_being_measured_is_left_alone(results: Path) -> None:
    """An older one that was resumed, say."""
    first = _folders(results)[0]
    writer = Journal(first)
    done = pruning.prune(results, 1)
    writer.close()
    assert [reason for reason in done.left_alone if "being measured" in reason]
    assert first not in [one.path for one in done.pruned] and (first / store.SUITE).exists()


def test_damaged_runs_and_foreign_files_are_named_and_left_alone(results: Path, tmp_path: Path) -> None:
    """Also files that lie elsewhere, behind a link."""
    cut, linked, *_ = folders = _folders(results)
    (cut / store.SESSION).write_bytes((cut / store.SESSION).read_bytes()[:200])
    elsewhere = tmp_path / "suite.json"
    (linked / store.SUITE).rename(elsewhere)
    (linked / store.SUITE).symlink_to(elsewhere)
    strange = tmp_path / "strange"
    folders[2].rename(strange)
    folders[2].symlink_to(strange)
    before = {file: file.read_bytes() for file in (cut / store.SESSION, elsewhere, *strange.iterdir())}
    done = pruning.prune(results, 1)
    assert {file: file.read_bytes() for file in before} == before
    assert len(done.left_alone) == 3 and len(done.pruned) == NIGHTS - 4
    assert "not a session record" in done.left_alone[0] and "not a regular file" in done.left_alone[1]


def test_what_a_crash_left_is_finished(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The record was replaced, and the suite not yet removed: the run is a pruned one; the next prune ends it."""
    first = _folders(results)[0]

    def crash(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(os, "unlink", crash)
        pruning.prune(results, NIGHTS - 1)
    assert (first / store.SUITE).exists() and load(first).session.pruned is not None
    assert not history.read(results).problems
    (finished,) = pruning.prune(results, NIGHTS - 1).pruned
    assert finished.path == first and finished.freed > 0 and not (first / store.SUITE).exists()


def test_a_full_disk_changes_nothing(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The record that cannot be written is told; the run keeps its values."""
    first = _folders(results)[0]

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("isobench.results.pruning.write_record", full)
    done = pruning.prune(results, NIGHTS - 1)
    assert done.pruned == [] and "No space left on device" in done.failed[0]
    assert load(first).tables


@pytest.mark.parametrize(
    ("field", "value"),
    [(0, "no name"), (1, "metre"), (2, 0), (7, [1.0, -1.0, None, None])],
)
def test_remains_that_cannot_be_are_refused(results: Path, field: int, value: object) -> None:
    """A record may say anything."""
    pruning.prune(results, NIGHTS - 1)
    record = _folders(results)[0] / store.SESSION
    document = msgspec.json.decode(record.read_bytes())
    document["pruned"]["costs"][0][field] = value
    record.write_bytes(msgspec.json.encode(document))
    (problem,) = history.read(results).problems
    assert "session.json" in problem


def test_intervals_of_medians() -> None:
    """Of six values from the least to the greatest; of fewer none; it holds the median of 95 % of samples."""
    assert history._middle([1.0, 2, 3, 4, 5, 6]) == (3.5, 1, 6)
    assert history._middle([1.0, 2, 3, 4, 5, 6, 7, 8, 9]) == (5, 2, 8)
    middle, low, high = history._middle([1.0, 2, 3, 4, 5])
    assert middle == 3 and math.isnan(low) and math.isnan(high)
