"""The runs of this host so far: each need as a ratio to its own night's baseline, and the baseline itself.

The table has the confirmed changes, as `isobench trend` reports them.
"""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

from isobench.layout import format
from isobench.layout.blocks import Block, Figure, Paragraph, table
from isobench.nights import history
from isobench.nights.trend import FEWEST as WATCHED
from isobench.nights.trend import evaluate
from isobench.report import charts, rules
from isobench.report.context import Section, day_of
from isobench.report.needs import metric_for, needs_of, representatives
from isobench.report.sections._shared import alt_of, style_of
from isobench.results.record import machine

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from isobench.analysis.results import Estimate
    from isobench.layout.blocks import Cell, Text
    from isobench.nights.trend import Alert
    from isobench.report.context import Context, Night
    from isobench.report.needs import Need

FEWEST = 3
"""The fewest runs for a history."""


def build(context: Context) -> list[Block]:
    wanted = [(need, chosen) for need in needs_of(context) if (chosen := metric_for(context, need)) is not None]
    nights = context.nights([chosen for _, chosen in wanted])
    if len(nights) < FEWEST:
        return []
    changes = sum(_differ(before.fingerprint, after.fingerprint) for before, after in pairwise(nights))
    text = f"{len(nights)} runs of this host, from {nights[0].label} to {nights[-1].label}"
    text += f"; its kernel, processor, programs or engines changed {format.count(changes, 'time')}." if changes else "."
    alerts = _alerts(context)
    drawn = [_baseline(context, wanted, nights, alerts)]
    drawn += [_figure(context, need, chosen, nights, alerts) for need, chosen in wanted]
    figures = [figure for figure in drawn if figure is not None]
    return [Paragraph(text), *_changes(alerts), *figures] if figures or alerts else []


def _differ(before: dict[str, str], after: dict[str, str]) -> bool:
    """Whether a fact that both runs recorded differs; a run without QEMU does not record its version."""
    return any(before[key] != after[key] for key in before.keys() & after.keys())


def _baseline(
    context: Context, wanted: list[tuple[Need, tuple[str, str]]], nights: list[Night], alerts: list[Alert]
) -> Figure | None:
    """The baseline's own costs relative to the first run that has them: if all of them move, the host has changed."""
    series = []
    rows: list[list[Cell | Text]] = []
    for style, (need, chosen) in enumerate(wanted):
        found = [(night.day, _estimate(night, chosen, context.baseline)) for night in nights]
        points = [(day, row) for day, row in found if row is not None]
        rows.append([need.title, *(format.cost(row) if row else format.MISSING for _, row in found)])
        if len(points) >= FEWEST:
            first = points[0][1].median
            ratios = [row.median / first for _, row in points]
            lows, highs = [row.q25 / first for _, row in points], [row.q75 / first for _, row in points]
            series.append(charts.Series(need.title, [x for x, _ in points], ratios, style, lows, highs))
    if not series:
        return None
    own = {f"{'.'.join(chosen)}/{context.baseline}" for _, chosen in wanted}
    moved = [alert for alert in alerts if alert.kind == "host" and own.intersection(alert.what)]
    title = _title(f"The baseline itself, {context.title(context.baseline)}", moved, series)
    data = table("The baseline's median by run", ["cost", *_labels(nights)], rows)
    marks = _marks(alerts, lambda alert: alert.kind == "host", nights)
    note = (
        f"Median of each run against the first run's; line: quartiles; log axis. n = {len(nights)} runs.{_told(marks)}"
    )
    return Figure(title, charts.history(series, marks, "ratio"), alt_of(title, data), note, data)


def _marks(alerts: list[Alert], concerns: Callable[[Alert], bool], nights: list[Night]) -> list[charts.Change]:
    """The changes that a figure shows, by their numbers in the table: its own, and those of the host's software."""
    first, last = nights[0].day, nights[-1].day
    wanted = [
        (number, alert) for number, alert in enumerate(alerts, 1) if alert.kind == "fingerprint" or concerns(alert)
    ]
    marks = [charts.Change(day_of(alert.near), str(number)) for number, alert in wanted]
    return [mark for mark in marks if first <= mark.x <= last]


def _told(marks: list[charts.Change]) -> str:
    return " Dashed: the confirmed changes, by their numbers in the table above." if marks else ""


