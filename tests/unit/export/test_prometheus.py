"""What Prometheus and Grafana are given beside the metrics: alert rules and a dashboard, which ask for nothing else."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from isobench.analysis.results import load
from isobench.commands import _night
from isobench.export.openmetrics import FAMILIES, write_night
from isobench.nights import history
from isobench.nights.trend import evaluate
from tests import dashboard
from tests.unit.analysis.made import night, write_run

CONTRIB = Path(__file__).parents[3] / "contrib"
RULES = CONTRIB / "prometheus/isobench.rules.yml"
CASES = CONTRIB / "prometheus/isobench.test.yml"
STEP, NIGHTS, HOURS = 12, 20, 24

_GRID = {"type": "object", "required": ["x", "y", "w", "h"], "additionalProperties": False,
         "properties": {"x": {"type": "integer", "minimum": 0, "maximum": 23}, "y": {"type": "integer", "minimum": 0},
                        "w": {"type": "integer", "minimum": 1, "maximum": 24},
                        "h": {"type": "integer", "minimum": 1}}}  # fmt: skip
_SOURCE = {"type": "object", "required": ["type", "uid"], "additionalProperties": False,
           "properties": {"type": {"const": "prometheus"}, "uid": {"const": "${source}"}}}  # fmt: skip
_TARGET = {"type": "object", "required": ["refId", "datasource", "expr"], "additionalProperties": False,
           "properties": {"refId": {"pattern": "^[A-Z]$"}, "datasource": _SOURCE, "expr": {"type": "string"},
                          "legendFormat": {"type": "string"}, "instant": {"type": "boolean"},
                          "range": {"type": "boolean"}, "format": {"enum": ["time_series", "table"]}}}  # fmt: skip
_PANEL = {"type": "object", "required": ["id", "type", "title", "gridPos", "datasource", "targets", "fieldConfig"],
          "additionalProperties": False,
          "properties": {"id": {"type": "integer"}, "type": {"enum": ["stat", "table", "timeseries"]},
                         "title": {"type": "string"}, "gridPos": _GRID, "datasource": _SOURCE,
                         "targets": {"type": "array", "items": _TARGET, "minItems": 1}, "options": {"type": "object"},
                         "fieldConfig": {"type": "object", "required": ["defaults", "overrides"]},
                         "transformations": {"type": "array"}}}  # fmt: skip
_VARIABLE = {"type": "object", "required": ["type", "name"], "additionalProperties": False,
             "properties": {"type": {"enum": ["datasource", "query"]}, "name": {"type": "string"},
                            "label": {"type": "string"}, "query": {"type": "string"}, "datasource": _SOURCE,
                            "refresh": {"enum": [0, 1, 2]}, "sort": {"enum": [*range(9)]},
                            "multi": {"type": "boolean"}, "includeAll": {"type": "boolean"}}}  # fmt: skip
DASHBOARD = {
    "type": "object",
    "required": ["uid", "title", "schemaVersion", "panels", "templating", "annotations"],
    "additionalProperties": False,
    "properties": {
        "uid": {"type": "string", "maxLength": 40}, "title": {"type": "string"}, "description": {"type": "string"},
        "tags": {"type": "array", "items": {"type": "string"}}, "schemaVersion": {"type": "integer", "minimum": 36},
        "editable": {"type": "boolean"}, "graphTooltip": {"enum": [0, 1, 2]}, "timezone": {"type": "string"},
        "time": {"type": "object", "required": ["from", "to"]}, "panels": {"type": "array", "items": _PANEL},
        "templating": {"type": "object", "properties": {"list": {"type": "array", "items": _VARIABLE}}},
        "annotations": {"type": "object", "properties": {"list": {"type": "array"}}},
    },
}  # fmt: skip
"""A schema of our own: the part of Grafana's classic model that the dashboard uses. Grafana has none that can be had
without its software development kit; held against the models of that, once and by hand, nothing of it was unknown."""


def _promtool(*words: str) -> None:
    done = subprocess.run(["promtool", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.tool("promtool")
def test_the_rules_are_valid_and_do_what_they_say() -> None:
    """By Prometheus's own checker: each fires on what it is for, and is silent otherwise."""
    _promtool("check", "rules", str(RULES))
    _promtool("test", "rules", str(CASES))


def test_every_alert_is_tested_to_fire_and_to_be_silent() -> None:
    """In the cases that promtool runs."""
    alerts = re.findall(r"- alert: (\w+)", RULES.read_text())
    cases = CASES.read_text()
    for alert in alerts:
        silent, fires = f"alertname: {alert}}}", f"alertname: {alert}\n        exp_alerts:\n          - exp_labels"
        assert silent in cases and fires in cases, alert


def _names(text: str) -> dict[str, set[str]]:
    """Every metric of isobench in a text, and the labels that are chosen of it."""
    found: dict[str, set[str]] = {}
    for name, chosen in re.findall(r"\b(isobench_\w+)(?:\{([^}]*)\})?", text):
        found.setdefault(name, set()).update(re.findall(r"(\w+)=~?[\"']", chosen))
    return found


