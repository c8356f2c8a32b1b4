"""The noises of the simulations are what they say."""

from __future__ import annotations

import numpy as np
import pytest

from verification.validity.noise import CORRELATED, QUIET, STEADY, noise


@pytest.mark.parametrize("kind", QUIET)
def test_a_seed_gives_the_same_values_and_any_size_works(kind: str) -> None:
    for size in (0, 1, 200):
        one, two = (noise(kind, size, 0.02, np.random.default_rng(5)) for _ in range(2))
        assert len(one) == size and np.array_equal(one, two) and np.isfinite(one).all()


@pytest.mark.parametrize("kind", sorted(QUIET.keys() - {"two levels", "random walk"}))
def test_the_middle_half_is_as_wide_as_that_of_a_normal_noise_within_a_factor_of_three(kind: str) -> None:
    values = noise(kind, 4000, 0.02, np.random.default_rng(6))
    width = float(np.subtract(*np.quantile(values, [0.75, 0.25]))) / 1.349
    assert 0.02 / 3 < width < 0.02 * 3


def _neighbours(kind: str) -> float:
    values = noise(kind, 4000, 0.02, np.random.default_rng(7))
    clipped = np.clip(values, *np.quantile(values, [0.05, 0.95]))
    return float(np.corrcoef(clipped[1:], clipped[:-1])[0, 1])


@pytest.mark.parametrize("kind", STEADY)
def test_steady_noise_has_no_memory(kind: str) -> None:
    assert abs(_neighbours(kind)) < 0.06


@pytest.mark.parametrize("kind", CORRELATED)
def test_correlated_noise_has(kind: str) -> None:
    assert _neighbours(kind) > 0.4
