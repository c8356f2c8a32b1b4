"""One figure for all deadlines: told, or learned."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from isobench.cells.opening import smoke_test
from isobench.core import deadlines
from isobench.core.errors import MeasurementError
from isobench.probe import launcher
from tests.fake import FakeEnvironment

ROOT = Path(__file__).parents[3]


def test_a_usual_host_has_the_usual_deadlines() -> None:
    """And so has one that is faster than usual."""
    for start in (0.0001, 0.0007, 0.002):
        deadlines.learn_start(start)
        deadlines.learn_smoke_test(3.0)
        found = deadlines.ready(), deadlines.scaled(), deadlines.stretched(5)
        assert found == (deadlines.READY, deadlines.LIFETIME, 5)


def test_a_slow_host_is_given_more_of_everything() -> None:
    """A host in emulation: a raw process after 20 ms, a KVM guest after half a minute."""
    deadlines.learn_start(0.020)
    assert deadlines.ready() == pytest.approx(600)
    assert deadlines.scaled() == pytest.approx(1200)
    assert deadlines.stretched(15) == pytest.approx(150)
    deadlines.learn_start(0.001)  # what was learned is not forgotten for one that was quick
    assert deadlines.ready() == pytest.approx(600)


def test_an_environment_that_is_slow_to_prove_lives_longer_than_it_took() -> None:
    """A host whose processes are quick and whose guests are not (nested virtualisation)."""
    deadlines.learn_smoke_test(50.0)
    assert deadlines.scaled() == pytest.approx(500)


def test_the_first_instance_may_be_emulated_twice() -> None:
    """In a lab without hardware support a raw process took six times the usual, and a guest without KVM far more."""
    assert deadlines.first() == deadlines.READY
    deadlines.learn_start(0.008)
    assert deadlines.first() == pytest.approx(16 * deadlines.READY) and deadlines.ready() == 4 * deadlines.READY
    deadlines.learn_start(60.0)
    assert deadlines.first() == deadlines.ready() == 30 * deadlines.READY
    deadlines.begin(20.0)
    assert deadlines.first() == 20.0


def test_no_host_makes_a_run_wait_for_ever() -> None:
    """What hangs ends."""
    deadlines.learn_start(60.0)
    deadlines.learn_smoke_test(1e6)
    assert deadlines.scaled() == 30 * deadlines.LIFETIME


def test_what_is_told_is_not_learned_better() -> None:
    """Less than usual shortens the wait for instances, and never that for the harness's own helpers."""
    deadlines.begin(20.0)
    deadlines.learn_start(10.0)
    assert (deadlines.ready(), deadlines.scaled(), deadlines.stretched(15)) == (20.0, 40.0, 15)
    deadlines.begin(600.0)
    assert (deadlines.ready(), deadlines.scaled(), deadlines.stretched(15)) == (600.0, 1200.0, 150)


def test_the_proof_is_learned_from(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """By the clock of the harness; what failed teaches nothing."""
    learned: list[float] = []
    monkeypatch.setattr(deadlines, "learn_smoke_test", learned.append)
    with FakeEnvironment("process").open(tmp_path) as sandbox:
        smoke_test(sandbox)
    broken = FakeEnvironment("broken", errors={1: MeasurementError("no")})
    with broken.open(tmp_path) as sandbox, pytest.raises(MeasurementError):
        smoke_test(sandbox)
    assert len(learned) == 1 and learned[0] >= 0


def test_the_host_is_learned_from_real_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The probe is started, and what is told to `deadlines` is a time that a start can take."""
    learned: list[float] = []
    monkeypatch.setattr(deadlines, "learn_start", learned.append)
    launcher.learn_deadlines()
    assert len(learned) == 1 and 1e-5 < learned[0] < 60


def test_nothing_is_waited_for_a_fixed_time() -> None:
    """A number of seconds in a call holds on a usual host alone: every wait goes by what was told or learned."""
    fixed = []
    for file in (*ROOT.glob("bench/**/*.py"), *ROOT.glob("scenarios/**/*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                waits = [word.value for word in node.keywords if word.arg == "timeout"]
                if isinstance(node.func, ast.Attribute) and node.func.attr in ("settimeout", "wait", "join"):
                    waits += node.args
                found = any(isinstance(wait, ast.Constant) and isinstance(wait.value, int | float) for wait in waits)
                fixed += [f"{file.relative_to(ROOT)}:{node.lineno}"] if found else []
    assert fixed == []
