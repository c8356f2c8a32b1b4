"""Startup and teardown: distributions, phases, the order of the run, CPU time."""

from __future__ import annotations

import math
from statistics import median
from typing import TYPE_CHECKING

from isobench.layout import format
from isobench.layout.blocks import Cell, Figure, table
from isobench.report import charts, rules
from isobench.report.context import Section
from isobench.report.needs import representatives
from isobench.report.sections._shared import (
    alt_of,
    finding,
    largest_part,
    name_cell,
    parts_figure,
    sample_note,
    scenario_details,
    style_of,
    whole_scenario,
)

if TYPE_CHECKING:
    from isobench.layout.blocks import Block, Table, Text
    from isobench.report.context import Context

POINTS = 3000
"""The most points of a drawing, over all environments; more are thinned evenly, and the note says so."""

_STAMPS = ("created", "attached", "started", "booted", "ready")
_QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)


def build(context: Context) -> list[Block]:
    extras = [s.name for s in context.session.scenarios if s.name.startswith("startup-")]
    return [*_own(context), *(block for extra in extras for block in whole_scenario(context, extra))]


def _own(context: Context) -> list[Block]:
    """The scenario `startup` itself."""
    names = [n for n in representatives(context) if context.find("startup", "ready", n)]
    if not names:
        return scenario_details(context, "startup")
    blocks: list[Block] = [_distribution(context, names), *_phases(context, names), *_order(context, names)]
    by_whom = [m for m in context.metrics_of("startup") if m.startswith("cpu-")]
    cpu = parts_figure(context, "startup", by_whom, "CPU time of one start and end", names)
    blocks += [cpu] if cpu else []
    return [*blocks, *scenario_details(context, "startup")]


