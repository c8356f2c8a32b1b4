"""Steps in series of nights: when a step is certain, near which night it began, and when it was reversed.

One walk over the nights: a step that is certain on a night is reported on that night, and no later night withdraws or
moves it here. The last few nights (three to thirty) are compared with those before, back to the last step. All three
tests have to agree, so that no kind of noise in verification/validity/noise.py passes:

- Mann-Whitney's test, exact (`ranks`): spikes, ticks and heavy tails count no more than their ranks.
- A t-test of clipped values, and a tail bound of their sum under the empirical distribution of the nights before, with
  two artificial nights added at the clips (Chernoff; Lugannani and Rice 1980). So a few nights at a second level that
  also occurred before are not a step, while a step far outside everything needs fewer nights than ranks alone would.
- The likelihood of a step relative to that of increased noise.

All are corrected for the autocorrelation of nights (`wander`), and share one error probability among the whole family
of series, so that three hundred series give no more false alarms than one.
"""

from __future__ import annotations

import math
from functools import cache, partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from isobench.nights import wander
from isobench.nights.ranks import AFTER, BEFORE, NORMAL, largest, scan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

CHANCE = 0.025
"""Nominal probability of a false step per night in the whole family; in simulation it is a third of that or less
(G21)."""
ALONE = 0.006
"""Nominal probability of a false step per night in one series, however few are watched, while its history is short."""
_SHORT, _LEAST = 100, 0.0005
"""Nights of a short history. In a longer one that probability falls with their fourth power, down to this, so that a
series that is watched for a year does not collect false steps."""
RETURN = 0.005
"""Probability for a return to the level before: only a series that has just stepped can have one."""
SMALLEST = math.log(1.01)
"""Steps below 1 % are not reported, however certain: nobody would act on them."""
_CLIPS = (3.5, 6.0)
"""Standard deviations at which values are clipped: the first for steps about as large as the noise, the second for
those far outside it."""
_WILD = 2.5
"""Standard deviations from their median at which new nights are clipped."""
_MADE_UP = 0.22
"""Weight of the artificial night at each clip."""
_LAMBDAS = np.array([0.1, 0.2, 0.35, 0.5, 0.7, 0.9, 1.2, 1.6, 2.0, 2.6, 3.4, 4.5, 6.0])
_FIRST_LOOK = 0.7
"""A point is examined closely from this share of the largest deviate that ranks can give."""
_LIKELIER, _MUCH_LIKELIER = 0.95, 1.76
"""Required logarithm of the likelihood ratio of a step to increased noise, per required deviate: if the family's noise
is steady, and if it is not."""
_LONG, _PATIENCE = 8, 0.5
"""In a family, the required deviate is this much higher from so many new nights on: a step that needs so many is small,
and can wait, while each further length is one more chance of an error in every series."""
_HINDSIGHT, _HINDSIGHT_DOUBT = 14, 0.3
"""A step that was not certain at once looks more and more like a level that wanders. In a series without a family to
distinguish the two, from so many new nights on they are also compared with the noise around both levels, with this much
more required."""
_DOUBT = 1.4
"""This much more is required while the family's noise grows."""
_GROWN = ((5, 2.2, 0.68), (10, 1.6, 0.80))
"""If the last so many nights before, without the most extreme one, are so many times as noisy as all before, their
noise is used: a single outlier is not increased noise. The third number is the effect of leaving out that night on the
standard deviation of normal nights."""
_OWN_NIGHTS = 10
"""Weight of the noise before in nights, relative to that of the new nights."""
_FEW = 2.0
"""A deviate from n nights is multiplied by 1 / (1 + this / n)."""
_SOON = 40
"""A return within so many nights is also searched for below that share (`_FIRST_LOOK`); a later one is a step like any
other."""
_CHUNK = 32
"""Series that are scanned at once, so that the data fit into the CPU cache."""


class Level(NamedTuple):
    """A confirmed change within one series: the index of its first night, and the levels (logarithms) around it."""

    at: int
    before: float
    after: float
    confirmed: int
    """Index of the night that confirmed it."""
    back: bool
    """Whether it returns to the level before the last step."""


class _Found(NamedTuple):
    deviate: float
    at: int
    before: float
    after: float
    night: int


