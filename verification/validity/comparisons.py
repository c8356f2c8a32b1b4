"""The promises about comparing runs: gates that fire although nothing changed, and changes that are found."""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import math
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from isobench.analysis.compare import compare
from isobench.analysis.results import Results, load
from isobench.commands import run
from isobench.commands.compare import failing
from isobench.core.errors import NothingMeasured
from isobench.estimation.paired import FEWEST_PAIRS
from isobench.results import store
from verification.validity.noise import QUIET, noise
from verification.validity.promise import Line
from verification.validity.runs import quiet, run_of

if TYPE_CHECKING:
    from collections.abc import Sequence


_METRICS, _ENVIRONMENTS, _BLOCKS = 5, 4, 20
RUNS = 21
"""Real runs, one after the other: twenty pairs of neighbours."""
_MOST_SECONDS = 840
_EARLIER, _MORE_EARLIER = 12, 20
_SEVERAL = ((3, 3), (3, 4), (3, 5), (4, 4), (5, 5))
"""Runs on each side."""
_FEW_EARLIER = (3, 4, 5, 6, 7, 8, 9)


def g17(trials: int = 200, seed: int = 17) -> Line:
    """A/A of whole runs: how often gates fire, by kind of noise; also if a restart moves every cost by 4 %, and on a
    host that is 10 % slower in the second run."""
    random = np.random.default_rng(seed)
    found = {kind: _told(random, trials, kind=kind) for kind in QUIET}
    found["moved by 4 % a restart"] = _told(random, trials, restart=0.04)
    moved = max(host for _, host in found.values())
    found["a host 10 % slower"] = _told(random, trials, host=math.log(1.1))
    found["a host that wanders by 1 % a block"] = _told(random, trials, wander=0.01)
    worst = max(found, key=lambda kind: found[kind][0])
    return Line("G17", "two runs in which nothing changed: ≤ 5 % of gates (--fail-on change) fire, for every kind of "
                "noise, restarts that move costs by 4 %, hosts that shift or drift; ≤ 5 % say that the host changed, "
                "unless it did",
                f"at most {found[worst][0]:.1%} of {trials} ({worst}); {moved:.1%} say that the host changed",
                found[worst][0] <= 0.05 and moved <= 0.05)  # fmt: skip


def _told(random: np.random.Generator, trials: int, **how: float | str) -> tuple[float, float]:
    """The shares of comparisons that fire the gate, and that say that the host changed."""
    fired = moved = 0
    for trial in range(trials):
        a = made(random, 2 * trial, **{**how, "host": 0.0})  # type: ignore[arg-type]
        b = made(random, 2 * trial + 1, **how)  # type: ignore[arg-type]
        found = compare(a, b)
        fired += bool(failing(found, "change"))
        moved += found.host is not None and found.host.moved
    return fired / trials, moved / trials


def made(
    random: np.random.Generator,
    number: int,
    *,
    kind: str = "normal",
    restart: float = 0.0,
    host: float = 0.0,
    wander: float = 0.0,
    dearer: float = 0.0,
    scale: float = 0.03,
) -> Results:
    """A run of twenty costs: noise of a kind, each cost moved as a whole by `restart` (a standard deviation), all by
    `host`, all together by a walk of `wander` a block; the first environment by `dearer` in the first metric."""
    walk = np.cumsum(random.normal(0, wander, _BLOCKS)) + host if wander else np.full(_BLOCKS, host)
    costs = {}
    for metric in range(_METRICS):
        for name, logs in quiet(random, _ENVIRONMENTS, _BLOCKS, scale, kind).items():
            moved = 0.0 if "@" in name or name == "process" else random.normal(0, restart) if restart else 0.0
            planted = dearer if (metric, name) == (0, "e0") else 0.0
            costs["s", f"m{metric}", name] = logs + walk + moved + planted
    return Results(run_of(costs, number))


