"""The promises that simulation decides, on the library's own code paths. Every check takes its size and its seed."""

from __future__ import annotations

import math
from statistics import median

import numpy as np
import pandas as pd

from isobench.analysis import frames
from isobench.analysis.stopping import WidthStopper
from isobench.estimation import paired
from isobench.nights.history import History, Night, Point
from isobench.nights.trend import Alert, changes, evaluate
from isobench.planning.plan import Cell, plan
from isobench.results.store import Series
from verification.validity.noise import KINDS, drift, noise
from verification.validity.promise import Line

_BLOCKS = 20


def _pair(
    kind: str, blocks: int, ratio: float, walk: float, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Logarithms of two environments in the same blocks, in random order within each, on a drifting host."""
    path = drift(2 * blocks, walk, random) if walk else np.zeros(2 * blocks)
    first = random.random(blocks) < 0.5
    places = 2 * np.arange(blocks)
    base = np.exp(noise(kind, blocks, 0.03, random) + path[places + ~first])
    other = ratio * np.exp(noise(kind, blocks, 0.03, random) + path[places + first])
    return base, other


def g2(trials: int = 4000, seed: int = 2) -> Line:
    """A/A: how often two equal environments are found to differ, by the interval and by the test."""
    random = np.random.default_rng(seed)
    worst, where = 0.0, ""
    for kind in KINDS:
        for walk in (0.0, 0.01):
            outside = tested = 0
            for _ in range(trials):
                base, other = _pair(kind, _BLOCKS, 1.0, walk, random)
                found = paired.interval(np.log(other / base))
                outside += not found.low <= 0 <= found.high
                tested += paired.p_value(np.log(other / base)) < 0.05
            share = max(outside, tested) / trials
            if share > worst:
                worst, where = share, f"{kind}, {'1 % drift' if walk else 'no drift'}"
    return Line("G2", "A/A errors ≤ 7 % (normal, skewed, spiky; without and with drift)",
                f"at most {worst:.1%} of {trials} ({where})", worst <= 0.07)  # fmt: skip


def g3(trials: int = 4000, seed: int = 3) -> Line:
    """Coverage of a true ratio of 1.5; each value is an instance's own level and a median of noisy iterations."""
    random = np.random.default_rng(seed)
    shares = {}
    for kind in KINDS:
        covered = 0
        for _ in range(trials):
            base, other = _pair(kind, _BLOCKS, 1.5, 0.0, random)
            nested = random.normal(0, 0.02, (2, _BLOCKS, 9))  # iterations within an instance
            base, other = base * np.exp(np.median(nested[0], axis=1)), other * np.exp(np.median(nested[1], axis=1))
            found = paired.interval(np.log(other / base))
            covered += found.low <= math.log(1.5) <= found.high
        shares[kind] = covered / trials
    low, high = min(shares.values()), max(shares.values())
    return Line("G3", "intervals cover the true ratio in 93 to 97 % of trials, nested variance included",
                f"{low:.1%} to {high:.1%} of {trials}", low >= 0.93 and high <= 0.97)  # fmt: skip


def g4(trials: int = 2000, seed: int = 4) -> Line:
    """A/A with the adaptive stopper of `--profile rigorous`, 20 to 100 blocks."""
    random = np.random.default_rng(seed)
    errors = 0
    for _ in range(trials):
        base, other = _pair("normal", 100, 1.0, 0.01, random)
        stopper = WidthStopper("process", 0.02)
        taken = 20
        while taken < 100 and stopper.imprecise(_as_series(base[:taken], other[:taken])):
            taken += 5
        found = paired.interval(np.log(other[:taken] / base[:taken]))
        errors += not found.low <= 0 <= found.high
    return Line(
        "G4", "adaptive stopping: A/A error ≤ 7 %", f"{errors / trials:.1%} of {trials}", errors / trials <= 0.07
    )


def _as_series(base: np.ndarray, other: np.ndarray) -> list[Series]:
    blocks = list(range(1, len(base) + 1))
    pairs = (("process", base), ("other", other))
    return [Series("s", "m", name, "second", blocks, [float(v) for v in values], []) for name, values in pairs]


def g5(trials: int = 200, seed: int = 5) -> Line:
    """Nights from a +5 % step after 60 quiet nights until an alert."""
    random = np.random.default_rng(seed)
    limits = {0.01: 3, 0.03: 7, 0.05: 15}
    delays = {scale: median(_delay(scale, random) for _ in range(trials)) for scale in limits}
    said = ", ".join(f"{delays[scale]:g} at {scale:.0%}" for scale in limits)
    held = all(delays[scale] <= limit for scale, limit in limits.items())
    return Line("G5", "a +5 % step is detected within 3, 7, 15 nights (median) at 1, 3, 5 % noise",
                f"{said} ({trials} histories each)", held)  # fmt: skip


def _delay(scale: float, random: np.random.Generator, before: int = 60, most: int = 60) -> int:
    logs = noise("normal", before + most, scale, random)
    logs[before:] += math.log(1.05)
    found = [level for level in changes(logs) if level.confirmed >= before and level.after > level.before]
    return found[0].confirmed + 1 - before if found else most + 1


def g6(nights: int = 100, trials: int = 200, seed: int = 6) -> Line:
    """Alerts on quiet series, queried every night."""
    random = np.random.default_rng(seed)
    rates = {}
    for kind in ("normal", "log-normal", "AR(1) 0.5", "spiky"):
        alarms = sum(_alarms(noise(kind, nights + 10, 0.03, random)) for _ in range(trials))
        rates[kind] = alarms / trials * 100 / nights
    worst = max(rates, key=lambda kind: rates[kind])
    return Line("G6", "≤ 0.5 false alarms per 100 nights and series (normal, log-normal, AR(1) 0.5, spiky)",
                f"at most {rates[worst]:.2f} ({worst}; {trials} series of {nights} nights each)",
                rates[worst] <= 0.5)  # fmt: skip


def _alarms(logs: np.ndarray) -> int:
    """How many changes were confirmed on any night; a later query withdraws none (tests/unit/nights/test_steps)."""
    return len(changes(logs))


def g7(seed: int = 7) -> Line:
    """A host that gets 10 % slower at night 40 of 70, in all its costs."""
    alerts = evaluate(_history(70, seed, host_step=(40, 1.10))).alerts
    hosts, others = _counted(alerts)
    return Line("G7", "a host 10 % slower overall: one host notice, no environment alert",
                f"{hosts} host notices, {others} environment alerts", (hosts, others) == (1, 0))  # fmt: skip


def _counted(alerts: list[Alert]) -> tuple[int, int]:
    return sum(a.kind != "environment" for a in alerts), sum(a.kind == "environment" for a in alerts)


def _history(
    nights: int, seed: int, *, host_step: tuple[int, float] | None = None, environments: int = 12, metrics: int = 5
) -> History:
    """Nights with 2 % noise in every cost and 2 % in the host's speed."""
    random = np.random.default_rng(seed)
    names = ["process", *(f"env{n}" for n in range(environments))]
    speed = np.exp(random.normal(0, 0.02, nights))
    if host_step:
        speed[host_step[0] :] *= host_step[1]
    made = []
    for night in range(nights):
        points = []
        for metric in range(metrics):
            values = np.exp(random.normal(0, 0.02, len(names))) * speed[night] * 1e-3
            points += [
                Point("startup", f"m{metric}", name, float(v), float(v / values[0]) if index else math.nan)
                for index, (name, v) in enumerate(zip(names, values, strict=True))
            ]
        started = str(np.datetime64("2026-01-01T02:00:00") + np.timedelta64(night, "D")) + "Z"
        made.append(Night(f"host/{night:04}", f"run{night}", "host", started, "process", {"kernel": "6.1"}, points))
    return History(made, [])


def g9(seed: int = 9) -> Line:
    """Order of rows, seed and order, unit and answer."""
    random = np.random.default_rng(seed)
    base, other = _pair("normal", _BLOCKS, 1.2, 0.01, random)
    frame = _frame(base, other)
    one = frames.summary(frame, "process")
    two = frames.summary(frame.sample(frac=1, random_state=seed), "process")
    rows = one.equals(two)
    scaled = frames.summary(frame.assign(value=frame["value"] * 1000), "process")
    units = np.allclose(scaled["median"], one["median"] * 1000) and np.allclose(scaled["ratio"], one["ratio"])
    cells = [Cell(name, "s") for name in "abcdefgh"]
    order = plan(cells, "a", seed, 3) == plan(cells[::-1], "a", seed, 3) != plan(cells, "a", seed + 1, 3)
    held = rows and bool(units) and order
    said = f"rows {_word(rows)}, unit {_word(bool(units))}, seed {_word(order)}"
    promised = "the order of rows, the unit and the seed have their documented effects and no others"
    return Line("G9", promised, said, held)


def _word(right: bool) -> str:
    return "right" if right else "WRONG"


def _frame(base: np.ndarray, other: np.ndarray) -> pd.DataFrame:
    parts = [
        pd.DataFrame(
            {
                "scenario": "s", "metric": "m", "environment": name, "unit": "second",
                "block": np.arange(1, len(values) + 1), "value": values,
                "warmup": False, "control": False, "excluded": False,
            }
        )
        for name, values in (("process", base), ("other", other))
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True)


ALL = (g2, g3, g4, g5, g6, g7, g9)
