"""The noises of all simulations: what the samples of benchmarks look like, as logarithms around zero.

Each kind is a function of how many values, their standard deviation and a seeded generator. `QUIET` are all kinds whose
level never moves for good, so that everything found in them is a false positive; `STEADY` are those without
autocorrelation, for tests that assume independent blocks; `CORRELATED` have it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Noise = Callable[[int, float, np.random.Generator], np.ndarray]


def normal(size: int, scale: float, random: np.random.Generator) -> np.ndarray:
    return random.normal(0, scale, size)


def log_normal(size: int, scale: float, random: np.random.Generator) -> np.ndarray:
    """Skewed: a long tail of slow values."""
    sigma = 0.8
    values = random.lognormal(0, sigma, size) - np.exp(sigma**2 / 2)
    deviation = np.sqrt((np.exp(sigma**2) - 1) * np.exp(sigma**2))
    return np.asarray(scale * values / deviation)


def heavy_tails(size: int, scale: float, random: np.random.Generator) -> np.ndarray:
    """Student's t with two degrees of freedom, which has no variance: `scale` is that of its middle half."""
    return np.asarray(scale * random.standard_t(2, size) / 1.21)


def spiky(size: int, scale: float, random: np.random.Generator) -> np.ndarray:
    """Normal; one in twenty is larger, by ten standard deviations on average."""
    return random.normal(0, scale, size) + (random.random(size) < 0.05) * random.exponential(10 * scale, size)


def bimodal(size: int, scale: float, random: np.random.Generator) -> np.ndarray:
    """One in three is at a second level, five of the first one's standard deviations higher."""
    high = random.random(size) < 1 / 3
    return np.asarray((random.normal(0, 1, size) + 5 * (high - 1 / 3)) * scale / np.sqrt(1 + 25 * 2 / 9))


def two_levels(size: int, scale: float, random: np.random.Generator) -> np.ndarray:
    """Two values 20 % apart whatever the scale, one in four the upper: a count of pages, a choice of layout."""
    return np.asarray(np.log(1.2) * (random.random(size) < 0.25))


def quantised(size: int, scale: float, random: np.random.Generator) -> np.ndarray:
    """A clock or counter with ticks as wide as the noise: few values, many ties."""
    return np.round(random.normal(random.uniform(-0.5, 0.5), 1, size)) * scale


def autoregressive(size: int, scale: float, random: np.random.Generator, correlation: float) -> np.ndarray:
    """AR(1): each value keeps this share of the previous one."""
    steps = random.normal(0, scale * np.sqrt(1 - correlation**2), size)
    steps[:1] = random.normal(0, scale, min(size, 1))
    for place in range(1, size):
        steps[place] += correlation * steps[place - 1]
    return steps


def ar_5(size: int, scale: float, random: np.random.Generator) -> np.ndarray:
    return autoregressive(size, scale, random, 0.5)


def ar_7(size: int, scale: float, random: np.random.Generator) -> np.ndarray:
    return autoregressive(size, scale, random, 0.7)


def ar_9(size: int, scale: float, random: np.random.Generator) -> np.ndarray:
    return autoregressive(size, scale, random, 0.9)


def random_walk(size: int, scale: float, random: np.random.Generator) -> np.ndarray:
    """A level that wanders by half a standard deviation a step, beneath normal noise."""
    return drift(size, scale / 2, random) + random.normal(0, scale, size)


def variance_change(size: int, scale: float, random: np.random.Generator) -> np.ndarray:
    """Three times as noisy from a random point in the middle half on; the level stays."""
    values = random.normal(0, scale, size)
    values[int(size * random.uniform(0.25, 0.75)) :] *= 3
    return values


def weekly(size: int, scale: float, random: np.random.Generator) -> np.ndarray:
    """Two consecutive values of every seven are two standard deviations higher."""
    days = (np.arange(size) + random.integers(7)) % 7 < 2
    return random.normal(0, scale, size) + 2 * scale * days


STEADY: dict[str, Noise] = {
    "normal": normal,
    "log-normal": log_normal,
    "heavy tails": heavy_tails,
    "spiky": spiky,
    "bimodal": bimodal,
    "two levels": two_levels,
    "quantised": quantised,
}
CORRELATED: dict[str, Noise] = {
    "AR(1) 0.5": ar_5,
    "AR(1) 0.7": ar_7,
    "AR(1) 0.9": ar_9,
    "random walk": random_walk,
}
QUIET: dict[str, Noise] = {**STEADY, **CORRELATED, "variance change": variance_change, "weekly": weekly}

KINDS = ("normal", "log-normal", "spiky")


def noise(kind: str, size: int, scale: float, random: np.random.Generator) -> np.ndarray:
    """`size` values of this kind with standard deviation `scale` (of their middle part, if the kind has outliers)."""
    return QUIET[kind](size, scale, random)


def drift(size: int, scale: float, random: np.random.Generator) -> np.ndarray:
    """A random walk with steps of this standard deviation."""
    return np.cumsum(random.normal(0, scale, size))
