"""Many nights as folders on disk, asked about through the command: what changed, and what is wrong with a folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from isobench.results.record import EnvironmentRecord
from isobench.results.store import SESSION, SUITE
from tests.e2e.test_commands import isobench
from tests.unit.analysis.made import night, session

QUIET, NIGHTS, STEP, HOST_CHANGE, BLOCKS = 60, 100, 60, 80, 6


def write_night(results: Path, number: int, random: np.random.Generator) -> Path:
    """One night's folder: a baseline, sixty quiet environments, and one that costs 5 % more from the sixtieth night."""
    names = ["process", "stepping", *(f"quiet{n}" for n in range(QUIET))]
    record = msgspec.structs.replace(
        session(night(number), kernel="6.1" if number < HOST_CHANGE else "6.2"),
        environments=[EnvironmentRecord(name, name, "process", "", None, False) for name in names],
        finished=night(number),
        stopped="blocks",
    )
    benchmarks = []
    for index, name in enumerate(names):
        level = 1e-3 * (1 + index) * (1.05 if name == "stepping" and number >= STEP else 1.0)
        values = level * np.exp(random.normal(0, 0.01) + random.normal(0, 0.005, BLOCKS))
        runs = [{"metadata": {"block": block + 1}, "values": [float(v)]} for block, v in enumerate(values)]
        benchmarks.append({"runs": runs, "metadata": {"name": f"startup.ready/{name}", "unit": "second"}})
    folder = results / "host" / night(number).replace("-", "").replace(":", "")
    folder.mkdir(parents=True)
    (folder / SESSION).write_bytes(msgspec.json.encode(record))
    (folder / SUITE).write_bytes(msgspec.json.encode({"benchmarks": benchmarks, "version": "1.0", "metadata": {}}))
    return folder


def spoil(folder: Path, change: str) -> str:
    """Do this to a run folder; gives a word that the line about it has."""
    suite, record = folder / SUITE, folder / SESSION
    value = json.loads(suite.read_text())["benchmarks"][0]["runs"][0]["values"][0]
    if change in ("NaN", "0.0", "-1.0"):
        suite.write_text(suite.read_text().replace(repr(value), change, 1))
        return "not a pyperf suite" if change == "NaN" else "which must be positive"
    if change == "no suite":
        suite.unlink()
        document = json.loads(record.read_text())
        document["blocks"] = [{"index": n, "started": n, "seconds": 1.0, "cells": []} for n in range(BLOCKS + 1)]
        record.write_text(json.dumps(document))
        return "No such file"
    if change == "cut off":
        record.write_bytes(record.read_bytes()[:100])
        return "not a session record"
    if change == "schema":
        record.write_text(record.read_text().replace('"schema":1', '"schema":99'))
        return "schema 99"
    if change == "clock":
        document = json.loads(record.read_text())
        record.write_text(json.dumps({**document, "finished": "2020-01-01T00:00:00Z"}))
        return "clock went backwards"
    shutil.copytree(folder, folder.with_name(f"{folder.name}-2"))
    return "same second"


DAMAGE = ("NaN", "0.0", "-1.0", "no suite", "cut off", "schema", "clock", "twice")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hundred nights of sixty-two series."""
    folder = tmp_path_factory.mktemp("history") / "results"
    random = np.random.default_rng(60)
    for number in range(NIGHTS):
        write_night(folder, number, random)
    return folder


def false_nights(trend: dict[str, Any]) -> int:
    """Nights on which a cost was told to have moved that did not. Of a hundred nights one may be (G21 of VALIDITY.md);
    a history of made-up noise has none most of the time, and one that demands none asks for more than is promised."""
    moved = [alert for alert in trend["alerts"] if alert["kind"] != "fingerprint"]
    return len({alert["confirmed"] for alert in moved if alert["what"] != ["startup.ready/stepping"]})


def test_one_step_and_one_host_change(results: Path) -> None:
    """One alert near night 60, one notice of the host at night 80, of sixty-two series, and no more false nights than
    are promised."""
    done = isobench("trend", str(results), "--json", folder=results.parent)
    assert done.returncode == 0, done.stderr
    trend = json.loads(done.stdout)
    assert (trend["nights"], trend["problems"]) == (NIGHTS, [])
    (step,) = [alert for alert in trend["alerts"] if alert["what"] == ["startup.ready/stepping"]]
    (notice,) = [alert for alert in trend["alerts"] if alert["kind"] == "fingerprint"]
    assert notice["what"] == ["kernel"] and false_nights(trend) <= NIGHTS / 100
    assert night(STEP - 3) <= step["near"] <= night(STEP + 3) and "near" in step["text"]
    assert notice["near"] == night(HOST_CHANGE)


def test_invented_data_is_refused_and_the_rest_works(results: Path, tmp_path: Path) -> None:
    """Every damage is one clear line on standard error; the other nights are still a history."""
    copy = tmp_path / "results"
    shutil.copytree(results, copy)
    folders = sorted((copy / "host").iterdir())
    words = [spoil(folder, change) for folder, change in zip(folders[2::7], DAMAGE, strict=False)]
    done = isobench("trend", str(copy), "--json", folder=tmp_path)
    assert done.returncode == 0 and "Traceback" not in done.stderr
    trend = json.loads(done.stdout)
    assert trend["nights"] == NIGHTS - (len(DAMAGE) - 1)  # the run that is there twice counts once
    assert len(trend["problems"]) == len(DAMAGE)
    for word in words:
        assert any(word in problem for problem in trend["problems"]), (word, trend["problems"])
    (step,) = [alert for alert in trend["alerts"] if alert["what"] == ["startup.ready/stepping"]]
    assert night(STEP - 3) <= step["near"] <= night(STEP + 3) and false_nights(trend) <= NIGHTS / 100
