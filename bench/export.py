"""A run in other tools' formats. Each takes a loaded run and gives the bytes of one file.

csv, parquet: every sample, for pandas, R, a spreadsheet. customSmallerIsBetter: github-action-benchmark's custom tool.
bmf: Bencher Metric Format. openmetrics: Prometheus. junit: what a CI server shows as tests. otava: one row a run, to be
appended to, as Apache Otava's CSV importer reads it.
"""

from __future__ import annotations

import io
import json
import math
from typing import TYPE_CHECKING

from bench.errors import UsageError
from bench.text import clean

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from bench.report.context import Estimate
    from bench.store import Run


def export(run: Run, to: str) -> bytes:
    """The file of this run in a format of `FORMATS`. Raises `UsageError`."""
    if to not in FORMATS:
        raise UsageError(f"no format is called {to!r}", remedy=f"choose from {', '.join(FORMATS)}")
    return FORMATS[to](run)


def _csv(run: Run) -> bytes:
    samples = _samples(run)
    for name in ("scenario", "metric", "environment", "unit"):
        samples[name] = samples[name].astype(str).map(_inert)
    return samples.to_csv(index=False).encode()


def _parquet(run: Run) -> bytes:
    target = io.BytesIO()
    try:
        _samples(run).to_parquet(target, index=False)
    except ImportError as error:
        raise UsageError("pyarrow is not installed", remedy="pip install 'isobench[parquet]'") from error
    return target.getvalue()


def _custom_smaller_is_better(run: Run) -> bytes:
    """https://github.com/benchmark-action/github-action-benchmark: a list of {name, unit, value, range, extra}."""
    rows = [
        {
            "name": f"{row.scenario}.{row.metric}/{row.environment}",
            "unit": "s" if row.unit == "second" else "B",
            "value": row.median,
            "range": f"{row.q25:.6g} … {row.q75:.6g}",
            "extra": _against(row),
        }
        for row in _estimates(run)
    ]
    return json.dumps(rows, indent=1, ensure_ascii=False).encode()


def _bmf(run: Run) -> bytes:
    """https://bencher.dev/docs/reference/bencher-metric-format/: benchmark -> measure -> value and bounds."""
    document = {
        f"{row.scenario}.{row.metric}/{row.environment}": {
            "latency" if row.unit == "second" else "memory": {
                "value": row.median * (1e9 if row.unit == "second" else 1),  # Bencher's latency is in nanoseconds
                "lower_value": row.q25 * (1e9 if row.unit == "second" else 1),
                "upper_value": row.q75 * (1e9 if row.unit == "second" else 1),
            }
        }
        for row in _estimates(run)
    }
    return json.dumps(document, indent=1).encode()


def _openmetrics(run: Run) -> bytes:
    """https://github.com/prometheus/OpenMetrics: gauges with the unit in the name, labels escaped, # EOF at the end."""
    lines = []
    table = _estimates(run)
    for unit in ("second", "byte"):
        rows = [row for row in table if row.unit == unit]
        name = f"isobench_cost_{unit}s"
        if rows:
            lines += [
                f"# TYPE {name} gauge",
                f"# UNIT {name} {unit}s",
                f"# HELP {name} Median over the blocks of a run.",
            ]
        lines += [f"{name}{_labels(run, row)} {row.median!r}" for row in rows]
    ratios = [row for row in table if math.isfinite(row.ratio)]
    if ratios:
        lines += ["# TYPE isobench_ratio gauge", "# HELP isobench_ratio Cost against the baseline, paired by block."]
    for row in ratios:
        lines += [
            f"isobench_ratio{_labels(run, row, bound=bound)} {value!r}"
            for bound, value in (("centre", row.ratio), ("low", row.ratio_low), ("high", row.ratio_high))
            if math.isfinite(value)
        ]
    return ("\n".join([*lines, "# EOF"]) + "\n").encode()


