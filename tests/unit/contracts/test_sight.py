"""What cannot be seen is left out with its reason, and nothing else is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from isobench.contracts import sight
from isobench.contracts.capabilities import Part
from isobench.planning import catalog

if TYPE_CHECKING:
    from isobench.contracts.scenario import Scenario

SCENARIOS = catalog.scenarios()


def test_metrics_rest_on_what_they_are_taken_from() -> None:
    """A sum is absent where one of its parts is."""
    assert sight.hidden(SCENARIOS["startup"], {Part.DAEMONS: "far"}) == {"cpu": "far", "cpu-engine": "far"}
    assert sight.hidden(SCENARIOS["startup"], {Part.END: "user"}) == {"gone": "user"}
    assert set(sight.hidden(SCENARIOS["memory"], {Part.DAEMONS: "far"})) == {"pss-daemons"}
    assert "cgroup" not in sight.hidden(SCENARIOS["memory"], {Part.MEMORY: "user"})
    assert set(sight.hidden(SCENARIOS["memory"], {Part.PROCESSES: "far", Part.DAEMONS: "far"})) == {
        metric.name for metric in SCENARIOS["memory"].metrics
    }
    assert (
        sight.hidden(
            SCENARIOS["syscall"], {Part.PROCESSES: "far", Part.MEMORY: "far", Part.DAEMONS: "far", Part.END: "far"}
        )
        == {}
    )


def test_reasons_are_told_once() -> None:
    """With the metrics of each."""
    assert sight.in_words({"a": "far", "b": "user", "c": "far"}) == "without a, c: far; without b: user"
    assert sight.in_words({}) == ""


def test_a_sandbox_that_says_nothing_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most mechanisms start their instances themselves; what the host hides is hidden of theirs, too."""
    monkeypatch.setattr(sight, "shows_kernel_threads", lambda: True)
    assert sight.unseen(object()) == {}  # type: ignore[arg-type]
    monkeypatch.setattr(sight, "shows_kernel_threads", lambda: False)
    absent = sight.hidden(SCENARIOS["startup"], sight.unseen(object()))  # type: ignore[arg-type]
    assert set(absent) == {"cpu-kernel"} and "cpu is without" in absent["cpu-kernel"]


@pytest.mark.parametrize("scenario", [s for s in SCENARIOS.values() if hasattr(s, "sees")], ids=lambda s: s.name)
def test_every_pattern_is_of_a_metric(scenario: Scenario) -> None:
    """A metric that was renamed must not be shown in silence."""
    from fnmatch import fnmatchcase

    names = [metric.name for metric in scenario.metrics]
    for patterns in scenario.sees.values():  # type: ignore[attr-defined]
        for pattern in patterns:
            assert any(fnmatchcase(name, pattern) for name in names), pattern