def steps(rows: Sequence[np.ndarray], chance: float = CHANCE) -> list[list[Level]]:
    """The confirmed steps of each series of a family, nights in order."""
    known = wander.family(rows)
    found: list[list[Level]] = [[] for _ in rows]
    order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
    for chunk in _alike(order, rows):
        scanned = scan(np.stack([rows[index] for index in chunk]))
        for place, index in enumerate(chunk):
            found[index] = _walk(rows[index], scanned[:, :, place], _share(chance, len(rows)), known)
    return found


def _share(chance: float, series: int) -> float:
    """The share of a family's error probability for each series. From one series to three hundred the family's total
    grows with them: a few series can be held to a stricter total without being reported later."""
    return min(ALONE * math.pow(series, -0.81), chance / series)


@cache
def _asked_alone(night: int) -> float:
    """The deviate that is required of a series on this night, however few are watched."""
    return NORMAL.inv_cdf(1 - max(ALONE * min(1.0, (_SHORT / night) ** 4), _LEAST) / 2)


def _alike(order: list[int], rows: Sequence[np.ndarray]) -> Iterable[list[int]]:
    """Batches of series of the same length."""
    chunk: list[int] = []
    for index in order:
        if chunk and (len(chunk) == _CHUNK or len(rows[index]) != len(rows[chunk[0]])):
            yield chunk
            chunk = []
        chunk.append(index)
    if chunk:
        yield chunk


def _walk(row: np.ndarray, scanned: np.ndarray, chance: float, known: wander.Family) -> list[Level]:
    asked, asked_back = NORMAL.inv_cdf(1 - chance / 2), NORMAL.inv_cdf(1 - RETURN)
    look = np.minimum(_FIRST_LOOK * largest(), asked)
    far = np.abs(scanned) >= look[:, :, None]
    promising, settled_promising = far.any(axis=(0, 1)), far[-1].any(axis=0)
    levels: list[Level] = []
    settled: list[np.ndarray] = []
    begin, first = 0, BEFORE[0] + AFTER[0]
    pasts: dict[int, _Past] = {}
    while first <= len(row):
        last = min(first + wander.STEP, len(row) + 1)
        former = levels[-1].before if levels else None
        hopes = settled_promising if first - begin >= BEFORE[-1] + AFTER[-1] else promising
        if not hopes[first - 1 : last - 1].any() and (former is None or first - begin > _SOON):
            first = last
            continue
        search = _Search(
            row, begin, asked, look, former, asked_back, known.unsteady, known.size >= wander.ENOUGH, pasts
        )
        inflation = partial(_inflation, row, begin, settled, known, first)
        found = search.among(scanned, range(first, last), cache(inflation))
        if found is None:
            first = last
            continue
        at = search.first_night(found)
        back = former is not None and _returned(found.before, found.after, former)
        levels.append(Level(at, found.before, found.after, found.night - 1, back))
        settled.append(row[begin:at] - np.median(row[begin:at]))
        begin, first, pasts = at, found.night + 1, {}
    return levels


def _inflation(
    row: np.ndarray, begin: int, settled: list[np.ndarray], known: wander.Family, night: int, step: int | None
) -> np.ndarray:
    """The inflation by autocorrelation, estimated from the nights around each level so far: around one level since the
    last step, or around two if a step on night `step` is tested."""
    end = max(begin, night - AFTER[0])
    parts = [row[begin:end]] if step is None else [row[begin:step], row[step : max(end, step)]]
    around = [part - np.median(part) for part in parts if len(part)]
    residuals = np.concatenate([*settled, *around])[-180:] if settled or around else np.zeros(0)
    return wander.inflation(residuals, known, night)


def _returned(before: float, after: float, former: float) -> bool:
    return abs(after - former) < abs(before - former) / 3


class _Past(NamedTuple):
    """The nights before a point, back to the last step: their level, the distances from it, their width, their recent
    noise."""

    level: float
    rest: np.ndarray
    width: float
    noise: float


def _past(nights: np.ndarray) -> _Past:
    level = float(np.median(nights))
    rest = nights - level
    width = _width(rest)
    return _Past(level, rest, width, _noise_lately(rest, width))