@pytest.mark.parametrize("file", [RULES, CASES, dashboard.FILE], ids=lambda file: file.name)
def test_only_what_is_exported_is_asked_for(file: Path) -> None:
    """Names and labels of metrics are those that the export writes; `instance` is Prometheus's own."""
    text = file.read_text().replace('\\"', '"')
    asked = _names(text)
    assert asked and asked.keys() <= FAMILIES.keys()
    for name, labels in asked.items():
        assert labels <= {*FAMILIES[name].labels, "instance"}, name


def test_the_dashboard_is_generated_and_shows_every_metric() -> None:
    """`python -m tests.dashboard` writes it."""
    assert dashboard.FILE.read_text(encoding="utf-8") == dashboard.text()
    document = json.loads(dashboard.text())
    jsonschema.validate(document, DASHBOARD)
    assert _names(json.dumps([one["targets"] for one in document["panels"]])).keys() == FAMILIES.keys()
    variables = {f"${one['name']}" for one in document["templating"]["list"]}
    assert set(re.findall(r"\$\w+", json.dumps(document))) - {"$source"} <= variables
    assert len({one["id"] for one in document["panels"]}) == len(document["panels"])


def test_no_panel_covers_another() -> None:
    """On Grafana's grid."""
    taken = [
        {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        for at in (panel["gridPos"] for panel in dashboard.dashboard()["panels"])
    ]
    assert len(set().union(*taken)) == sum(map(len, taken))


def test_a_metric_that_is_not_exported_cannot_be_asked_for() -> None:
    with pytest.raises(KeyError):
        dashboard.query("isobench_cost_hours")
    with pytest.raises(ValueError, match="no label colour"):
        dashboard.query("isobench_ratio", colour="red")


def _samples(text: str) -> dict[str, float]:
    families = text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
    return {
        sample.name + "{" + ", ".join(f"{key}={json.dumps(words)}" for key, words in sample.labels.items()) + "}":
        sample.value
        for family in families for sample in family.samples
    }  # fmt: skip


def _as_series(files: list[str]) -> list[dict[str, str]]:
    """Nights' files as promtool's series: each is scraped hourly for a day; a series that the next lacks is stale."""
    nights = [_samples(text) for text in files]
    made = []
    for name in dict.fromkeys(name for one in nights for name in one):
        parts, there = [], False
        for one in nights:
            gone = f"stale {'_ ' * (HOURS - 1)}" if there else "_ " * HOURS
            there = name in one
            parts.append(" ".join([repr(one[name])] * HOURS) if there else gone)
        made.append({"series": name, "values": " ".join(parts)})
    return made


@pytest.mark.tool("promtool")
def test_a_step_of_a_real_history_is_an_alert_of_one_night(tmp_path: Path) -> None:
    """From runs on disk by the trend and the night's file to Prometheus: silent the night before docker's step is
    certain, firing from that night on, and silent again the next."""
    paths = []
    for number in range(NIGHTS):
        factors = {"docker": 200.0 if number < STEP else 300.0}
        paths.append(write_run(tmp_path / "results", started=night(number), seed=number, factors=factors, blocks=8))
    found = history.read(tmp_path / "results")
    files, news = [], []
    for number in range(NIGHTS):
        trend = evaluate(found._replace(nights=found.nights[: number + 1]))
        news.append([alert for alert in trend.alerts if alert.news])
        files.append(write_night(load(paths[number]), trend.alerts, trend.series).decode())
    (sure,) = [number for number, alerts in enumerate(news) if alerts]
    labels = {"severity": "warning", "host": "host", "scenario": "startup", "metric": "ready"}
    labels |= {"environment": "docker", "kind": "environment", "state": "new", "near": news[sure][0].near}

    def case(hour: int, alerts: list[dict[str, Any]]) -> dict[str, Any]:
        return {"eval_time": f"{hour}h", "alertname": "IsobenchCostChanged", "exp_alerts": alerts}

    ratio = f"{news[sure][0].change:.3g}"
    words = {
        "summary": "startup.ready in docker changed on host",
        "description": f"It costs {ratio} times what it did before, relative to the baseline, near {labels['near']}. "
        "`isobench trend` names the likely cause.",
    }
    document = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1h",
        "tests": [
            {
                "interval": "1h",
                "input_series": _as_series(files[sure - 1 : sure + 2]),
                "alert_rule_test": [
                    case(HOURS - 1, []),
                    case(HOURS + 1, [{"exp_labels": labels, "exp_annotations": words}]),
                    case(2 * HOURS + 1, []),
                ],
            }
        ],
    }
    (tmp_path / "cases.yml").write_text(json.dumps(document))
    _promtool("test", "rules", str(tmp_path / "cases.yml"))


def test_a_night_exports_the_news_of_its_own_machine(tmp_path: Path) -> None:
    """The file in the night's folder has what the trend told, of this host alone."""
    results = tmp_path / "results"
    for number in range(3):
        path = write_run(results, started=night(number), host="here", kernel=f"6.{number}", seed=number)
        write_run(results, started=night(number), host="there", kernel=f"5.{number}", seed=number)
    here = _night.Night([], [])
    tonight = load(path)
    _night.export(tmp_path, tonight, _night.trend_of(here, tmp_path, results, tonight))
    samples = _samples((tmp_path / "isobench.prom").read_text())
    assert samples['isobench_trend_fact_changed{host="here", fact="kernel"}'] == 1.0
    assert not any("there" in name for name in samples)
