"""The numbers of a machine's runs as scripts, which its comparison page loads when two runs are chosen.

They are scripts because a page that is opened from a file can load nothing else. Each has some runs, the oldest first,
so that a new run changes only the last script. A number is stored as its natural logarithm times 10,000, rounded, which
keeps four digits and is fast to write; the ends of an interval are distances from the middle.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from isobench.layout import format
from isobench.site.compare import run_word

if TYPE_CHECKING:
    from collections.abc import Sequence

    from isobench.nights.history import Night
    from isobench.site.machine import Machine

INDEX = "runs"
PART = 25
"""Runs in one file."""
_STEPS = 1e4
_NONE = 999_999
"""Marks a missing number; no measured value has this logarithm."""

_Cost = tuple[str, str, str, str]
"""Scenario, metric, environment, unit."""


def files(machine: Machine) -> dict[str, str]:
    """The list of runs, and their numbers."""
    runs = [(night.started, run_word(machine, night), format.clean(night.label, 100)) for night in machine.nights]
    found = {f"{INDEX}.js": _script(INDEX, {"part": PART, "runs": runs})}
    for number, first in enumerate(range(0, len(machine.nights), PART)):
        name = f"{INDEX}-{number}"
        found[f"{name}.js"] = _script(name, _part(machine.nights[first : first + PART]))
    return found


def _script(name: str, content: object) -> str:
    return f"isobenchData({msgspec.json.encode(name).decode()}, {msgspec.json.encode(content).decode()});\n"


def _part(nights: Sequence[Night]) -> dict[str, object]:
    """Some runs. A run's columns (value, ratio, low, high) are in the order of `costs`, as far as it has them."""
    costs: dict[_Cost, int] = {}
    facts: list[dict[str, str]] = []
    runs = []
    for night in nights:
        own = [(p.scenario, p.metric, p.environment, p.unit) for p in night.points]
        places = [costs.setdefault(cost, len(costs)) for cost in own]
        numbers = np.full((len(costs), 4), np.nan)
        if places:
            numbers[places] = [(p.value, p.ratio, p.low, p.high) for p in night.points]
        if not facts or facts[-1] != night.fingerprint:
            facts.append(night.fingerprint)
        runs.append((len(facts) - 1, *_columns(numbers)))
    shown = [{format.clean(k, 60): format.clean(v, 200) for k, v in one.items()} for one in facts]
    named = [
        (format.clean(f"{scenario}.{metric}", 160), format.clean(environment, 100), unit)
        for scenario, metric, environment, unit in costs
    ]
    return {"costs": named, "facts": shown, "runs": runs}


def _columns(numbers: np.ndarray) -> list[list[object]]:
    """The encoded numbers by column. A value of zero or less has no logarithm, so it and its interval are written as
    text."""
    values, ratios = numbers[:, 0], numbers[:, 1]
    middles = np.where(np.isnan(ratios), values, ratios)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(np.column_stack([values, ratios, numbers[:, 2] / middles, numbers[:, 3] / middles])) * _STEPS
    whole = np.where(np.isfinite(logs), np.rint(logs), _NONE).astype(int)
    columns: list[list[object]] = whole.T.tolist()
    for place in np.flatnonzero((numbers <= 0).any(axis=1)).tolist():
        for column in (0, 2, 3):
            number = float(numbers[place, column])
            columns[column][place] = repr(number) if math.isfinite(number) else _NONE
    return columns
