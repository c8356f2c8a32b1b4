"""The noises of the simulations: what benchmark samples look like, as logarithms around zero."""

from __future__ import annotations

import numpy as np

KINDS = ("normal", "log-normal", "spiky")
NIGHTLY = ("normal", "log-normal", "AR(1) 0.5", "spiky")


def noise(kind: str, size: int, scale: float, random: np.random.Generator) -> np.ndarray:
    """`size` values of standard deviation `scale` (spiky: without its spikes, one in twenty, ten times as large)."""
    if kind == "normal":
        return random.normal(0, scale, size)
    if kind == "log-normal":
        sigma = 0.8
        values = random.lognormal(0, sigma, size) - np.exp(sigma**2 / 2)
        deviation = np.sqrt((np.exp(sigma**2) - 1) * np.exp(sigma**2))
        return np.asarray(scale * values / deviation)
    if kind == "spiky":
        return random.normal(0, scale, size) + (random.random(size) < 0.05) * random.exponential(10 * scale, size)
    if kind == "AR(1) 0.5":
        steps = random.normal(0, scale * np.sqrt(0.75), size)
        steps[0] = random.normal(0, scale)
        for place in range(1, size):
            steps[place] += 0.5 * steps[place - 1]
        return steps
    raise ValueError(kind)


def drift(size: int, scale: float, random: np.random.Generator) -> np.ndarray:
    """A random walk with steps of this standard deviation."""
    return np.cumsum(random.normal(0, scale, size))
