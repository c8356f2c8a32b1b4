"""The results of a comparison in words, the same on a terminal, in a pull request and in a report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isobench.estimation.between import BETWEEN_RUNS, FEWEST_EARLIER
from isobench.estimation.paired import FEWEST_PAIRS
from isobench.layout import format

if TYPE_CHECKING:
    from isobench.analysis.compare import Change, Comparison, HostMove

_FEW = 10
"""The number of earlier runs from which on the promises about them are kept."""
DEARER = ("slower", "more")
"""Verdicts that say that B costs more."""


def groups(found: Comparison) -> list[tuple[str, list[Change]]]:
    """What changed, environments and host separately, the largest first."""
    changed = found.changed()
    groups = [
        ("costs more, against the run's own baseline", [one for one in changed if one.verdict in DEARER]),
        ("costs less, against the run's own baseline", [one for one in changed if one.verdict not in DEARER]),
        ("the host: the baseline's own costs", found.changed("host")),
    ]
    return [(title, changes) for title, changes in groups if changes]


def sentences(found: Comparison) -> list[str]:
    """The totals, the host, what is gone and new, and the variation between runs."""
    asked = [one for one in found.changes if one.of == "environment"]
    count = {word: sum(one.verdict == word for one in asked) for word in ("equivalent", "inconclusive")}
    lines = [
        f"{len(found.changed())} of {len(asked)} costs of environments changed, {count['equivalent']} are equivalent "
        f"({format.band(found.band)}), {count['inconclusive']} inconclusive"
    ]
    without = [one.benchmark for one in asked if one.ratio is None]
    if without:
        why = f"fewer than {FEWEST_PAIRS} undisturbed blocks, or a value of zero or less"
        lines.append(f"{len(without)} of them cannot be compared, because of {why}: {_first(without)}")
    if found.host is not None:
        lines.append(_host(found.host, found.band))
    both = [name for name in found.only_in_a if name in found.only_in_b]
    gone, new = ([name for name in names if name not in both] for names in (found.only_in_a, found.only_in_b))
    for word, names in (("gone", gone), ("new", new), ("in another unit, so not compared", both)):
        if names:
            lines.append(f"{word}: {_first(names)}")
    return [*lines, *_noise(found)]


def _first(names: list[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _host(host: HostMove, band: float) -> str:
    """Whether the speed of the host changed: a claim only if the whole interval supports it."""
    edge = 1 + band
    what = "it is uncertain whether the host changed"
    if host.moved:
        what = "the host changed"
    elif 1 / edge <= host.low and host.high <= edge:
        what = "the host did not change"
    return (
        f"{what}: the baseline's times in B are {format.ratio_interval(host.ratio, host.low, host.high, band)} "
        f"of those in A (median of {format.count(host.metrics, 'metric')})"
    )


def _noise(found: Comparison) -> list[str]:
    """The variation between runs, how it is known, and how to detect smaller changes."""
    noise, assumed = found.noise, format.percent(BETWEEN_RUNS)
    if noise.source == "floor":
        return [f"the variation between runs is assumed to be {assumed}, because this host has fewer than "
                f"{FEWEST_EARLIER} earlier runs like these; several runs on each side (A1,A2 B1,B2) detect smaller "
                "changes"]  # fmt: skip
    varies = f"a typical cost varies by {format.percent(noise.deviation)} between runs, estimated from"
    if noise.source == "runs compared":
        return [f"{varies} the {noise.runs} runs compared"]
    few = f" and, as they are few, the usual {assumed}" if noise.runs < _FEW else ""
    return [f"{varies} {format.count(noise.runs, 'earlier run')} of this host{few}"]
