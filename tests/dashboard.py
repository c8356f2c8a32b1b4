"""Write the Grafana dashboard of what `isobench.export.openmetrics` exports: `python -m tests.dashboard`.

Grafana's classic model, which every version since 10 imports. Each query is made from a name of `FAMILIES`, so that the
dashboard cannot ask for a metric that nobody writes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from isobench.export.openmetrics import FAMILIES

FILE = Path(__file__).parents[1] / "contrib/grafana/isobench.json"
_SOURCE = {"type": "prometheus", "uid": "${source}"}
_WIDTH = 24
"""Columns of Grafana's grid."""

Json = dict[str, Any]


def query(name: str, **only: str) -> str:
    """A selector of a metric; `only` are regular expressions, such as variables of the dashboard."""
    unknown = set(only) - set(FAMILIES[name].labels)
    if unknown:
        raise ValueError(f"{name} has no label {', '.join(sorted(unknown))}")
    chosen = ", ".join(f'{label}=~"{words}"' for label, words in only.items())
    return f"{name}{{{chosen}}}" if chosen else name


_HOST = {"host": "$host"}
_COST = {**_HOST, "scenario": "$scenario", "metric": "$metric", "environment": "$environment"}


def dashboard() -> Json:
    """The whole document."""
    began = query("isobench_run_start_time_seconds", **_HOST)
    ratio = {bound: query("isobench_ratio", **_COST, bound=bound) for bound in ("centre", "low", "high")}
    panels = [
        _panel("stat", "Since the newest run", 6, 4, [(f"time() - {began}", "{{host}}")], unit="s"),
        _panel("stat", "Blocks used", 6, 4, [(query("isobench_run_blocks_used", **_HOST), "{{host}}")]),
        _panel("stat", "Failed cells", 6, 4, [(query("isobench_run_failed_cells", **_HOST), "{{host}}")]),
        _panel("stat", "Series watched", 6, 4, [(query("isobench_trend_watched_series", **_HOST), "{{host}}")]),
        _panel(
            "table", "Changes that the newest run confirmed: new level to old", 16, 7,
            [(query("isobench_trend_change_ratio", **_HOST), "")],
        ),
        _panel("table", "Facts that changed", 8, 7, [(query("isobench_trend_fact_changed", **_HOST), "")]),
        _panel(
            "timeseries", "$scenario.$metric against the baseline, with its 95 % interval", _WIDTH, 11,
            [(ratio[bound], f"{{{{host}}}} {{{{environment}}}} {bound}") for bound in ratio], log=True, unit="none",
        ),
        _panel(
            "timeseries", "$scenario.$metric, time", 12, 9,
            [(query("isobench_cost_seconds", **_COST), "{{host}} {{environment}}")], log=True, unit="s",
        ),
        _panel(
            "timeseries", "$scenario.$metric, memory", 12, 9,
            [(query("isobench_cost_bytes", **_COST), "{{host}} {{environment}}")], log=True, unit="bytes",
        ),
    ]  # fmt: skip
    _place(panels)
    return {
        "uid": "isobench",
        "title": "isobench",
        "description": "What isolation costs, night by night. The verdicts are those of `isobench trend`.",
        "tags": ["isobench"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "timezone": "utc",
        "time": {"from": "now-90d", "to": "now"},
        "annotations": {"list": []},
        "templating": {"list": _variables()},
        "panels": panels,
    }


def _panel(
    kind: str, title: str, width: int, height: int, queries: list[tuple[str, str]], *, unit: str = "", log: bool = False
) -> Json:
    table = kind == "table"
    targets = [
        {
            "refId": chr(ord("A") + number),
            "datasource": _SOURCE,
            "expr": text,
            "legendFormat": legend,
            "instant": table or kind == "stat",
            "range": not (table or kind == "stat"),
            **({"format": "table"} if table else {}),
        }
        for number, (text, legend) in enumerate(queries)
    ]
    defaults: Json = {"unit": unit} if unit else {}
    if kind == "timeseries":
        scale = {"type": "log", "log": 10} if log else {"type": "linear"}
        defaults["custom"] = {"drawStyle": "line", "lineInterpolation": "stepAfter", "scaleDistribution": scale}
    made: Json = {
        "type": kind,
        "title": title,
        "datasource": _SOURCE,
        "gridPos": {"x": 0, "y": 0, "w": width, "h": height},
        "targets": targets,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": {"reduceOptions": {"calcs": ["lastNotNull"]}} if kind == "stat" else {},
    }
    if table:
        hidden = dict.fromkeys(("Time", "__name__", "instance", "job"), True)
        made["transformations"] = [{"id": "organize", "options": {"excludeByName": hidden}}]
    return made


def _place(panels: list[Json]) -> None:
    """From left to right, a row below where one is full, with numbers."""
    x = y = row = 0
    for number, panel in enumerate(panels, 1):
        place = panel["gridPos"]
        if x + place["w"] > _WIDTH:
            x, y, row = 0, y + row, 0
        place.update(x=x, y=y)
        x, row = x + place["w"], max(row, place["h"])
        panel["id"] = number


def _variables() -> list[Json]:
    source = {"type": "datasource", "name": "source", "label": "Data source", "query": "prometheus"}
    ratio = "isobench_ratio"
    return [
        source,
        _variable("host", query("isobench_run_start_time_seconds"), several=True),
        _variable("scenario", query(ratio, **_HOST)),
        _variable("metric", query(ratio, **_HOST, scenario="$scenario")),
        _variable("environment", query(ratio, **_HOST, scenario="$scenario", metric="$metric"), several=True),
    ]


def _variable(label: str, of: str, *, several: bool = False) -> Json:
    return {
        "type": "query",
        "name": label,
        "label": label.capitalize(),
        "datasource": _SOURCE,
        "query": f"label_values({of}, {label})",
        "refresh": 2,
        "sort": 1,
        "multi": several,
        "includeAll": several,
    }


def text() -> str:
    return json.dumps(dashboard(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