def _title(what: str, alerts: Sequence[Alert], series: Sequence[charts.Series]) -> str:
    """A title about the confirmed changes since the first run drawn; a line that merely ends higher supports no
    claim."""
    first, runs = min(one.x[0] for one in series), max(len(one.x) for one in series)
    found = [alert for alert in alerts if alert.state != "withdrawn" and day_of(alert.near) >= first]
    if not found:
        of = f"in {runs} runs"
        return f"{what}: no confirmed change {of}" if runs >= WATCHED else f"{what} {of}: too few to confirm a change"
    last = found[-1]
    more = f"{len(found)} confirmed changes; the last: " if len(found) > 1 else ""
    cost = format.listing([format.clean(one, 60) for one in last.what], 3)
    moved = f"{more}{cost} moved to {format.ratio(last.change or math.nan)} near {format.clean(last.near[:10], 10)}"
    return f"{what}: {moved}" + (", and is back" if last.state == "recovered" else "")


def _labels(nights: list[Night]) -> list[str]:
    """The date and time of each run, numbered where two began in one minute."""
    seen: Counter[str] = Counter()
    labels = []
    for night in nights:
        seen[night.label] += 1
        labels.append(night.label + (f" ({seen[night.label]})" if seen[night.label] > 1 else ""))
    return labels


def _changes(alerts: list[Alert]) -> list[Block]:
    """The confirmed changes of this host, the newest first, numbered from the oldest on."""
    rows: list[list[Cell | Text]] = [
        [str(number), format.clean(alert.near[:16].replace("T", " "), 20), format.clean(alert.text, 300), alert.state]
        for number, alert in reversed(list(enumerate(alerts, 1)))
    ]
    return [table("Confirmed changes of this host", ["change", "near", "what", "state"], rows, left=4)] if rows else []


def _alerts(context: Context) -> list[Alert]:
    """The changes that were confirmed in this host's runs up to this one, the oldest first."""
    if context.history is None:
        return []
    found = history.read(context.history)
    session = context.session
    ours = machine(session.host_id, session.fingerprint)
    nights = [n for n in found.nights if n.machine == ours and n.started <= session.started]
    return evaluate(found._replace(nights=nights)).alerts


def _figure(
    context: Context, need: Need, chosen: tuple[str, str], nights: list[Night], alerts: list[Alert]
) -> Figure | None:
    series, choices = [], []
    rows: list[list[Cell | Text]] = []
    for name in representatives(context):
        found = [(night.day, _estimate(night, chosen, name)) for night in nights]
        points = [(day, row) for day, row in found if row is not None and row.ratio == row.ratio]
        values = [
            (format.cost(row) if name == context.baseline else format.against(row)) if row else "" for _, row in found
        ]
        rows.append([format.clean(name, 60), *(value or format.MISSING for value in values)])
        if len(points) < FEWEST or name == context.baseline:
            continue
        ratios = [row.ratio for _, row in points]
        lows, highs = [row.ratio_low for _, row in points], [row.ratio_high for _, row in points]
        series.append(charts.Series(name, [day for day, _ in points], ratios, style_of(context, name), lows, highs))
        if rules.is_choice(context, name):
            choices.append(name)
    if not series:
        return None
    caption = f"{'.'.join(chosen)} by run: the baseline absolute, the others against that run's baseline [95 %]"
    data = table(caption, ["environment", *_labels(nights)], rows)
    cost = f"{'.'.join(chosen)}/"
    moved = [alert for alert in alerts if any(alert.what == [cost + name] for name in choices)]
    title = f"{need.title} in {len(nights)} runs, all {rules.ASIDE}"
    if choices:
        title = _title(need.title, moved, series)
    marks = _marks(alerts, lambda alert: any(what.startswith(cost) for what in alert.what), nights)
    note = (
        "Ratio to each run's own baseline with its 95 % interval (cut off at the frame); log axis. "
        f"n = {len(nights)} runs.{_told(marks)}"
    )
    return Figure(title, charts.history(series, marks, "ratio"), alt_of(title, data), note, data)


def _estimate(night: Night, chosen: tuple[str, str], name: str) -> Estimate | None:
    return next((e for e in night.estimates if (e.scenario, e.metric, e.environment) == (*chosen, name)), None)


SECTION = Section(90, "trend", "Trend", build)
