"""The choices of a command line: the request that they make, and the command that repeats them."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from isobench.core.errors import UsageError
from isobench.core.model import BASELINE
from isobench.planning import catalog
from isobench.planning.plan import Request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from isobench.contracts.environment import Environment
    from isobench.contracts.scenario import Scenario
    from isobench.workloads.measured import Measured


class Profile(NamedTuple):
    """The number of blocks, and how narrow every interval must be (0.02: ±2 %); None: the number of blocks decides."""

    min_blocks: int
    max_blocks: int
    width: float | None


PROFILES = {
    "quick": Profile(6, 6, None),
    "default": Profile(20, 20, None),
    "rigorous": Profile(20, 100, 0.02),
}
"""quick has the fewest blocks that give a 95 % interval; rigorous continues until the intervals are narrow."""


class Choice(NamedTuple):
    """The options that make up the plan. A resumed run keeps its own."""

    environments: str
    scenarios: str | None
    """None: no scenarios, because something else was named."""
    workloads: str
    image: str
    program: Sequence[str]
    cpus: int | None
    memory: int | None
    profile: str
    blocks: int | None
    seed: int | None
    baseline: str
    require: str


class Terms(NamedTuple):
    """The options that are not part of the plan, and may differ when a run is resumed."""

    max_time: float | None
    timeout: float | None
    label: str
    results: Path
    reports: Path | None
    """None: no report is written."""


def new_request(choice: Choice, terms: Terms, run_id: str) -> Request:
    """A new run. Raises `UsageError` if the choices are invalid, or if the results cannot be stored."""
    profile = PROFILES[choice.profile]
    environments, baseline = _environments(choice)
    if choice.blocks is not None and choice.blocks < 1:
        raise UsageError("--blocks must be greater than 0")
    required = _required(choice, environments)
    seed = secrets.randbelow(2**32) if choice.seed is None else choice.seed
    check_writable(terms.results, "results", "--out")
    if terms.reports is not None:
        check_writable(terms.reports, "reports", "--reports")
    return Request(
        run_id=run_id,
        environments=environments,
        scenarios=scenarios(choice),
        baseline=baseline,
        seed=seed,
        profile=choice.profile,
        min_blocks=choice.blocks or profile.min_blocks,
        max_blocks=choice.blocks or profile.max_blocks,
        max_time=terms.max_time,
        required=required,
        results=terms.results,
        workdir=Path(),
        command=command(choice, terms.timeout, seed),
        beneath=catalog.beneath(environments),
        sweep=catalog.sweep,
        label=terms.label,
        timeout=terms.timeout,
    )


def _environments(choice: Choice) -> tuple[list[Environment], str]:
    """The chosen environments and the name of the baseline, which is one of them."""
    environments = catalog.select_environments(choice.environments)
    baseline = catalog.select_environments(choice.baseline)
    if len(baseline) != 1:
        raise UsageError(f"--baseline takes one environment, not {choice.baseline!r}")
    if baseline[0] not in environments:
        environments = [*baseline, *environments]
    return environments, baseline[0].name


def _required(choice: Choice, environments: Sequence[Environment]) -> frozenset[str]:
    required = catalog.select_environments(choice.require) if choice.require else []
    missing = [e.name for e in required if e not in environments]
    if missing:
        raise UsageError(f"--require names {missing[0]}, which is not among the chosen environments")
    return frozenset(e.name for e in required)


def check_writable(folder: Path, what: str, option: str) -> None:
    """Check before measuring that the results can be stored."""
    there = folder.absolute()
    while not os.path.lexists(there):  # False, too, for a path below a folder that this user cannot search
        there = there.parent
    if not os.path.isdir(there) or not os.access(there, os.W_OK | os.X_OK):  # noqa: PTH112 (nor may this raise)
        raise UsageError(f"cannot write {what} to {folder}", remedy=f"choose another folder with {option}")


def scenarios(choice: Choice) -> list[Scenario]:
    """The chosen workloads and scenarios."""
    if choice.cpus is not None and choice.cpus < 1:
        raise UsageError("--cpus must be greater than 0")
    found = workloads(choice.workloads, choice.image, choice.program, choice.cpus or 0, choice.memory or 0)
    return [*found, *([] if choice.scenarios is None else catalog.select_scenarios(choice.scenarios))]


def workloads(words: str, image: str, program: Sequence[str], cpus: int, memory: int) -> list[Measured]:
    """The workloads of `-w`, and the program after `--`, or an image's with what is after `--` as its arguments."""
    if not (words or image or program):
        return []
    from isobench.planning.workloads import chosen  # most runs have no workload, and it takes long to import

    return chosen(words, image, program, cpus, memory)


def command(choice: Choice, timeout: float | None, seed: int) -> list[str]:
    """The command that repeats this run: the same choices and the same seed."""
    words = ["isobench", "run", "-e", choice.environments]
    if choice.workloads:
        words += ["-w", choice.workloads]
    if choice.image:
        words += ["--image", choice.image]
    if choice.cpus is not None:
        words += ["--cpus", str(choice.cpus)]
    if choice.memory is not None:
        words += ["--memory", f"{choice.memory >> 20}M"]
    if choice.scenarios is not None:
        words += ["-s", choice.scenarios]
    words += ["--profile", choice.profile, "--seed", str(seed)]
    if choice.blocks is not None:
        words += ["--blocks", str(choice.blocks)]
    if timeout is not None:
        words += ["--timeout", f"{timeout:g}"]
    if choice.baseline != BASELINE:
        words += ["--baseline", choice.baseline]
    return [*words, "--", *choice.program] if choice.program else words
