"""The closing summary of a run: a table of the main metrics, and one sentence that answers the question."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from isobench.core import display
from isobench.layout import format
from isobench.report import rules
from isobench.run.progress import SHOWN, shown_metrics

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import RenderableType

    from isobench.analysis.results import Estimate, Results
    from isobench.results.record import Session

_MEANT = {
    "startup.ready": "a start",
    "startup.gone": "teardown",
    "memory.pss": "memory",
    "syscall.getppid": "a trivial system call",
    "syscall.open-close": "opening a file",
    "io.randread-4k": "a random read of 4 KiB",
}
"""The metrics of `SHOWN` in sentences."""
_NAMED = 8
"""The most environments that a sentence names one by one."""


_COLUMNS = (
    display.Column("metric"),
    display.Column("environment"),
    display.Column("median", "right"),
    display.Column("ratio [95 %]", "right", wraps=True),
    display.Column("verdict"),
)


def last_words(results: Results) -> list[RenderableType]:
    """The end of a run's output: a table of the main metrics, absolute and relative to the baseline, and one sentence
    that answers the question."""
    session = results.session
    measured = [block for block in session.blocks if block.index > 0]
    if measured and all(block.marks for block in measured):
        return [
            f"no verdict: each of the {len(measured)} blocks was disturbed and is excluded; measure on a quiet host"
        ]
    used = session.blocks_used
    left_out = f" of {len(measured)}" if used < len(measured) else ""
    order = {e.name: index for index, e in enumerate(session.environments)}
    shown = [f"{scenario}.{metric}" for scenario, metrics in shown_metrics(session).items() for metric in metrics]
    lines = []
    for wanted in sorted(shown, key=lambda name: SHOWN.index(name) if name in SHOWN else len(SHOWN)):
        rows = [row for row in results.estimates if row.name == wanted and not row.control]
        for row in sorted(rows, key=lambda row: order.get(row.environment, 99)):
            is_baseline = row.environment == session.baseline
            ratio = "" if is_baseline else format.against(row)
            verdict = "baseline" if is_baseline else format.verdict(row.verdict, row.unit)
            lines.append((wanted, row.environment, format.cost(row), ratio, verdict))
    table = display.Listing(_COLUMNS, lines, f"against {session.baseline}, {used}{left_out} blocks")
    answer = closing(results.estimates, session)
    return [table, *(["", answer] if answer else [])]


def closing(estimates: Sequence[Estimate], session: Session) -> str:
    """One sentence that answers the question: what one environment costs over the baseline, or which of several costs
    the most. Empty if there is nothing to compare."""
    shown = shown_metrics(session)
    rows = [
        row
        for row in estimates
        if not row.control and row.metric in shown.get(row.scenario, ()) and math.isfinite(row.ratio)
    ]
    place = {e.name: index for index, e in enumerate(session.environments)}
    names = [f"{scenario}.{metric}" for scenario, metrics in shown.items() for metric in metrics]
    order = {name: index for index, name in enumerate([*SHOWN, *(name for name in names if name not in SHOWN)])}
    rows.sort(key=lambda row: (order[row.name], place[row.environment]))
    others = list(dict.fromkeys(row.environment for row in rows if row.environment != session.baseline))
    if not others:
        return ""
    base = {row.name: format.cost(row) for row in rows if row.environment == session.baseline}
    if len(others) == 1:
        costs = "; ".join(_cost(row, base) for row in rows if row.environment == others[0])
        return f"{others[0]} over {session.baseline}: {costs}"
    first = [row for row in rows if row.name == rows[0].name and row.environment != session.baseline]
    meant = _MEANT.get(first[0].name, "")
    what = f"{meant[:1].upper()}{meant[1:]}" or first[0].name  # a metric's name as it is
    what = f"{what} over {session.baseline} ({base.get(first[0].name, 'unknown')})"
    return f"{what}: {_least_and_most(first) if len(first) > _NAMED else _each(first)}"


def _cost(row: Estimate, base: Mapping[str, str]) -> str:
    """ "a start 388× (161 ms for 418 µs)"."""
    instead = f" for {base[row.name]}" if row.name in base else ""
    return f"{_MEANT.get(row.name, row.name)} {rules.said(row)} ({format.cost(row)}{instead})"


def _each(rows: Sequence[Estimate]) -> str:
    """ "chroot no certain difference, docker 388×"."""
    return ", ".join(f"{row.environment} {rules.said(row)}" for row in rows)


def _least_and_most(rows: Sequence[Estimate]) -> str:
    """The environments that may be named as the most expensive, and how many certainly cost more than the baseline."""
    most = rules.dearest(rows)
    if all(row.ratio_low != row.ratio_low for row in rows):
        return f"too few blocks to tell {len(rows)} environments from it"
    if not most:
        return f"none of {len(rows)} environments certainly costs more"
    names = " and ".join(f"{row.environment} ({format.ratio(row.ratio)})" for row in most[:2])
    more = f" and {len(most) - 2} more" if len(most) > 2 else ""
    dearer = sum(row.verdict == "slower" for row in rows)
    return f"{dearer} of {len(rows)} environments certainly cost more, the most {names}{more}"