def g24(trials: int = 100, seed: int = 24) -> Line:
    """One run on each side, and earlier ones of the host: how often gates fire if each cost of each run moves as a
    whole, by every kind of noise; and how much more the earlier runs detect than the assumed floor does."""
    random = np.random.default_rng(seed)
    shares = {}
    for kind in QUIET:
        fired = 0
        for _ in range(trials):
            *earlier, a, b = _runs(random, _EARLIER + 2, kind, 0.02)
            fired += bool(failing(compare(a, b, earlier=[one.run for one in earlier]), "change"))
        shares[kind] = fired / trials
    worst = max(shares, key=lambda kind: shares[kind])
    told, same = [0, 0], [0, 0]
    for _ in range(trials // 2):
        *earlier, a, b = _runs(random, _MORE_EARLIER + 2, "normal", 0.005, dearer=math.log(1.15))
        for index, found in enumerate((compare(a, b), compare(a, b, earlier=[one.run for one in earlier]))):
            told[index] += "s.m0/e0" in [change.benchmark for change in found.changed()]
            same[index] += sum(one.verdict == "equivalent" for one in found.changes if one.of == "environment")
    found_in = [count / (trials // 2) for count in told]
    equal = [count / (trials // 2) / (_METRICS * _ENVIRONMENTS - 1) for count in same]
    return Line("G24", f"one run on each side, {_EARLIER} earlier ones, each cost of each run moved by 2 %, every kind "
                f"of noise: ≤ 5 % of gates fire; {_MORE_EARLIER} earlier ones, moved by 0.5 %: +15 % in one of 20 "
                "costs is found in ≥ 90 %, of the others ≥ 70 % are equivalent",
                f"at most {shares[worst]:.1%} of {trials} ({worst}); {found_in[1]:.1%}, {equal[1]:.1%} of {trials // 2}"
                f" (with the floor {found_in[0]:.1%}, {equal[0]:.1%})",
                shares[worst] <= 0.05 and found_in[1] >= 0.90 and equal[1] >= 0.70)  # fmt: skip


def g25(trials: int = 140, seed: int = 25) -> Line:
    """The same with three to nine earlier runs in turn, and without any: how often gates fire, and what is found if
    runs move by normal noise."""
    random = np.random.default_rng(seed)
    shares, alone = dict[str, float](), dict[str, float]()
    for kind in QUIET:
        fired = [0, 0]
        for trial in range(trials):
            *earlier, a, b = _runs(random, _FEW_EARLIER[trial % len(_FEW_EARLIER)] + 2, kind, 0.02)
            for index, runs in enumerate((earlier, [])):
                fired[index] += bool(failing(compare(a, b, earlier=[one.run for one in runs]), "change"))
        shares[kind], alone[kind] = (count / trials for count in fired)
    worst, worst_alone = (max(each, key=lambda kind: each[kind]) for each in (shares, alone))
    found_in = {}
    for more in (0.4, 1.0):
        found = 0
        for trial in range(trials):
            count = _FEW_EARLIER[trial % len(_FEW_EARLIER)] + 2
            *earlier, a, b = _runs(random, count, "normal", 0.02, dearer=math.log1p(more))
            changes = compare(a, b, earlier=[one.run for one in earlier]).changed()
            found += "s.m0/e0" in [change.benchmark for change in changes]
        found_in[more] = found / trials
    return Line("G25", "one run on each side, three to nine earlier ones, each cost of each run moved by 2 %, every "
                "kind of noise: ≤ 5 % of gates fire; +100 % in one of 20 costs is found in ≥ 90 %",
                f"at most {shares[worst]:.1%} of {trials} ({worst}; with the floor alone {alone[worst_alone]:.1%}, "
                f"{worst_alone}); {found_in[1.0]:.1%} (+40 %: {found_in[0.4]:.1%})",
                shares[worst] <= 0.05 and found_in[1.0] >= 0.90)  # fmt: skip


def g26(trials: int = 120, seed: int = 26) -> Line:
    """Several runs on each side, in turn, and no earlier ones: how often gates fire. The smallest cases are reported
    separately: two runs on a side may deviate together, and a single one cannot be checked at all."""
    random = np.random.default_rng(seed)
    shares, few = dict[str, float](), dict.fromkeys(((2, 2), (1, 3)), 0.0)
    for kind in QUIET:
        shares[kind] = _fired(random, trials, kind, _SEVERAL)
        for sides in few:
            few[sides] = max(few[sides], _fired(random, trials // 2, kind, (sides,)))
    worst = max(shares, key=lambda kind: shares[kind])
    return Line("G26", "three to five runs on each side, no earlier ones, each cost of each run moved by 2 %, every "
                "kind of noise: ≤ 5 % of gates fire",
                f"at most {shares[worst]:.1%} of {trials} ({worst}; two against two {few[2, 2]:.1%}, one against three "
                f"{few[1, 3]:.1%})",
                shares[worst] <= 0.05)  # fmt: skip


def _fired(random: np.random.Generator, trials: int, kind: str, sides: Sequence[tuple[int, int]]) -> float:
    """The share of gates that fire although nothing changed, with these numbers of runs on each side in turn."""
    fired = 0
    for trial in range(trials):
        before, after = sides[trial % len(sides)]
        runs = _runs(random, before + after, kind, 0.02)
        fired += bool(failing(compare(runs[:before], runs[before:]), "change"))
    return fired / trials


def _runs(random: np.random.Generator, runs: int, kind: str, scale: float, dearer: float = 0.0) -> list[Results]:
    """Consecutive runs in which each cost as a whole moves by noise of this kind; `dearer` is added to the last run's
    first cost."""
    moves = np.array([noise(kind, runs, scale, random) for _ in range(_METRICS * _ENVIRONMENTS)])
    moves[0, -1] += dearer
    found = []
    for number in range(runs):
        costs = {}
        for metric in range(_METRICS):
            for name, logs in quiet(random, _ENVIRONMENTS, _BLOCKS, 0.02).items():
                place = metric * _ENVIRONMENTS + int(name[1:]) if name.startswith("e") else None
                costs["s", f"m{metric}", name] = logs + (0.0 if place is None else moves[place, number])
        found.append(Results(run_of(costs, number)))
    return found


def g18(trials: int = 200, seed: int = 18) -> Line:
    """Real changes: 40 % in one environment from one run on each side, 10 % from four, and a slower host."""
    random = np.random.default_rng(seed)
    one = four = host = 0
    for _ in range(trials):
        found = compare(made(random, 1, scale=0.02, restart=0.02), made(random, 2, scale=0.02, restart=0.02,
                                                                         dearer=math.log(1.4)))  # fmt: skip
        one += [change.benchmark for change in found.changed()] == ["s.m0/e0"]
        sides = [[made(random, 10 * side + n, scale=0.02, restart=0.005, dearer=side * math.log(1.1)) for n in range(4)]
                 for side in (0, 1)]  # fmt: skip
        four += "s.m0/e0" in [change.benchmark for change in compare(*sides).changed()]
        slower = compare(made(random, 1), made(random, 2, host=math.log(1.1)))
        host += bool(slower.host and slower.host.moved and not slower.changed())
    shares = [count / trials for count in (one, four, host)]
    return Line("G18", "+40 % in one of 20 costs is found from one run on each side, +10 % from four, in ≥ 90 %; a "
                "host 10 % slower is reported as a change of the host, in ≥ 95 %",
                f"{shares[0]:.1%}, {shares[1]:.1%}, {shares[2]:.1%} of {trials}",
                min(shares[:2]) >= 0.90 and shares[2] >= 0.95)  # fmt: skip


def g20(runs: int = RUNS, blocks: int = 8) -> Line:
    """Real runs back to back, without a change between them: how often gates fire between neighbours, and by how much a
    cost's ratio to its baseline varies from run to run, which is what the assumed floor represents."""
    with TemporaryDirectory() as folder:
        began = time.monotonic()
        for _ in range(runs):
            if time.monotonic() - began < _MOST_SECONDS:
                _measure(["-e", "process,chroot,ns-all", "-s", "startup,syscall", "--blocks", str(blocks),
                          "--out", folder, "--quiet"])  # fmt: skip
        taken = [one for one in map(load, store.find_runs(Path(folder))) if one.session.blocks_used >= FEWEST_PAIRS]
    found = [compare(a, b) for a, b in itertools.pairwise(taken)]
    promised = f"{runs} real runs back to back: ≤ 5 % of gates fire between neighbours"
    if not found:
        return Line("G20", promised, "nothing: the host was busy in every run", False)
    fired = sum(bool(failing(one, "change")) for one in found)
    shifts: dict[str, list[float]] = {}
    for one in found:
        for change in one.changes:
            if change.ratio and change.of == "environment":
                shifts.setdefault(change.benchmark, []).append(math.log(change.ratio))
    spread = sorted(float(np.std(values)) / math.sqrt(2) for values in shifts.values())
    said = f"{fired} of {len(found)}; a run moves a ratio by {np.median(spread):.1%} (most: {spread[-1]:.1%})"
    return Line("G20", promised, said, fired <= 0.05 * len(found))  # fmt: skip


def _measure(words: list[str]) -> None:
    """Measure as `isobench run` does, and discard what it prints."""
    parser = argparse.ArgumentParser()
    run.configure(parser)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(NothingMeasured):  # a busy host: one run less
        run.run(parser.parse_args(words))


ALL = (g17, g18, g24, g25, g26)
LIVE = (g20,)
