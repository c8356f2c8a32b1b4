"""Which environment is compared with which, and when that names a cause."""

from __future__ import annotations

import msgspec

from isobench.report.rungs import find_rungs
from isobench.results.record import EnvironmentRecord
from tests.unit.report.made import context, estimate, with_session


def test_a_cause_is_named_only_for_a_single_factor() -> None:
    """A rung that differs in several things, or whose neighbour was not measured, names no cause."""
    rungs = {rung.upper: rung for rung in find_rungs(context())}
    assert rungs["chroot"].cause == "what chroot adds"
    assert rungs["docker"].cause == "" and rungs["docker"].adds == "what docker adds"


def test_a_rung_is_compared_with_the_nearest_one_measured() -> None:
    """Where the rung between is missing, the step spans both and is no single cause."""
    made = context(estimates=[estimate("startup", "ready", n, 2.0) for n in ("process", "tcg")])
    (rung,) = find_rungs(made)
    assert (rung.upper, rung.lower, rung.cause) == ("tcg", "process", "")
    assert rung.adds == "what tcg-null adds and what tcg adds"


def test_a_rung_whose_neighbour_the_run_does_not_know_starts_at_the_baseline() -> None:
    """A run without the rungs between still says what all of them cost together, and names no cause."""
    made = context(estimates=[estimate("startup", "ready", n, 2.0) for n in ("process", "a")])
    alone = EnvironmentRecord("a", "a", "engine", "an engine", "unknown", True)
    session = msgspec.structs.replace(made.session, environments=[*made.session.environments, alone])
    (rung,) = find_rungs(with_session(made, session))
    assert (rung.lower, rung.cause) == ("process", "")
    assert rung.adds == "all that lies beneath unknown, and that itself and an engine"


def test_a_ladder_that_bites_its_tail_ends() -> None:
    """Records that are compared with each other in a circle give no rung and no endless loop."""
    made = context(estimates=[estimate("startup", "ready", "process", 1.0), estimate("startup", "ready", "a", 2.0)])
    circle = [EnvironmentRecord("a", "a", "vm", "", "b", True), EnvironmentRecord("b", "b", "vm", "", "a", True)]
    session = msgspec.structs.replace(made.session, environments=[*made.session.environments, *circle])
    made = with_session(made, session)
    assert find_rungs(made) == []
