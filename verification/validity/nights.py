"""The promises about nights, for a whole family of series: the alerts that a reader gets from one host."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from isobench.nights.steps import Level, steps
from verification.validity.noise import QUIET, noise
from verification.validity.promise import Line

if TYPE_CHECKING:
    from collections.abc import Iterable

SERIES, NIGHTS = 300, 134


def false_nights(kind: str, families: int, seed: int, series: int = SERIES, nights: int = NIGHTS) -> float:
    """Of a hundred nights, how many have a new alert (including a reversal) in any of `series` quiet series of this
    kind."""
    false = 0
    for family in range(families):
        random = np.random.default_rng([seed, family])
        rows = [noise(kind, nights, 0.02, random) for _ in range(series)]
        false += len({level.confirmed for levels in steps(rows) for level in levels})
    return 100 * false / families / nights


def g21(families: int = 12, seed: int = 20) -> Line:
    """Families of quiet series, each of one kind of noise."""
    rates = {kind: false_nights(kind, families, seed) for kind in QUIET}
    worst = sorted(rates, key=lambda kind: -rates[kind])[:3]
    above = [kind for kind in QUIET if rates[kind] > 1]
    return Line("G21", f"≤ 1 false night in 100 over {SERIES} quiet series of every noise ({', '.join(QUIET)})",
                f"most: {', '.join(f'{rates[kind]:.2f} ({kind})' for kind in worst)}; {families} families of {NIGHTS} "
                "nights each", not above, f"more with {', '.join(above)}" if above else "")  # fmt: skip


def _delays(families: int, seed: int, stepping: int, before: int, scale: float = 0.02) -> list[int]:
    """Nights until a step of 5 % is reported, in a family in which so many series step on the same night."""
    delays = []
    for family in range(families):
        random = np.random.default_rng([seed, family])
        rows = random.normal(0, scale, (SERIES, before + 30))
        rows[:stepping, before:] += math.log(1.05)
        delays += [_nights_until(levels, before) for levels in steps(list(rows))[:stepping]]
    return delays


def _nights_until(levels: Iterable[Level], step: int) -> int:
    sure = (level.confirmed for level in levels if level.confirmed >= step and level.after > level.before)
    return next(sure, step + 98) + 1 - step


def g22(families: int = 30, seed: int = 21) -> Line:
    """Sixteen of 300 series step; then all of them do, as with a new kernel."""
    few, every = _delays(families, seed, 16, 60), _delays(3, seed, SERIES, 60)
    held = float(np.median(few)) <= 5 and float(np.median(every)) <= 5
    return Line("G22", f"+5 % at 2 % noise is reported within 5 nights (median), with {SERIES} series watched",
                f"{np.median(few):g} (three of four within {np.quantile(few, 0.75):g}) if few series step, "
                f"{np.median(every):g} if all do", held)  # fmt: skip


def g23(trials: int = 60, seed: int = 22) -> Line:
    """Two disturbed nights with twice the cost; and a step that is reversed after twenty nights."""
    reported = 0
    late = []
    for trial in range(trials):
        random = np.random.default_rng([seed, trial])
        disturbed, taken_back = random.normal(0, 0.02, (2, 90))
        disturbed[50:52] += math.log(2)
        reported += any(abs(level.at - 50) <= 5 for level in steps([disturbed])[0])
        taken_back[40:60] += math.log(1.2)
        late += [level.at - 60 for level in steps([taken_back])[0] if level.back]
    near = sum(abs(one) <= 1 for one in late) / trials
    return Line("G23", "two disturbed nights are not a new level (≤ 2 in 100); returns are dated to the night, ±1, in "
                "≥ 95 %",
                f"{100 * reported / trials:.0f} in 100 reported; {near:.0%} of {trials} returns",
                reported <= 0.02 * trials and near >= 0.95)  # fmt: skip


ALL = (g21, g22, g23)