def _distribution(context: Context, names: list[str]) -> Figure:
    series, thinned, most = [], False, max(POINTS // len(names), 50)
    for name in names:
        values = sorted(context.values("startup", "ready", name)[1])
        if len(values) > most:
            values, thinned = [values[round(i * (len(values) - 1) / (most - 1))] for i in range(most)], True
        if values:
            series.append(charts.Series(name, values, (), style_of(context, name)))
    title = finding(context, context.select("startup", "ready"), "Request to first byte")
    data = _quantiles(context, names)
    counted = sample_note(context, "startup", ["ready"])
    note = f"Share of samples at or below a time; the marker is the median. Log axis. {counted}"
    note += f" Drawn through {most} evenly spaced quantiles of each." if thinned else ""
    return Figure(title, charts.ecdf(series, "second"), alt_of(title, data), note, data)


def _quantiles(context: Context, names: list[str]) -> Table:
    heads = ["minimum", "5 %", "25 %", "median", "75 %", "95 %", "99 %", "maximum"]
    rows = []
    for name in names:
        values = sorted(context.values("startup", "ready", name)[1])
        cells: list[Cell | Text] = [name_cell(context, name), str(len(values))]
        cells += [format.quantity(_quantile(values, q), "second") for q in _QUANTILES]
        rows.append(cells)
    return table("Quantiles of request to first byte", ["environment", "n", *heads], rows)


def _quantile(ordered: list[float], share: float) -> float:
    """A quantile by linear interpolation. NaN if there are too few values: 5 and 95 % need 20, 99 % needs 100."""
    rarest = min(share, 1 - share) or 1.0
    if len(ordered) * rarest < 1 - 1e-9:
        return math.nan
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def _phases(context: Context, names: list[str]) -> list[Block]:
    """Medians of the per-block differences between consecutive stamps, and the teardown after them; empty if start and
    teardown have only one phase each."""
    parts, bars = _phase_names(context, names), []
    values: dict[tuple[str, str], dict[int, float]] = {}
    if len(parts) < 2:
        return []
    for name in names:
        phases = phases_of(context, name)
        values |= {(name, part): by_block for part, by_block in _phases_by_block(context, name).items()}
        bars.append(charts.Bar(name, [phases.get(part, math.nan) for part in parts]))
    title = f"Where the time of a start and an end goes, in {len(parts)} phases"
    longest = largest_part(context, bars, parts, values)
    if longest is not None:
        share, part, label = longest
        title = f"The longest single phase is {part} of {format.clean(label, 40)}, {format.about(share)} of its total"
    rows: list[list[Cell | Text]] = [
        [name_cell(context, bar.label), *(format.signed(v, "second") for v in bar.parts)] for bar in bars
    ]
    data = table("Median of each phase; a difference of two stamps may be negative", ["environment", *parts], rows)
    note = (
        "Each phase as a share of the total, which is given on the right. A phase is the median over blocks of the "
        f"difference between two stamps of one instance. {_stamps_told(context)}"
        f"{sample_note(context, 'startup', ['ready'])}"
    )
    return [Figure(title, charts.stacked(bars, parts, "second"), alt_of(title, data), note, data)]


def _stamps_told(context: Context) -> str:
    """The meaning of each stamp, in the words of the scenario's record."""
    records = [context.metric("startup", name) for name in (*_STAMPS, "exit", "gone")]
    known = [r for r in records if r is not None and r.meaning and context.select("startup", r.name)]
    said = [format.clean(r.meaning, 120).split(" until ", 1)[-1].removeprefix("from the request to ") for r in known]
    told = [f"{record.name}: {words}" for record, words in zip(known, said, strict=True)]
    return f"{'; '.join(told)}. " if told else ""


def phases_of(context: Context, name: str) -> dict[str, float]:
    """The median seconds of each phase of an environment, request to gone."""
    return {label: median(values.values()) for label, values in _phases_by_block(context, name).items()}


def _phases_by_block(context: Context, name: str) -> dict[str, dict[int, float]]:
    """The seconds of each phase of an environment in each block, request to gone."""
    stamps = {m: dict(zip(*context.values("startup", m, name), strict=True)) for m in _STAMPS}
    phases: dict[str, dict[int, float]] = {}
    before, previous = "request", None
    for stamp in _STAMPS:
        if not stamps[stamp]:
            continue
        blocks = stamps[stamp].keys() & previous.keys() if previous is not None else stamps[stamp].keys()
        if blocks:
            gaps = {b: stamps[stamp][b] - (previous[b] if previous is not None else 0.0) for b in blocks}
            phases[f"{before} → {stamp}"] = gaps
        before, previous = stamp, stamps[stamp]
    for metric, label in (("exit", "release → exit"), ("gone", "exit → gone")):
        values = dict(zip(*context.values("startup", metric, name), strict=True))
        if values:
            phases[label] = values
    return phases


def _phase_names(context: Context, names: list[str]) -> list[str]:
    found = {part for name in names for part in phases_of(context, name)}
    stamps = ("request", *_STAMPS)
    order = [f"{a} → {b}" for i, a in enumerate(stamps) for b in stamps[i + 1 :]]
    return [part for part in [*order, "release → exit", "exit → gone"] if part in found]


def _order(context: Context, names: list[str]) -> list[Block]:
    """Every start in the order of the run; empty if there is only one block."""
    series, step = [], 1
    columns: dict[str, dict[int, float]] = {}
    for name in names:
        blocks, values = context.values("startup", "ready", name)
        columns[name] = dict(zip(blocks, values, strict=True))
        step = max(step, math.ceil(len(blocks) / max(POINTS // len(names), 50)))
        series.append(charts.Series(name, blocks[::step], values[::step], style_of(context, name)))
    blocks = sorted({b for column in columns.values() for b in column})
    if len(blocks) < 2:
        return []
    moved = rules.drifting({name: (list(column), list(column.values()))
                            for name, column in columns.items() if rules.is_choice(context, name)})  # fmt: skip
    title = f"Request to first byte in the order of {format.count(len(blocks), 'block')}: no certain drift"
    if moved is not None:
        title = (
            f"From the first half of the run to the second the median of {format.clean(moved[0], 40)} moved to "
            f"{format.ratio(moved[1])}"
        )
    every = math.ceil(len(blocks) / 50) or 1
    rows: list[list[Cell | Text]] = [
        [str(b), *(format.quantity(columns[n].get(b, math.nan), "second") for n in names)] for b in blocks[::every]
    ]
    caption = "Request to first byte by block" + (f"; every {every}th block of {len(blocks)}" if every > 1 else "")
    data = table(caption, ["block", *(format.clean(n, 60) for n in names)], rows)
    note = f"Each point is a fresh instance; log axis. n = {format.count(len(blocks), 'block')}."
    note += f" Every {step}th point is drawn." if step > 1 else ""
    return [Figure(title, charts.points(series, "block", "second"), alt_of(title, data), note, data)]


SECTION = Section(50, "startup", "Startup and teardown", build, "Startup")
