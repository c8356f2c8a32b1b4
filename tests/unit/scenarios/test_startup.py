"""The startup scenario's arithmetic: stamps into durations, and steps that stack to the whole."""

from __future__ import annotations

import pytest

from isobench.scenarios.startup import Startup, durations, steps_of
from tests.fake import FakeEnvironment, FakeSandbox

EVENTS = {"requested": 1_000, "created": 6_000, "started": 9_000, "ready": 15_000}
TOLD = {"step-make-cgroup": 2e-6, "step-root": 1e-6, "step-mounts": 2e-6}


def test_steps_stack_to_the_whole() -> None:
    """What the mechanism tells and what lies between its stamps is the time to the first byte."""
    steps = steps_of(EVENTS, TOLD)
    assert set(steps) == {*TOLD, "step-clone", "step-exec"}
    assert steps["step-clone"] == pytest.approx(3e-6)
    assert sum(steps.values()) == pytest.approx(durations(EVENTS)["ready"])


def test_a_mechanism_without_steps_has_none() -> None:
    """An engine's start is no clone and exec of ours, and a fake has no steps at all."""
    assert steps_of(EVENTS, {}) == {}
    values = Startup().measure(FakeSandbox(FakeEnvironment("fake", seconds=0.25)))
    assert values["ready"] == pytest.approx(0.25)
    assert {m.name for m in Startup.metrics} >= set(values)
    assert not any(name.startswith("step-") for name in values)
