"""The history as Parquet, asked by DuckDB as the documentation does; what is not written again."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, Any

import pytest

from isobench.export import history
from isobench.nights import fleet
from isobench.nights.history import Night, Point
from tests.conftest import STRICT
from tests.documents import ROOT

if TYPE_CHECKING:
    from pathlib import Path

if not STRICT:
    pytest.importorskip("duckdb")
import duckdb

SQL = ROOT / "contrib/duckdb"
COSTS = [(metric, name) for metric in ("ready", "exited") for name in ("process", "docker", "kvm")]


def made() -> list[Night]:
    """Six hosts in two months. One has a new kernel in its last three nights, one two machines, one an old baseline."""
    draw = random.Random(1)
    nights = []
    for day in [*range(24, 31), *range(101, 105)]:
        started = f"2026-{10 + day // 100}-{day % 100:02}T02:00:00Z"
        for host in range(6):
            facts = {"cpu": "CPU", "cpus": "8" if (host, day % 2) == (1, 1) else "4", "kernel": "6.1", "docker": "29"}
            facts["kernel"] = "6.12" if host == 0 and day > 101 else "6.1"
            baseline = "chroot" if host == 2 and day < 30 else "process"
            points = [
                Point("startup", metric, name, draw.random(), ratio, "second", ratio / 1.1, ratio * 1.1)
                for metric, name in COSTS
                for ratio in [math.nan if name == "process" else math.exp(draw.gauss(3, 0.02))]
            ]
            path = f"h{host}/{started.replace('-', '').replace(':', '')}"
            nights.append(Night(path, path, f"h{host}", started, baseline, facts, points, used=8, blocks=9))
    return nights


def asked(folder: Path, question: str, *before: str) -> list[Any]:
    setup = (SQL / "setup.sql").read_text().replace("'history/", f"'{folder}/")
    with duckdb.connect() as base:
        for text in (*before, setup):
            base.execute(text)
        return base.execute(question if " " in question else (SQL / f"{question}.sql").read_text()).fetchall()


def test_the_spread_is_the_reports(tmp_path: Path) -> None:
    """Over the same hosts and nights: the newest five with the hardware, software and baseline of now."""
    nights = made()
    history.write([one for one in nights if one.host_id < "h3"], tmp_path, "one")
    history.write([one for one in nights if one.host_id >= "h3"], tmp_path, "two")
    told = {
        (one.hardware, one.baseline, cost.scenario, cost.metric, cost.environment): cost
        for one in fleet.peers(nights, tmp_path)
        for cost in one.costs
    }
    rows = asked(tmp_path, "spread")
    assert {row[:5] for row in rows} == told.keys()
    for row in rows:
        cost = told[row[:5]]
        assert (row[5], row[10], row[12]) == (cost.hosts, cost.least_host, cost.most_host)
        found = [cost.median, cost.q25, cost.q75, cost.least, cost.most]
        assert [*row[6:10], row[11]] == pytest.approx(found, rel=1e-6)


def test_other_questions(tmp_path: Path) -> None:
    """One cost over all nights, one host over all months, and who is furthest from the others."""
    history.write(made(), tmp_path, "one")
    cost = "SET VARIABLE scenario = 'startup'; SET VARIABLE metric = 'ready'; SET VARIABLE environment = 'kvm'"
    rows = asked(tmp_path, "cost", cost)
    assert len(rows) == 11 and {row[1] for row in rows} == {6}
    assert all(row[3] <= row[2] <= row[4] for row in rows)
    rows = asked(tmp_path, "host", "SET VARIABLE host = 'h4'")
    assert len(rows) == len(COSTS) and sum(row[3] is None for row in rows) == 2  # the baseline has no ratio
    assert {row[2] for row in asked(tmp_path, "odd")} == {f"h{host}" for host in range(6)}


def test_every_value_is_there(tmp_path: Path) -> None:
    """And what is not known is null."""
    nights = made()
    history.write(nights, tmp_path, "one")
    columns = "run, strftime(started, '%Y-%m-%dT%H:%M:%SZ'), metric, environment, value, ratio, low"
    rows = {row[:4]: row[4:] for row in asked(tmp_path, f"SELECT {columns} FROM costs")}
    assert len(rows) == len(nights) * len(COSTS)
    for night in nights:
        for point in night.points:
            value, *others = rows[night.path, night.started, point.metric, point.environment]
            assert value == point.value
            wanted = [None if math.isnan(one) else pytest.approx(one, rel=1e-6) for one in (point.ratio, point.low)]
            assert others == wanted
    (told,) = asked(tmp_path, "SELECT DISTINCT hardware, software, blocks, used FROM nights WHERE run LIKE 'h5/%'")
    assert told == ("CPU, 4", '{"docker":"29","kernel":"6.1"}', 9, 8)


def test_only_what_changed_is_written(tmp_path: Path) -> None:
    """A night more touches its month; a month that has no night any more is kept."""
    nights = made()
    files = history.write(nights[:-6], tmp_path, "one")
    before = {file: file.stat().st_mtime_ns for file in files}
    assert [file.relative_to(tmp_path).parts[:2] for file in files[::2]] == [
        ("host_group=one", "month=2026-10"), ("host_group=one", "month=2026-11"),
    ]  # fmt: skip
    assert history.write(nights[:-6], tmp_path, "one") == files
    assert {file: file.stat().st_mtime_ns for file in files} == before
    recent = [one for one in nights if one.started > "2026-11"]
    assert history.write(recent, tmp_path, "one") == files[2:]
    assert [file for file in files if file.stat().st_mtime_ns != before[file]] == files[2:]
    assert list(tmp_path.rglob("*.parquet")) and all(file.exists() for file in files)
