"""Steps in series of nights: when one is certain, near which night it was, and when it went back.

A walk over the nights, once: what is certain on a night is told on that night, and no later night takes it back or
moves it. The last few nights (three to thirty) are held against those before, back to the last step, in three ways
that all kinds of noise in verification/validity/noise.py have to get past together:

- Mann-Whitney's test, exact (`ranks`): spikes, ticks and heavy tails count no more than their ranks.
- A t-test of clipped values and a bound on the tail of their sum under the nights before as they were, of which two
  more, one clipped night each way, are made up (Chernoff; Lugannani and Rice 1980): a few nights at a second level that
  was there before are no step, while a step far outside everything needs less than ranks alone could ever give.
- Likelihood of a step to that of noise that has grown.

All are deflated by what neighbouring nights have in common (`wander`), and ask for a chance that the whole family of
series shares, so that three hundred are no noisier than one.
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
"""Nominal chance of a false step a night in the whole family; what simulation gives is a third of it or less (G21)."""
ALONE = 0.006
"""Nominal chance of a false step a night in one series, however few are watched, while its history is short."""
_SHORT, _LEAST = 100, 0.0005
"""Nights of a short history. In a longer one that chance falls with their fourth power, to this at least: a series that
is watched for a year shall not gather a false step each season."""
RETURN = 0.005
"""Chance asked of a return to the level before: only a series that has just stepped can have one."""
SMALLEST = math.log(1.01)
"""Steps below 1 % are not told, however certain: nobody would act on them."""
_CLIPS = (3.5, 6.0)
"""Standard deviations at which values are clipped: the first for steps about as large as the noise, the second for
those far outside it."""
_WILD = 2.5
"""Standard deviations from their median at which new nights are clipped."""
_MADE_UP = 0.22
"""Weight of the night that is made up at each clip."""
_LAMBDAS = np.array([0.1, 0.2, 0.35, 0.5, 0.7, 0.9, 1.2, 1.6, 2.0, 2.6, 3.4, 4.5, 6.0])
_FIRST_LOOK = 0.7
"""Share of the largest deviate that ranks can give from which on a place is looked at closely."""
_LIKELIER, _MUCH_LIKELIER = 0.95, 1.76
"""Logarithm of the likelihood of a step to that of grown noise, times the deviate asked for: where the family's noise
is steady, and where it is not."""
_LONG, _PATIENCE = 8, 0.5
"""In a family, this much more is asked of so many new nights and more: what so many of them tell is small, and can
wait, while each further length is one more chance to be wrong in every series."""
_HINDSIGHT, _HINDSIGHT_DOUBT = 14, 0.3
"""A step that was not certain at once looks like a level that wanders, more and more so. In a series that has no family
to tell the two apart, so many new nights are held against the noise around both levels as well; this much more is asked
of them."""
_DOUBT = 1.4
"""This much more is asked while the family's noise grows."""
_GROWN = ((5, 2.2, 0.68), (10, 1.6, 0.80))
"""The last so many nights before but the wildest of them, that many times as noisy as all before, are the noise that a
step is held against: one wild night is no noise that has grown. The third is what leaving it out makes of the standard
deviation of normal nights."""
_OWN_NIGHTS = 10
"""How many nights the noise before weighs against that of the new nights."""
_FEW = 2.0
"""From n nights a deviate is worth 1 / (1 + this / n)."""
_SOON = 40
"""A return within so many nights is looked for below the first look, too; a later one is a step like any other."""
_CHUNK = 32
"""Series that are scanned at once: what that takes fits the cache."""


class Level(NamedTuple):
    """A confirmed change within one series: the index of its first night, and the levels (logarithms) around it."""

    at: int
    before: float
    after: float
    confirmed: int
    """Index of the night that confirmed it."""
    back: bool
    """Whether the level before the last step is there again."""


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
    """Of a family's chance for each of its series. From one series to three hundred a family's own grows with them: few
    can be asked for more than many, and are told as soon."""
    return min(ALONE * math.pow(series, -0.81), chance / series)


@cache
def _asked_alone(night: int) -> float:
    """The deviate that is asked of a series on this night, however few are watched."""
    return NORMAL.inv_cdf(1 - max(ALONE * min(1.0, (_SHORT / night) ** 4), _LEAST) / 2)


