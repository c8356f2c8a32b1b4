"""Every format, read by the tool or checked by the schema that it is meant for."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import Any

import jsonschema
import pandas as pd
import pytest
from junitparser import JUnitXml, TestSuite
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from isobench.analysis import frames
from isobench.analysis.results import Results
from isobench.core.errors import UsageError
from isobench.export import formats, openmetrics
from isobench.results import store
from isobench.results.record import FailureRecord, SkipRecord
from isobench.results.store import Run
from tests.unit.analysis.made import write_run

CUSTOM = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["name", "unit", "value"],
        "properties": {
            "name": {"type": "string", "minLength": 1},
            "unit": {"type": "string"},
            "value": {"type": "number", "exclusiveMinimum": 0},
            "range": {"type": "string"},
            "extra": {"type": "string"},
        },
        "additionalProperties": False,
    },
}
"""What github-action-benchmark's extract.ts takes of customSmallerIsBetter."""
BMF = {
    "type": "object",
    "additionalProperties": {
        "type": "object",
        "additionalProperties": {
            "type": "object",
            "required": ["value"],
            "properties": {key: {"type": "number"} for key in ("value", "lower_value", "upper_value")},
            "additionalProperties": False,
        },
    },
}
"""Bencher's published JSON schema of BMF."""
HOSTILE = 'a "b"\\c\n<d>&\x07'


@pytest.fixture
def run(tmp_path: Path) -> Run:
    loaded = store.load(write_run(tmp_path))
    skips = [SkipRecord("kvm", "", HOSTILE)]
    failures = [FailureRecord(3, "docker", "startup", HOSTILE, "last words"), FailureRecord(0, "chroot", "startup", "")]
    from msgspec.structs import replace

    return loaded._replace(session=replace(loaded.session, skips=skips, failures=failures))


def _medians(run: Run) -> dict[str, float]:
    table = frames.summary(frames.samples(run), "process")
    kept = table[~table["control"].astype(bool)]
    return dict(zip(kept["environment"].astype(str), kept["median"].astype(float), strict=True))


def _parsed(text: str) -> Any:
    return text_string_to_metric_families(text)  # type: ignore[no-untyped-call]


def test_csv_and_parquet_hold_every_sample(run: Run) -> None:
    """Both read back as the frame they were made of."""
    frame = frames.samples(run)
    back = pd.read_csv(io.BytesIO(formats.export(Results(run), "csv")))
    assert len(back) == len(frame) and math.isclose(back["value"].sum(), frame["value"].sum())
    parquet = pd.read_parquet(io.BytesIO(formats.export(Results(run), "parquet")))
    assert parquet["value"].equals(frame["value"]) and list(parquet.columns) == list(frame.columns)


def test_github_action_benchmark(run: Run) -> None:
    document = json.loads(formats.export(Results(run), "customSmallerIsBetter"))
    jsonschema.validate(document, CUSTOM)
    assert {row["name"].partition("/")[2]: row["value"] for row in document} == _medians(run)
    assert {row["unit"] for row in document} == {"s"}


def test_bencher_metric_format(run: Run) -> None:
    """Its latency is in nanoseconds."""
    document = json.loads(formats.export(Results(run), "bmf"))
    jsonschema.validate(document, BMF)
    assert document["startup.ready/docker"]["latency"]["value"] == _medians(run)["docker"] * 1e9


def test_openmetrics(run: Run) -> None:
    """Prometheus's own parser reads it, hostile labels included."""
    from msgspec.structs import replace

    run = run._replace(session=replace(run.session, host_id='h"\\\n'))
    families = {f.name: f for f in _parsed(formats.export(Results(run), "openmetrics").decode())}
    assert families.keys() == {
        "isobench_cost_seconds",
        "isobench_ratio",
        "isobench_run_start_time_seconds",
        "isobench_run_blocks_used",
        "isobench_run_failed_cells",
    }
    for name, family in families.items():
        assert family.documentation == openmetrics.FAMILIES[name].help
        assert all(tuple(sample.labels) == openmetrics.FAMILIES[name].labels for sample in family.samples)
    assert [sample.value for sample in families["isobench_run_failed_cells"].samples] == [1.0]
    assert [sample.value for sample in families["isobench_run_blocks_used"].samples] == [12.0]
    (began,) = families["isobench_run_start_time_seconds"].samples
    assert began.value == 1_767_232_800
    assert families["isobench_cost_seconds"].unit == "seconds"
    costs = {s.labels["environment"]: s.value for s in families["isobench_cost_seconds"].samples}
    assert costs == _medians(run)
    assert {s.labels["host"] for s in families["isobench_ratio"].samples} == {'h"\\\n'}


def test_junit(run: Run) -> None:
    """Failed in a measured block: a failure. Failed in the warm-up alone: none. What could not run: skipped."""
    suites = JUnitXml.fromstring(formats.export(Results(run), "junit"))
    (suite,) = list(suites)
    assert isinstance(suite, TestSuite)
    assert (suite.tests, suite.failures, suite.skipped) == (4, 1, 1)
    cases = {case.name: case for case in suite}
    assert [type(r).__name__ for r in cases["docker"].result] == ["Failure"]
    assert [type(r).__name__ for r in cases["kvm"].result] == ["Skipped"]
    assert cases["chroot"].is_passed
    assert "\x07" not in formats.export(Results(run), "junit").decode()


def test_an_unknown_format_is_refused(run: Run) -> None:
    with pytest.raises(UsageError, match="no format is called 'xml'"):
        formats.export(Results(run), "xml")


def test_every_format_has_a_file_name_of_its_own() -> None:
    found = formats.formats()
    assert {"csv", "parquet", "customSmallerIsBetter", "bmf", "openmetrics", "junit", "otava"} <= found.keys()
    assert len({one.suffix for one in found.values()}) == len(found)


def test_no_cell_of_a_table_is_a_formula_or_moves_a_cursor(tmp_path: Path) -> None:
    """What a spreadsheet would compute and a terminal obey is only text (hostile names in a plug-in's scenario)."""
    run = store.load(write_run(tmp_path))
    starts = list(zip(run.series, "=+-@", strict=True))
    renamed = [one._replace(environment=f"{start}cmd|'/C calc'!A1\x1b[31m") for one, start in starts]
    for cell in pd.read_csv(io.BytesIO(formats.export(Results(run._replace(series=renamed)), "csv")))[
        "environment"
    ].unique():
        assert cell.startswith("'"), cell
        assert "\x1b" not in cell
