"""Apache Otava, installed by itself (it asks for another numpy), finds a step in nights that isobench exported."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from isobench.analysis.results import Results
from isobench.export import formats
from isobench.results import store
from tests.unit.analysis.made import night, write_run

CONFIG = """\
tests:
  isobench:
    type: csv
    file: {file}
    time_column: time
    attributes: [run]
    metrics:
      docker: {{column: "startup.ready/docker", direction: -1}}
    csv_options: {{delimiter: ","}}
"""


@pytest.mark.slow
def test_otava_reads_the_export(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    python = tmp_path / "venv/bin/python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "apache-otava"], check=True, timeout=600)
    lines: list[list[str]] = []
    for number in range(24):
        factors = {"docker": 240.0} if number >= 14 else {}
        run = store.load(write_run(tmp_path / "r", started=night(number), seed=number, blocks=6, factors=factors))
        rows = list(csv.reader(io.StringIO(formats.export(Results(run), "otava").decode())))
        lines += rows if not lines else rows[1:]
    with (tmp_path / "nights.csv").open("w", newline="") as target:
        csv.writer(target).writerows(lines)
    (tmp_path / "otava.yaml").write_text(CONFIG.format(file=tmp_path / "nights.csv"))
    words = ["analyze", "isobench", "--since", "2025-01-01", "--output", "json"]
    done = subprocess.run(
        [tmp_path / "venv/bin/otava", *words],
        env={**os.environ, "OTAVA_CONFIG": str(tmp_path / "otava.yaml")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (point,) = json.loads(done.stdout)["isobench"]
    assert [change["index"] for change in point["changes"]] == [14]
