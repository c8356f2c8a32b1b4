"""The history of runs: read from their folders, and from an index beside them that may go."""

from __future__ import annotations

import json
import math
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from isobench.nights import history
from isobench.nights.history import INDEX
from tests.unit.analysis.made import night, write_run

SCHEMA = Path(__file__).parents[3] / "docs" / "trend.schema.json"


def _write_history(results: Path, count: int) -> list[Path]:
    return [write_run(results, started=night(n), seed=n, blocks=6) for n in range(count)]


def test_a_history_is_the_folders_and_an_index_that_may_go(tmp_path: Path) -> None:
    """The same nights with the index, without it, after one folder is gone and after one changed."""
    paths = _write_history(tmp_path, 5)
    first = history.read(tmp_path)
    assert len(first.nights) == 5 and first.problems == []
    assert (tmp_path / INDEX).is_file()
    assert repr(history.read(tmp_path)) == repr(first)  # NaN is not itself
    (tmp_path / INDEX).unlink()
    assert repr(history.read(tmp_path)) == repr(first)
    shutil.rmtree(paths[2])
    assert [n.started for n in history.read(tmp_path).nights] == [night(n) for n in (0, 1, 3, 4)]
    (tmp_path / INDEX).write_bytes(b"this is no database" * 100)
    assert len(history.read(tmp_path).nights) == 4


DAMAGE: dict[str, Callable[[Path], object]] = {
    "session.json is missing": lambda path: (path / "session.json").rename(path / "gone.json"),
    "suite.json: No such file": lambda path: (path / "suite.json").unlink(),
    "not a session record": lambda path: (path / "session.json").write_text('{"schema": 1, '),
    "not a pyperf suite": lambda path: (path / "suite.json").write_text("[]"),
    "schema 99": lambda path: _replace(path / "session.json", '"schema": 1', '"schema": 99'),
    "NaN|not a pyperf suite": lambda path: _poison(path / "suite.json", "NaN"),
    "which must be positive": lambda path: _poison(path / "suite.json", "-1.5"),
    "has the value 0": lambda path: _poison(path / "suite.json", "0.0"),
    "clock went backwards: finished": lambda path: _replace(
        path / "session.json", '"finished": "2026', '"finished": "1999'
    ),
}


def _replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def _poison(file: Path, value: str) -> None:
    document = json.loads(file.read_text())
    document["benchmarks"][0]["runs"][2]["values"] = ["POISON"]
    file.write_text(json.dumps(document).replace('"POISON"', value))


@pytest.mark.parametrize("reason", DAMAGE)
def test_a_damaged_night_is_one_clear_line(tmp_path: Path, reason: str) -> None:
    """The rest of the history works; so it does the second time, from the index."""
    paths = _write_history(tmp_path, 3)
    DAMAGE[reason](paths[1])
    for _ in range(2):
        found = history.read(tmp_path)
        assert [n.started for n in found.nights] == [night(0), night(2)]
        (problem,) = found.problems
        assert any(part in problem for part in reason.split("|")), problem
        assert "\n" not in problem and paths[1].name in problem


def test_two_runs_of_one_second(tmp_path: Path) -> None:
    """The first counts, the second is named."""
    for seed in (1, 2):
        write_run(tmp_path, started=night(0), seed=seed, blocks=6)
    found = history.read(tmp_path)
    assert len(found.nights) == 1
    assert "same second" in found.problems[0]


def test_a_run_from_the_future_is_one_line(tmp_path: Path) -> None:
    """It is left out; a clock that is behind is told, and loses nothing."""
    _write_history(tmp_path, 4)
    assert len(history.read(tmp_path, now="2020-01-01T00:00:00Z").nights) == 4
    write_run(tmp_path, started="2099-01-01T00:00:00Z", seed=9, blocks=6)
    found = history.read(tmp_path, now="2030-01-01T00:00:00Z")
    assert len(found.nights) == 4
    assert "began in the future" in found.problems[0]


def test_the_index_is_believed_in_nothing_that_can_be_seen(tmp_path: Path) -> None:
    """Rows of nonsense, of another run, with values that no run has; and a link in its place."""
    paths = _write_history(tmp_path, 3)
    first = repr(history.read(tmp_path))
    names = [str(path.relative_to(tmp_path)) for path in paths]
    with sqlite3.connect(tmp_path / INDEX) as index:
        rows = dict(index.execute("SELECT name, night FROM runs"))
        index.execute("UPDATE runs SET night = ? WHERE name = ?", (b"nonsense", names[0]))
        index.execute("UPDATE runs SET night = ? WHERE name = ?", (rows[names[2]], names[1]))
        index.execute("UPDATE runs SET night = 7 WHERE name = ?", (names[2],))
    index.close()
    assert repr(history.read(tmp_path)) == first
    (tmp_path / INDEX).rename(tmp_path / "elsewhere")
    (tmp_path / INDEX).symlink_to(tmp_path / "elsewhere")
    assert repr(history.read(tmp_path)) == first
    assert (tmp_path / INDEX).is_symlink()


def test_a_run_that_changed_behind_its_times_is_read_again(tmp_path: Path) -> None:
    """The same size and time of change, as rsync leaves them."""
    (path,) = _write_history(tmp_path, 1)
    before = history.read(tmp_path).nights[0]
    times = (path / "session.json").stat()
    _replace(path / "session.json", '"baseline": "process"', '"baseline": "chroots"')
    os.utime(path / "session.json", ns=(times.st_atime_ns, times.st_mtime_ns))
    assert (before.baseline, history.read(tmp_path).nights[0].baseline) == ("process", "chroots")


def test_an_index_that_is_held_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another host writes it at this moment: the answer is the same, and the index is still there."""
    _write_history(tmp_path, 2)
    first = repr(history.read(tmp_path))
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda file, **_: connect(file, timeout=0.01))
    holder = connect(tmp_path / INDEX)
    holder.execute("BEGIN EXCLUSIVE")
    assert repr(history.read(tmp_path)) == first
    holder.rollback()
    assert holder.execute("SELECT count(*) FROM runs").fetchone() == (2,)
    holder.close()


def test_nights_from_the_index_share_the_names_of_their_costs(tmp_path: Path) -> None:
    """Names are most of a long history's memory; and what is read is what was written, bit by bit."""
    for number in range(3):
        write_run(tmp_path, started=night(number), seed=number)
    fresh, again = history.read(tmp_path).nights, history.read(tmp_path).nights
    assert msgspec.msgpack.encode(fresh) == msgspec.msgpack.encode(again) and len(again) == 3
    first, *others = again
    for other in others:
        assert all(one.metric is same.metric for one, same in zip(first.points, other.points, strict=True))


@pytest.mark.parametrize("column", [0, 1, 2, 3])
@pytest.mark.parametrize("number", [math.inf, -math.inf, 0.0])
def test_numbers_of_the_index_that_cannot_be_are_read_again(tmp_path: Path, column: int, number: float) -> None:
    """An infinite value, ratio or end of an interval, and a ratio of zero; a value of zero can be."""
    write_run(tmp_path)
    (wanted,) = history.read(tmp_path).nights
    points = [
        msgspec.structs.replace(one, **{("value", "ratio", "low", "high")[column]: number}) for one in wanted.points
    ]
    row = history._encoded(msgspec.structs.replace(wanted, points=points))
    found = history._known(wanted.path, ("", row, ""), {})
    possible = number == 0.0 and column != 1
    assert (found is not None) == possible
    assert history._known(wanted.path, ("", row[:-1], ""), {}) is None