def _junit(run: Run) -> bytes:
    """JUnit XML: a test case for each cell, failed where the cell failed in a measured block, skipped where skipped."""
    from xml.etree import ElementTree as Xml

    session = run.session
    failed = {(f.scenario, f.environment): f for f in session.failures if f.block > 0}
    counts: dict[str, str] = {"failures": str(len(failed)), "skipped": str(len(session.skips)), "errors": "0"}
    groups: dict[tuple[str, str], list[Estimate]] = {}
    for row in _estimates(run):
        groups.setdefault((row.scenario, row.environment), []).append(row)
    cells = sorted({*groups, *failed})
    tests = str(len(cells) + len(session.skips))
    root = Xml.Element("testsuites")
    attributes = {"name": "isobench", "tests": tests, "timestamp": session.started, **counts}
    suite = Xml.SubElement(root, "testsuite", attributes)
    for scenario, environment in cells:
        case = Xml.SubElement(suite, "testcase", classname=_legal(scenario), name=_legal(environment))
        if (scenario, environment) in failed:
            failure = failed[scenario, environment]
            Xml.SubElement(case, "failure", message=_legal(failure.reason)).text = _legal(failure.console)
        if (scenario, environment) in groups:
            lines = [
                f"{row.metric} {row.median:.6g} {row.unit} {_against(row)}" for row in groups[scenario, environment]
            ]
            Xml.SubElement(case, "system-out").text = _legal("\n".join(lines))
    for skip in session.skips:
        case = Xml.SubElement(
            suite, "testcase", classname=_legal(skip.scenario or "all"), name=_legal(skip.environment)
        )
        Xml.SubElement(case, "skipped", message=_legal(skip.reason))
    return bytes(Xml.tostring(root, encoding="utf-8", xml_declaration=True))


def _otava(run: Run) -> bytes:
    """A header and one row: the time, and every cost; the rows of many nights under one header are Otava's input."""
    import csv

    rows = _estimates(run)
    text = io.StringIO()
    writer = csv.writer(text)
    names = (f"{row.scenario}.{row.metric}/{row.environment}" for row in rows)
    writer.writerow(["time", "run", *map(_inert, names)])
    writer.writerow([*map(_inert, (run.session.started, run.session.run_id)), *(repr(row.median) for row in rows)])
    return text.getvalue().encode()


FORMATS: dict[str, Callable[[Run], bytes]] = {
    "csv": _csv,
    "parquet": _parquet,
    "customSmallerIsBetter": _custom_smaller_is_better,
    "bmf": _bmf,
    "openmetrics": _openmetrics,
    "junit": _junit,
    "otava": _otava,
}
SUFFIXES = {
    "csv": "csv",
    "parquet": "parquet",
    "customSmallerIsBetter": "github.json",
    "bmf": "bmf.json",
    "openmetrics": "prom",
    "junit": "junit.xml",
    "otava": "otava.csv",
}
"""What the file of a format is called after its dot."""


def _samples(run: Run) -> pd.DataFrame:
    from bench.analysis import frames

    return frames.samples(run)


def _estimates(run: Run) -> list[Estimate]:
    from bench.analysis import frames
    from bench.report.context import estimates_of

    return [row for row in estimates_of(frames.samples(run), run.session.baseline) if not row.control]


def _against(row: Estimate) -> str:
    if not math.isfinite(row.ratio):
        return ""
    if not (math.isfinite(row.ratio_low) and math.isfinite(row.ratio_high)):
        return f"{row.ratio:.4g}× the baseline [no interval]"
    return f"{row.ratio:.4g}× the baseline [{row.ratio_low:.4g}, {row.ratio_high:.4g}]"


def _labels(run: Run, row: Estimate, **more: str) -> str:
    labels = {
        "host": run.session.host_id,
        "scenario": row.scenario,
        "metric": row.metric,
        "environment": row.environment,
    }
    escaped = (
        '{}="{}"'.format(key, str(value).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n"))
        for key, value in {**labels, **more}.items()
    )
    return "{" + ",".join(escaped) + "}"


def _inert(text: str) -> str:
    """A cell of words that no spreadsheet takes for a formula (OWASP: CSV injection) and no terminal obeys."""
    text = clean(text)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def _legal(text: str) -> str:
    """Without the characters that XML 1.0 does not have."""
    return "".join(
        c for c in text if c in "\t\n\r" or " " <= c <= "\ud7ff" or "\ue000" <= c <= "\ufffd" or c > "\uffff"
    )
