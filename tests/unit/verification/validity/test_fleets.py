"""The promises about fleets, with fewer trials than `nox -s validity` takes."""

from __future__ import annotations

import math

import numpy as np
import pytest

from verification.validity import fleets


@pytest.mark.parametrize("kind", ["normal", "heavy tails", "quantised", "two levels"])
@pytest.mark.parametrize(("hosts", "nights"), [(6, 1), (20, 3)])
def test_hosts_that_are_alike_are_not_named(kind: str, hosts: int, nights: int) -> None:
    assert fleets.false_names(np.random.default_rng(1), 20, hosts, nights, kind) <= 0.1


def test_a_host_with_five_wrong_costs_is() -> None:
    random = np.random.default_rng(2)
    for _ in range(5):
        assert fleets.named(random, 20, 1, math.log(1.5)) == {"host0"}