class _Search(NamedTuple):
    """The search in one series for the first night that makes a step certain."""

    row: np.ndarray
    begin: int
    asked: float
    look: np.ndarray
    former: float | None
    asked_back: float
    unsteady: np.ndarray
    many: bool
    pasts: dict[int, _Past]
    """The points since the last step that were already examined."""

    def among(self, scanned: np.ndarray, nights: range, inflation: Callable[[int | None], np.ndarray]) -> _Found | None:
        counts = np.array(nights)
        before = np.searchsorted(BEFORE, counts[:, None] - np.array(AFTER) - self.begin, side="right") - 1
        enough, before = before >= 0, np.maximum(before, 0)
        columns = np.arange(len(AFTER))
        deviates = np.where(enough, np.abs(scanned[before, columns, counts[:, None] - 1]), 0)
        soon = self.former is not None and nights[0] - self.begin <= _SOON
        least = self.asked_back if self.former is not None else self.asked
        look = np.minimum(self.look[before, columns], least) if soon else self.look[before, columns]
        best: _Found | None = None
        inflated = None
        for row, column in zip(*np.nonzero(deviates >= look), strict=True):
            night, place = int(counts[row]), before[row, column]
            if best is not None and night > best.night:
                break
            long = AFTER[column] >= _HINDSIGHT and not self.many
            needed = least * (inflated[place, column] if inflated is not None and not long else 1.0)
            if _most()[place, column] < needed:
                continue
            found = self._weighed(night, AFTER[column], float(deviates[row, column]), needed)
            if found is None or found.deviate < least:
                continue
            inflated = inflation(None)  # computed only now: most series never get here
            deviate = found.deviate / inflated[place, column]
            if long:
                deviate = max(
                    deviate, found.deviate / inflation(self.first_night(found))[place, column] - _HINDSIGHT_DOUBT
                )
            found = found._replace(deviate=deviate)
            if self._certain(found) and (best is None or found.deviate > best.deviate):
                best = found
        return best

    def first_night(self, found: _Found) -> int:
        """The most likely first night of a step, as known when it is found."""
        return _place(self.row[self.begin : found.night], found.at - self.begin, found.before, found.after) + self.begin

    def _certain(self, found: _Found) -> bool:
        patient = found.night - found.at >= _LONG and self.many
        more = (_PATIENCE if patient else 0.0) + (_DOUBT if self.unsteady[found.night] else 0.0)
        if found.deviate >= max(self.asked, _asked_alone(found.night)) + more:
            return True
        return (
            self.former is not None
            and found.deviate >= self.asked_back
            and _returned(found.before, found.after, self.former)
        )

    def _weighed(self, night: int, count: int, by_ranks: float, needed: float) -> _Found | None:
        """How certain a new level of the last `count` nights is, without autocorrelation. A result below `needed` is
        only a lower bound, but the true one is below `needed`, too."""
        at = night - count
        if at not in self.pasts:
            self.pasts[at] = _past(self.row[max(self.begin, at - BEFORE[-1]) : at])
        before, rest, width, noise = self.pasts[at]
        new = self.row[at:night]
        after = float(np.median(new))
        size = after - before
        if abs(size) < SMALLEST or (new[-1] - before) / size < 0.5:
            return None
        rest = rest * math.copysign(1.0, size)
        gone = (new - before) * math.copysign(1.0, size)
        if np.partition(gone, -AFTER[0])[-AFTER[0]] < float(np.max(gone)) / 2:  # one or two nights are not a level
            return None
        gone = np.clip(gone, abs(size) - _WILD * width, abs(size) + _WILD * width)
        likelier = _MUCH_LIKELIER if self.unsteady[night] else _LIKELIER
        if _likelihood(gone / noise, (new - after) / noise) < likelier * self.asked:
            return None
        widened = width / _pooled(noise, new - after)
        deviate = max(_by_size(rest / width, gone / width, abs(size) / width, widened, clip, needed) for clip in _CLIPS)
        if count >= 8:
            deviate = max(deviate, by_ranks * min(1.0, widened))
        return _Found(deviate / (1 + _FEW / len(rest)), at, before, after, night)


def _width(rest: np.ndarray) -> float:
    """Standard deviation of the nights before, with outliers clipped."""
    width = 1.4826 * float(np.median(np.abs(rest)))
    clipped = np.clip(rest, -3 * width, 3 * width) if width > 0 else rest
    return max(math.sqrt(float(np.mean(clipped**2)) * len(rest) / max(len(rest) - 1, 1)), SMALLEST / 10)


def _noise_lately(rest: np.ndarray, width: float) -> float:
    noise = width
    for count, times, without in _GROWN:
        if len(rest) >= count:
            usual = np.clip(rest[-count:], -6 * width, 6 * width)
            lately = float(np.std(np.delete(usual, np.argmax(np.abs(usual))), ddof=1)) / without
            noise = max(noise, lately) if lately > times * width else noise
    return noise


