"""The ladder's claims: rungs that say they differ in one thing differ in one thing."""

from __future__ import annotations

import pytest

from isobench.environments.native.rungs import ENVIRONMENTS, NAMESPACES, Isolation, Native
from isobench.planning import catalog

RUNGS = [e for e in ENVIRONMENTS if isinstance(e, Native)]
BY_NAME = {e.name: e for e in RUNGS}

ONE_STEP = {"pivot-root": {"pivot"}, "ns-all+overlay": {"overlay", "pivot"}, "ns-user": {"namespaces", "user_map"}}
"""What counts as one thing although it takes two fields: an overlay root is entered by pivot_root; a user namespace
without a map can do nothing."""


def differing(one: Isolation, other: Isolation) -> set[str]:
    """The fields in which two configurations differ."""
    return {field for field in Isolation._fields if getattr(one, field) != getattr(other, field)}


@pytest.mark.parametrize("rung", [e for e in RUNGS if e.single_factor], ids=lambda e: e.name)
def test_a_single_factor_is_one(rung: Native) -> None:
    """The configurations of a rung and of the one it is compared with differ in one field, and by one namespace."""
    assert rung.compared_with is not None
    below = BY_NAME[rung.compared_with]
    fields = differing(rung.isolation, below.isolation)
    assert fields == ONE_STEP.get(rung.name, fields) and (
        len(fields) == 1 or rung.name in ONE_STEP or rung.isolation.user_map
    )
    if "namespaces" in fields:
        assert len(set(rung.isolation.namespaces) ^ set(below.isolation.namespaces)) == 1


def test_a_rung_with_several_factors_names_no_single_cause() -> None:
    """Whatever differs in more than one namespace is no single factor."""
    for rung in RUNGS:
        if rung.compared_with is None:
            continue
        below = BY_NAME[rung.compared_with]
        if len(set(rung.isolation.namespaces) ^ set(below.isolation.namespaces)) > 1:
            assert not rung.single_factor, rung.name


def test_every_rung_is_compared_with_one_that_exists() -> None:
    """The ladder hangs together over all files."""
    everything = catalog.environments()
    for environment in everything.values():
        assert environment.compared_with is None or environment.compared_with in everything
        assert environment.adds or environment.name == "process"


def test_handmade_is_everything() -> None:
    """The container made by hand has every field set that a container has."""
    handmade = BY_NAME["handmade"].isolation
    assert handmade.namespaces == NAMESPACES
    assert all(getattr(handmade, f) for f in ("cgroup", "caps", "seccomp", "overlay", "pivot", "mounts"))


def test_names_are_unique_and_groups_known() -> None:
    """What `run -e` takes is unambiguous."""
    everything = catalog.environments()
    assert not set(everything) & set(catalog.GROUPS)
    for environment in everything.values():
        assert environment.groups <= set(catalog.GROUPS)
