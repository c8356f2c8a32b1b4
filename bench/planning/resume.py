"""Resuming a run that ended early: whether it can be, and the rest of its plan."""

from __future__ import annotations

import itertools
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from isobench.core import quantities
from isobench.core.errors import UsageError
from isobench.filesystem.ownership import folder
from isobench.planning import catalog
from isobench.planning.choice import PROFILES, check_writable, workloads
from isobench.planning.plan import Request
from isobench.results import journal, store
from isobench.results.record import COMPLETE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from isobench.contracts.scenario import Scenario
    from isobench.planning.choice import Terms
    from isobench.results.record import Session
    from isobench.results.store import Run


def resuming(path: Path) -> str:
    """The command that resumes a run."""
    return f"isobench run --resume {shlex.quote(str(path))}"


def resumable(path: Path) -> Run:
    """The run in this folder. Raises `UsageError` if it cannot be resumed."""
    run = store.load(path)
    try:
        with folder(path):  # it will be written to
            pass
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    if (path / journal.NAME).exists():
        raise UsageError(
            f"{path} is still being measured, or belongs to another user", remedy="wait until it has ended"
        )
    if run.session.stopped in COMPLETE:
        raise UsageError(f"{path} is complete: there is nothing to resume", remedy="isobench run")
    if run.session.pruned is not None:
        raise UsageError(f"{path} has no values any more: isobench prune removed them", remedy="isobench run")
    if run.session.profile not in PROFILES:
        raise UsageError(f"{path} has a profile unknown to this version of isobench")
    return run


def resumed_request(before: Run, terms: Terms, run_id: str) -> Request:
    """The rest of a run's plan: its environments that could be opened, its scenarios, seed and blocks."""
    session, profile = before.session, PROFILES[before.session.profile]
    skipped = {skip.environment for skip in session.skips if not skip.scenario}
    names = [one.name for one in session.environments if one.name not in skipped]
    scenarios = _scenarios(session)
    given = word_after("--blocks", session.command)
    blocks = int(given) if given.isdecimal() else None
    timeout = terms.timeout
    if timeout is None and (given := word_after("--timeout", session.command)):
        timeout = quantities.timeout(given)
    if terms.reports is not None:
        check_writable(terms.reports, "reports", "--reports")
    return Request(
        run_id=run_id,
        environments=catalog.select_environments(",".join(names)),
        scenarios=scenarios,
        baseline=session.baseline,
        seed=session.seed,
        profile=session.profile,
        min_blocks=blocks or profile.min_blocks,
        max_blocks=blocks or profile.max_blocks,
        max_time=terms.max_time,
        required=frozenset(names),
        results=terms.results,
        workdir=Path(),
        command=session.command,
        sweep=catalog.sweep,
        label=terms.label,
        before=before,
        timeout=timeout,
    )


def _scenarios(session: Session) -> list[Scenario]:
    """The scenarios of a resumed run. Raises `UsageError` if a workload has changed since."""
    told = session.command
    memory = word_after("--memory", told)
    found = workloads(
        word_after("-w", told),
        word_after("--image", told),
        _parted(told)[1],
        int(word_after("--cpus", told) or 0),
        quantities.size(memory) if memory else 0,
    )
    names = [scenario.name for scenario in session.scenarios]
    for workload in found:
        before = {one.facts.get(f"{workload.name}.root") for one in session.environments} - {None}
        if workload.name in names and before - {workload.identity}:
            raise UsageError(f"{workload.name} has changed since the run began", remedy="start a new one: isobench run")
    rest = [name for name in names if name not in {workload.name for workload in found}]
    chosen = [workload for workload in found if workload.name in names]
    return [*chosen, *(catalog.select_scenarios(",".join(rest)) if rest else [])]


def word_after(option: str, words: Sequence[str]) -> str:
    """The value of an option in a command written by `isobench.planning.choice.command`, or nothing."""
    own, _ = _parted(words)
    return next((value for word, value in itertools.pairwise(own) if word == option), "")


def _parted(words: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """A command's own words, and the program's after `--`."""
    if "--" not in words:
        return words, ()
    place = words.index("--")
    return words[:place], words[place + 1 :]
