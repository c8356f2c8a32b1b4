"""`isobench fleet` as a command: what it says and what it refuses. Hosts are measured in tests/e2e/test_fleet.py."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from isobench import cli
from tests.conftest import STRICT
from tests.documents import ROOT
from tests.unit.test_json import obeys
from verification.crosscheck.scale import write

if not STRICT:
    pytest.importorskip("duckdb")
import duckdb

SQL = ROOT / "contrib/duckdb"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Results of six hosts, one of which is odd, and of one of another kind."""
    monkeypatch.setenv("PATH", os.environ["PATH"])  # main changes it
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    for host in range(7):
        facts = {"cpu": "CPU" if host < 6 else "other", "cpus": "4", "kernel": "6.2" if host == 3 else "6.1"}

        def level(metric: str, name: str, more: float = 3.0 if host == 3 else 1.0) -> float:
            return 50 * more if name == "docker" else 1.0

        write(
            Path(f"results/h{host}/20260101T000000Z"), "2026-01-01T00:00:00Z", 12, 8, host, ("process", "docker"),
            host=f"h{host}", fingerprint=facts, level=level,
        )  # fmt: skip
    return tmp_path


def test_a_report_names_the_odd_host(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With its costs and what differs; a row for each cost; a note for a host that is alone of its kind."""
    assert cli.main(["fleet", "report"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "7 runs of 7 hosts"
    assert "6 hosts: CPU, 4; ratios to process" in lines and "1 host: other, 4; ratios to process" in lines
    (said,) = [line for line in lines if line.startswith("odd: ")]
    assert said.startswith("odd: h3: startup.m") and "and 1 more cost" in said
    assert said.endswith("What differs: kernel is 6.2, usually 6.1")
    assert "software 2: h3: kernel 6.2" in lines and lines[-1].startswith("alone of its kind")
    assert sum(line.lstrip().startswith("startup.m") for line in lines) == 6


def test_the_same_as_data(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["fleet", "report", "results", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    obeys(document, "fleet-report")
    assert [(one["hosts"], [odd["host_id"] for odd in one["odd"]]) for one in document["peers"]] == [
        ([f"h{host}" for host in range(6)], ["h3"]), (["h6"], []),
    ]  # fmt: skip


def test_an_export_is_asked_what_the_report_tells(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The files of one group, and in them the same distribution and the same odd host."""
    assert cli.main(["fleet", "export", "--out", "history", "--group", "rack1", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    obeys(document, "fleet-export")
    assert document["files"] == [
        f"history/host_group=rack1/month=2026-01/{name}.parquet" for name in ("nights", "costs")
    ]
    assert (document["nights"], document["costs"]) == (7, 7 * 12)
    assert cli.main(["fleet", "export", "--out", "history", "--group", "rack1"]) == 0
    assert capsys.readouterr().out.startswith("84 costs of 7 runs in 2 files, ")
    assert cli.main(["fleet", "report", "--json"]) == 0
    peers = json.loads(capsys.readouterr().out)["peers"]
    with duckdb.connect() as base:
        base.execute((SQL / "setup.sql").read_text())
        spread = base.execute((SQL / "spread.sql").read_text()).fetchall()
        odd = base.execute((SQL / "odd.sql").read_text()).fetchall()
    told = [
        (one["hardware"], one["baseline"], cost["scenario"], cost["metric"], cost["environment"], cost["hosts"])
        for one in peers
        for cost in one["costs"]
    ]
    assert sorted(row[:6] for row in spread) == sorted(told)
    assert odd[0][2] == peers[0]["odd"][0]["host_id"] == "h3"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["report", "nowhere"], "nowhere is not a folder"),
        (["export", "nowhere", "--out", "x"], "nowhere is not a folder"),
        (["export"], "required: --out"),
        (["export", "--out", "x", "--group", "a/b"], "'a/b' cannot be the name of a group of hosts"),
        (["export", "empty", "--out", "x"], "empty has no run"),
        (["export", "--out", "file"], "cannot write to file"),
        (["run"], "required: -i/--inventory"),
        (["run", "-i", "x.yml", "--at-most", "0"], "'0' is not a number of hosts"),
        (["run", "-i", "x.yml", "--deadline", "soon"], "'soon' is not a duration"),
        (["run", "-i", "x.yml", "--night", "../x"], "'../x' cannot be the name of a night"),
    ],
)
def test_what_it_refuses(here: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    assert cli.main(["fleet", *words]) == 2
    assert said in capsys.readouterr().err