def _pooled(noise: float, residuals: np.ndarray) -> float:
    """The noise before, pooled with that of the new nights if theirs is larger."""
    count = len(residuals)
    own = float(np.mean(np.abs(residuals))) * 1.2533 * math.sqrt(count / (count - 1))
    if own <= noise:
        return noise
    return math.sqrt((_OWN_NIGHTS * noise**2 + (count - 1) * own**2) / (_OWN_NIGHTS + count - 1))


def _likelihood(gone: np.ndarray, residuals: np.ndarray) -> float:
    """Logarithm of the likelihood of a step relative to that of increased noise around the old level."""
    grown = max(float(np.mean(np.clip(gone, -6, 6) ** 2)), 1.0)
    return len(gone) / 2 * (math.log(grown) + 1) - float(np.sum(np.clip(residuals, -6, 6) ** 2)) / 2


def _by_size(rest: np.ndarray, gone: np.ndarray, size: float, widened: float, clip: float, needed: float) -> float:
    """The least of three deviates, with values clipped at `clip` standard deviations: Student's t; the chance that
    nights before as extreme as the new ones occur as often; and the tail of a sum of nights like those before."""
    many, count = len(rest), len(gone)
    as_far = (int(np.sum(rest >= 0.75 * size)) + 1) / (many + 1)
    by_chance = as_far**count
    if by_chance >= 0.5:
        return 0.0
    old = np.clip(rest, -clip, clip)
    level = float(old.sum()) / many
    mean = (float(np.clip(gone, -clip, clip).sum()) / count - level) * widened
    if mean <= 0:
        return 0.0
    t, freedom = mean * math.sqrt(many * count / (many + count)), max(many - 1, 1)
    student = (8 * freedom + 1) / (8 * freedom + 3) * math.sqrt(freedom * math.log1p(t * t / freedom))  # Wallace 1959
    if student < needed:
        return student
    made_up = _MADE_UP * (np.exp(_LAMBDAS * clip) + np.exp(-_LAMBDAS * clip))
    growth = (np.exp(_LAMBDAS[:, None] * (old - level)).sum(axis=1) + made_up) / (many + 2 * _MADE_UP)
    rate = float(np.max(_LAMBDAS * mean / math.sqrt(1 + count / many) - np.log(growth)))
    return min(student, -NORMAL.inv_cdf(max(by_chance, 1e-15)), math.sqrt(max(0.0, 2 * count * rate)))


@cache
def _most() -> np.ndarray:
    """The largest possible deviate by ranks or by size, by nights before and after."""
    by_size = [[-NORMAL.inv_cdf(max((1 / (1.5 * m + 1)) ** k, 1e-15)) for k in AFTER] for m in BEFORE]
    return np.asarray(np.maximum(largest(), np.array(by_size)))


def _place(row: np.ndarray, near: int, before: float, after: float) -> int:
    """The most likely first night, near this one, of a step between two levels: the one that minimises the sum of
    distances to the levels, which a single outlier does not decide."""
    places = np.arange(max(2, near - 10), min(len(row) - AFTER[0], near + 10) + 1)
    losses = np.cumsum(np.abs(row - before) - np.abs(row - after))
    return int(places[np.argmin(losses[places - 1])])


def beginnings(row: np.ndarray, level: Level, reach: int) -> tuple[int, int]:
    """The first and the last night, at most `reach` from the step's own, on which it could equally have begun: by the
    likelihood of the nights in between, with outliers clipped."""
    noise = max(float(np.median(np.abs(np.diff(row)))) / 0.954, SMALLEST / 10)  # the median of |N(0, 2)|
    places = range(max(1, level.at - reach), min(len(row) - 1, level.at + reach) + 1)
    possible = [at for at in places if _unlikelier(row, level, at, noise) <= _AS_LIKELY]
    return possible[0], possible[-1]


_AS_LIKELY = 3.0
"""Logarithm of the likelihood ratio up to which a less likely night counts as possible (one in twenty)."""


def _unlikelier(row: np.ndarray, level: Level, at: int, noise: float) -> float:
    """Logarithm of the likelihood of the step on its night relative to that on another."""
    own, other = (level.before, level.after) if at < level.at else (level.after, level.before)
    between = row[min(at, level.at) : max(at, level.at)]
    near, far = (np.clip((between - one) / noise, -2 * _WILD, 2 * _WILD) for one in (own, other))
    return float(np.sum(far**2 - near**2)) / 2
