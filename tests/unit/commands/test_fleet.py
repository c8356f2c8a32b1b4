"""`isobench fleet` as a command: what it says and what it refuses. Hosts are measured in tests/e2e/test_fleet.py."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from isobench import cli
from tests.unit.test_json import obeys
from verification.crosscheck.scale import write


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Results of six hosts, one of which is odd, and of one of another kind."""
    monkeypatch.setenv("PATH", os.environ["PATH"])  # main changes it
    monkeypatch.chdir(tmp_path)
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


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["report", "nowhere"], "nowhere is not a folder"),
        (["run"], "required: -i/--inventory"),
        (["run", "-i", "x.yml", "--at-most", "0"], "'0' is not a number of hosts"),
        (["run", "-i", "x.yml", "--deadline", "soon"], "'soon' is not a duration"),
        (["run", "-i", "x.yml", "--night", "../x"], "'../x' cannot be the name of a night"),
    ],
)
def test_what_it_refuses(here: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    assert cli.main(["fleet", *words]) == 2
    assert said in capsys.readouterr().err