def _alike(order: list[int], rows: Sequence[np.ndarray]) -> Iterable[list[int]]:
    """Series of one length, some at a time."""
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
    """What neighbouring nights have in common, by the nights around each level so far: around one since the last step,
    or around two, if that which is asked about began on night `step`."""
    end = max(begin, night - AFTER[0])
    parts = [row[begin:end]] if step is None else [row[begin:step], row[step : max(end, step)]]
    around = [part - np.median(part) for part in parts if len(part)]
    residuals = np.concatenate([*settled, *around])[-180:] if settled or around else np.zeros(0)
    return wander.inflation(residuals, known, night)


def _returned(before: float, after: float, former: float) -> bool:
    return abs(after - former) < abs(before - former) / 3


class _Past(NamedTuple):
    """The nights before a place, back to the last step: level, distances from it, their width, their noise lately."""

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
    """What a few nights of one series are asked: is one of them the first that makes a step certain?"""

    row: np.ndarray
    begin: int
    asked: float
    look: np.ndarray
    former: float | None
    asked_back: float
    unsteady: np.ndarray
    many: bool
    pasts: dict[int, _Past]
    """Of places since the last step that were looked at already."""

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
            inflated = inflation(None)  # known only now: most series never come so far
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
        """The most likely first night of a step, as far as is known when it is found."""
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
        """How certain another level of the last `count` nights is, as if neighbours had nothing in common; what is
        less than `needed` may be larger in truth, but not as large as that."""
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
        if np.partition(gone, -AFTER[0])[-AFTER[0]] < float(np.max(gone)) / 2:  # one or two nights are no level
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
    """Standard deviation of the nights before, wild ones clipped."""
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
    """The noise, or what it and the new nights' own say together where theirs is larger."""
    count = len(residuals)
    own = float(np.mean(np.abs(residuals))) * 1.2533 * math.sqrt(count / (count - 1))
    if own <= noise:
        return noise
    return math.sqrt((_OWN_NIGHTS * noise**2 + (count - 1) * own**2) / (_OWN_NIGHTS + count - 1))


def _likelihood(gone: np.ndarray, residuals: np.ndarray) -> float:
    """Logarithm of the likelihood of a step to that of noise that has grown around the old level."""
    grown = max(float(np.mean(np.clip(gone, -6, 6) ** 2)), 1.0)
    return len(gone) / 2 * (math.log(grown) + 1) - float(np.sum(np.clip(residuals, -6, 6) ** 2)) / 2


def _by_size(rest: np.ndarray, gone: np.ndarray, size: float, widened: float, clip: float, needed: float) -> float:
    """The least of three deviates, all in standard deviations clipped at `clip`: Student's t; nights before that were
    as far out as the new ones, as often as there are new nights; and the tail of a sum of nights like those before."""
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
    """The largest deviate that so many nights before and after can give, by ranks or by size."""
    by_size = [[-NORMAL.inv_cdf(max((1 / (1.5 * m + 1)) ** k, 1e-15)) for k in AFTER] for m in BEFORE]
    return np.asarray(np.maximum(largest(), np.array(by_size)))


def _place(row: np.ndarray, near: int, before: float, after: float) -> int:
    """The most likely first night of a step between two levels that is near this one: each night is nearer to its own
    level than to the other, in the sum of distances, which no wild night decides."""
    places = np.arange(max(2, near - 10), min(len(row) - AFTER[0], near + 10) + 1)
    losses = np.cumsum(np.abs(row - before) - np.abs(row - after))
    return int(places[np.argmin(losses[places - 1])])


def beginnings(row: np.ndarray, level: Level, reach: int) -> tuple[int, int]:
    """The first and the last night, so many apart from a step's own at most, on which it could have begun as well: by
    the likelihood of the nights in between, wild ones clipped."""
    noise = max(float(np.median(np.abs(np.diff(row)))) / 0.954, SMALLEST / 10)  # the median of |N(0, 2)|
    places = range(max(1, level.at - reach), min(len(row) - 1, level.at + reach) + 1)
    possible = [at for at in places if _unlikelier(row, level, at, noise) <= _AS_LIKELY]
    return possible[0], possible[-1]


_AS_LIKELY = 3.0
"""Logarithm of a likelihood ratio at which the less likely night is still taken for possible (one in twenty)."""


def _unlikelier(row: np.ndarray, level: Level, at: int, noise: float) -> float:
    """Logarithm of the likelihood of the step on its night to that on another."""
    own, other = (level.before, level.after) if at < level.at else (level.after, level.before)
    between = row[min(at, level.at) : max(at, level.at)]
    near, far = (np.clip((between - one) / noise, -2 * _WILD, 2 * _WILD) for one in (own, other))
    return float(np.sum(far**2 - near**2)) / 2
