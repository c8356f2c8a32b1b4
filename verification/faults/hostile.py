"""Instances that misbehave: silence, floods, false answers, more memory or processes than allowed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from verification.faults import leaks
from verification.faults.place import Line, Tally

if TYPE_CHECKING:
    from verification.faults.place import Place

EXPECTED = {
    "hostile-silent": "deadline",
    "hostile-stubborn": "deadline",
    "hostile-flood": "more than",
    "hostile-errors": "deadline",
    "hostile-half": "middle of a line",
    "hostile-garbage": "not JSON",
    "hostile-wrong": "not an object",
    "hostile-liar": "ready line",
    "hostile-docker-silent": "deadline",
    "hostile-docker-stubborn": "deadline",
    "hostile-docker-flood": "more than",
    "hostile-docker-garbage": "not JSON",
    "hostile-guest": "deadline",
}
"""Environment (verification/faults/plugin) -> what its failures say."""
LIMITS = {
    "hostile-hog": "OOM-killed",
    "hostile-forks": "Resource temporarily unavailable",
    "hostile-docker-hog": "OOM-killed",
    "hostile-docker-forks": "Resource temporarily unavailable",
}


LYING = "hostile-types"
READING = ("syscall", "net", "io", "io-meta", "io-copy-up", "io-buffered", "memory-touch", "sharing")
"""Scenarios that read answers."""


def programs(place: Place) -> Line:
    """All at once in one run: none of them may affect the others."""
    return _line(place, EXPECTED, "never ready, deaf to SIGTERM, floods, half a line, garbage, wrong answers")


def limits(place: Place) -> Line:
    """Memory and processes beyond what the cgroup allows."""
    return _line(place, LIMITS, "OOM killer, pid limit")


def answers(place: Place) -> Line:
    """JSON of the wrong type or number for every scenario that reads answers, different in every block."""
    tally, before = Tally(place), place.before()
    words = ("run", "-e", "process,hostile-types", "-s", ",".join(READING), "--blocks", "2", "--no-report", "-v")
    code, said = place.call(*words, timeout=900)
    run = place.last_run()
    for name in READING:
        for block in (1, 2):
            failed = [f for f in run.session.failures if (f.environment, f.scenario, f.block) == (LYING, name, block)]
            told = failed[0].reason if failed else "no failure was recorded"
            wrong = not failed or "please report" in told
            tally.count(f"{name}, block {block}: {told[:200]}" if wrong else "")
    facts = next(e.facts for e in run.session.environments if e.name == LYING)
    tally.wrong += [f"{key}: {text[:200]}" for key, text in facts.items() if "please report" in text]
    measured = {s.scenario for s in run.series if s.environment == "process" and s.values}
    if measured != set(READING) or any(s.environment == LYING for s in run.series) or code not in (1, 5):
        tally.wrong.append(f"exit code {code}, measured {sorted(measured)}: {said[-200:]}")
    tally.leaks += leaks.left(place.where, before)
    fault = "well-formed answers of the wrong type or number"
    return tally.line(fault, f"each cell of {len(READING)} scenarios fails with its reason, the rest is measured")


def _line(place: Place, expected: dict[str, str], fault: str) -> Line:
    tally, before = Tally(place), place.before()
    names = ",".join(["process", *expected])
    words = ("run", "-e", names, "-s", "syscall", "--blocks", "1", "--no-report", "-v")
    code, said = place.call(*words)
    run = place.last_run()
    for name, reason in expected.items():
        failed = [f for f in run.session.failures if f.environment == name and f.block == 1]
        told = failed[0].reason if failed else "no failure was recorded"
        tally.injected += 1
        tally.survived += reason.lower() in told.lower()
        if reason.lower() not in told.lower():
            tally.wrong.append(f"{name}: {told[:200]}")
    measured = {s.environment for s in run.series if s.values}
    if "process" not in measured or code not in (1, 5):
        tally.wrong.append(f"exit code {code}, measured {sorted(measured)}: {said[-200:]}")
    tally.leaks += leaks.left(place.where, before)
    return tally.line(fault, "each cell fails with its reason, the rest of the run is measured")
