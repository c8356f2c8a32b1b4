"""The promises about comparing hosts: how often a host like the others is named as odd, and which odd ones are
found."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from isobench.nights.fleet import odd_hosts, peers
from isobench.nights.history import Night, Point
from verification.validity.noise import QUIET
from verification.validity.promise import Line

_COSTS, _WRONG = 40, 5
_SCALE = 0.02
"""Standard deviation of a run's ratios; that of real runs is 1.6 % (G20)."""
_FLEETS = ((6, 1), (10, 1), (20, 1), (6, 3), (10, 3), (20, 3))
"""Hosts, and nights of each."""


def g27(trials: int = 200, seed: int = 27) -> Line:
    """Hosts that are alike: how often a report names one, by kind of noise of the runs' ratios, for few and many hosts
    and nights; also if each cost of each host differs from the others' night after night."""
    random = np.random.default_rng(seed)
    shares = {
        f"{kind}, {_fleet(hosts, nights)}": false_names(random, trials, hosts, nights, kind)
        for kind in QUIET
        for hosts, nights in _FLEETS
    }
    for hosts, nights in _FLEETS:
        share = false_names(random, trials, hosts, nights, "normal", apart=0.05)
        shares[f"hosts that differ by 5 %, {_fleet(hosts, nights)}"] = share
    worst = max(shares, key=lambda name: shares[name])
    return Line("G27", f"6 to 20 hosts that are alike, one to three nights, {_COSTS} costs, each ratio of each run "
                "moved by 2 %, every kind of noise: ≤ 5 % of fleet reports name a host",
                f"at most {shares[worst]:.1%} of {trials} ({worst}); of all {np.mean([*shares.values()]):.1%}",
                shares[worst] <= 0.05)  # fmt: skip


def g28(trials: int = 200, seed: int = 28) -> Line:
    """Twenty hosts, five costs wrong on one of them: how often it is named, and how often another one."""
    random = np.random.default_rng(seed)
    found, others = {}, 0
    for more, nights in ((0.30, 1), (0.20, 1), (0.15, 3), (0.10, 3), (0.10, 5)):
        odd = [named(random, 20, nights, math.log1p(more)) for _ in range(trials)]
        found[more, nights] = sum("host0" in one for one in odd) / trials
        others += sum(bool(one - {"host0"}) for one in odd)
    told = ", ".join(f"+{more:.0%} after {_nights(nights)} {share:.1%}" for (more, nights), share in found.items())
    wrong = others / trials / len(found)
    return Line("G28", f"20 hosts, {_WRONG} of {_COSTS} costs wrong on one, each ratio of each run moved by 2 %: it is "
                "named in ≥ 90 % at +30 % after one night and at +15 % after three, another host in ≤ 5 %",
                f"{told}; another host in {wrong:.1%} of {trials * len(found)}",
                found[0.30, 1] >= 0.90 and found[0.15, 3] >= 0.90 and wrong <= 0.05)  # fmt: skip


ALL = (g27, g28)


def false_names(
    random: np.random.Generator, trials: int, hosts: int, nights: int, kind: str, apart: float = 0.0
) -> float:
    """The share of reports that name a host although all are alike."""
    fleets = (np.median(_logs(random, hosts, nights, kind, apart=apart), axis=1) for _ in range(trials))
    return sum(bool(odd_hosts(one, nights)) for one in fleets) / trials


def named(random: np.random.Generator, hosts: int, nights: int, wrong: float) -> set[str]:
    """The hosts that the report names if the first costs of the first host are higher by `wrong`, a logarithm."""
    logs = _logs(random, hosts, nights, "normal", wrong=wrong)
    made = [_night(host, night, logs[host, night]) for night in range(nights) for host in range(hosts)]
    return {odd.host_id for kind in peers(made, Path("simulated")) for odd in kind.odd}


def _logs(
    random: np.random.Generator, hosts: int, nights: int, kind: str, *, wrong: float = 0.0, apart: float = 0.0
) -> np.ndarray:
    """Logarithms of ratios: hosts, nights, costs. Each ratio of each run has its own noise; `apart` is how far hosts
    differ in each cost night after night."""
    noise = np.stack([QUIET[kind](hosts * nights, _SCALE, random) for _ in range(_COSTS)], axis=-1)
    logs = noise.reshape(hosts, nights, _COSTS)  # autocorrelation is from night to night
    if nights == 1:
        logs = random.permutation(logs)
    logs = logs + random.normal(0, apart, (hosts, 1, _COSTS)) + np.log(random.uniform(1, 100, _COSTS))
    logs[0, :, :_WRONG] += wrong
    return logs


def _night(host: int, night: int, logs: np.ndarray) -> Night:
    points = [Point("s", f"m{cost}", "e", 1.0, math.exp(log)) for cost, log in enumerate(logs.tolist())]
    started = f"2026-01-{night + 1:02}T00:00:00Z"
    facts = {"cpu": "CPU", "cpus": "4"}
    return Night(f"host{host}/{night}", f"{host}-{night}", f"host{host}", started, "process", facts, points)


def _fleet(hosts: int, nights: int) -> str:
    return f"{hosts} hosts, {_nights(nights)}"


def _nights(count: int) -> str:
    return "one night" if count == 1 else f"{count} nights"
