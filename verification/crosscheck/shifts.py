"""Change points of synthetic series against asv's step detection and ruptures' Pelt: margin of five nights, mean F1.

The kinds resemble published series of change-point tests: quality control charts, level shifts, one short history of a
system under development. Constants were chosen with other seeds, after a look at this one. Every detector gets the same
whole series; the penalty of Pelt is the usual one (3 log n times the variance of differences).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

import numpy as np
import ruptures
from asv.step_detect import detect_steps

from isobench.nights.review import borne_out, dated
from isobench.nights.steps import steps

SERIES, SEED, MARGIN = 60, 15, 5
Made = tuple[np.ndarray, list[int]]


def quality_control(random: np.random.Generator) -> Made:
    """325 values whose level shifts once or not, by two to four standard deviations; one in four has outliers."""
    values = random.normal(0, 1, 325)
    if random.random() < 0.25:
        values[random.integers(325, size=4)] += random.choice([-7, 7], 4)
    places = [int(random.integers(60, 265))] if random.random() < 0.8 else []
    for place in places:
        values[place:] += random.choice([-1, 1]) * random.uniform(2, 4)
    return 0.02 * values, places


def level_shifts(random: np.random.Generator) -> Made:
    """Two to six levels of 25 to 80 nights, four to nine standard deviations apart, in normal or skewed noise."""
    lengths = random.integers(25, 80, int(random.integers(2, 7)))
    levels = np.cumsum(random.choice([-1, 1], len(lengths)) * random.uniform(4, 9, len(lengths)))
    total = int(lengths.sum())
    rough = random.normal(0, 1, total) if random.random() < 0.5 else random.exponential(1, total) - 1
    return 0.02 * (np.repeat(levels, lengths) + rough), np.cumsum(lengths)[:-1].tolist()


def short(random: np.random.Generator) -> Made:
    """61 nights with two or three levels of at least eight, three to twelve standard deviations apart, some spikes."""
    count = int(random.integers(1, 3))
    places = np.sort(random.choice(np.arange(1, 7), count, replace=False)) * 8 + random.integers(0, 5, count)
    values = random.normal(0, 1, 61) + (random.random(61) < 0.03) * random.exponential(8, 61)
    for place in places:
        values[place:] += random.choice([-1, 1]) * random.uniform(3, 12)
    return 0.02 * values, places.tolist()


CLASSES = {"quality control": quality_control, "level shifts": level_shifts, "61 nights": short}


def ours(row: np.ndarray) -> list[int]:
    """The steps reported by a trend that is queried on the last night."""
    levels = steps([row])[0]
    stand = borne_out(row, levels)
    return [level.at for level, stands in zip(dated(row, levels, stand), stand, strict=True) if stands]


def asv(row: np.ndarray) -> list[int]:
    return [int(one[0]) for one in detect_steps(row.tolist())[1:]]


def pelt(row: np.ndarray) -> list[int]:
    variance = float(np.var(np.diff(row))) / 2
    found = ruptures.Pelt(model="l2", min_size=3, jump=1).fit(row).predict(pen=3 * math.log(len(row)) * variance)
    return [int(place) for place in found[:-1]]


DETECTORS: dict[str, Callable[[np.ndarray], list[int]]] = {"isobench": ours, "asv": asv, "Pelt": pelt}


def f1(found: Sequence[int], true: Sequence[int]) -> float:
    """As the change-point benchmark of van den Burg and Williams counts: the start is a change that all know."""
    left = [0, *found]
    hits = 0
    for place in [0, *true]:
        near = [one for one in left if abs(one - place) <= MARGIN]
        if near:
            left.remove(min(near, key=lambda one: abs(one - place)))
            hits += 1
    return 2 * hits / (len(found) + len(true) + 2)


def is_behind(ours: Sequence[float], theirs: Sequence[float]) -> bool:
    """Whether the mean of the differences, series by series, is less than zero by more than two standard errors."""
    apart = np.array(ours) - np.array(theirs)
    return bool(apart.mean() < -2 * apart.std(ddof=1) / math.sqrt(len(apart)))


def main() -> int:
    """1 if isobench is behind asv in any class by more than the choice of the series explains."""
    behind = False
    for index, (name, make) in enumerate(CLASSES.items()):
        series = [make(np.random.default_rng([SEED, index, number])) for number in range(SERIES)]
        scores, means, seconds = {}, {}, {}
        for who, detect in DETECTORS.items():
            began = time.process_time()
            scores[who] = [f1(detect(row), true) for row, true in series]
            means[who] = float(np.mean(scores[who]))
            seconds[who] = time.process_time() - began
        behind |= is_behind(scores["isobench"], scores["asv"])
        print(
            f"{name:16}", "  ".join(f"{who} {means[who]:.3f} ({1e3 * seconds[who] / SERIES:.0f} ms)" for who in means)
        )
    return int(behind)


if __name__ == "__main__":
    raise SystemExit(main())
