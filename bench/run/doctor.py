"""What can be measured on this host, by launching each environment once, and what would disturb a measurement."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from isobench.cells.opening import smoke_test
from isobench.contracts import sight
from isobench.core.errors import Unavailable
from isobench.host import machine
from isobench.host.reasons import reason_and_remedy
from isobench.lifecycle import leftovers
from isobench.lifecycle.measuring import measures_now
from isobench.lifecycle.workspace import new_run_id, workspace
from isobench.planning import catalog, dependencies
from isobench.probe.launcher import learn_deadlines
from isobench.processes.accounting import process_name
from isobench.processes.programs import find, version

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator
    from pathlib import Path

    from isobench.contracts.environment import Environment


class Finding(NamedTuple):
    """One line: PASS, FAIL (it should work and does not), SKIP (this host does not have it), WARN (noise)."""

    kind: str
    name: str
    outcome: str
    reason: str = ""
    remedy: str = ""


def check_environments(environments: Iterable[Environment]) -> Generator[Finding]:
    """Open each environment and launch the idle probe once."""
    with workspace(new_run_id(), catalog.sweep) as workdir:
        learn_deadlines()
        for environment in environments:
            yield _check(environment, workdir / environment.name)


def _check(environment: Environment, workdir: Path) -> Finding:
    try:
        workdir.mkdir(mode=0o711)
        with environment.open(workdir) as sandbox:
            smoke_test(sandbox)
            blind_spots = sight.in_words({part.value: reason for part, reason in sight.unseen(sandbox).items()})
    except Exception as error:  # even an unexpected one: the others are examined nevertheless
        if isinstance(error, Unavailable):
            with suppress(OSError):
                workdir.rmdir()  # nothing was created, so nothing has to be cleaned
        outcome = "SKIP" if isinstance(error, Unavailable) else "FAIL"
        return Finding("environment", environment.name, outcome, *reason_and_remedy(error))
    return Finding("environment", environment.name, "PASS", blind_spots)


def check_other_runs() -> Iterator[Finding]:
    """Whether another run is measuring now: it and what is launched here disturb each other."""
    pids = measures_now()
    if pids:
        reason = (
            f"{'another run is' if len(pids) == 1 else f'{len(pids)} other runs are'} measuring (pid {_pids(pids)})"
        )
        yield Finding(
            "noise",
            "other runs",
            "WARN",
            f"{reason}: what doctor launches disturbs it",
            "repeat isobench doctor when it has ended",
        )
    else:
        yield Finding("noise", "other runs", "PASS", "none")


def _pids(pids: Iterable[int]) -> str:
    return ", ".join(str(pid or "unknown") for pid in pids)


def check_noise() -> Iterator[Finding]:
    """What is known to disturb measurements, from the host's facts. `pyperf system tune` is offered, never run."""
    facts = machine.facts()
    for name, fine, why, remedy in _DISTURBANCES:
        value = facts.get(name, "")
        if value in ("", machine.UNKNOWN):
            yield Finding("noise", name, "SKIP", "not available on this host")
        elif value in fine:
            yield Finding("noise", name, "PASS", {"0": "off"}.get(value, value))
        else:
            yield Finding("noise", name, "WARN", f"{value}: {why}", remedy)
    load = facts.get("load", "0").split()[0]
    busy = float(load) > 0.5
    yield Finding("noise", "load", "WARN" if busy else "PASS", load, "stop other programs" if busy else "")
    yield from _other_instances()


_TUNE = "python -m pyperf system tune"
_DISTURBANCES = (
    ("virtual", ("bare metal",), "use ratios, not absolute values", "measure on bare metal"),
    ("confined", (machine.FREE,), "what daemons start is not, so ratios of their instances to processes do not hold",
     "run isobench without taskset, nice or a cpuset"),
    ("governor", ("performance",), "the clock frequency follows the load", _TUNE),
    ("turbo", ("off",), "the clock frequency depends on load and temperature", _TUNE),
    ("smt", ("0",), "sibling threads share a core", "echo off > /sys/devices/system/cpu/smt/control"),
    ("swap", ("none", "0.0 GiB"), "pages may be swapped to disk", "swapoff -a"),
    ("thp", ("madvise", "never"), "the kernel creates and splits huge pages on its own",
     "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled"),
    ("ksm", ("off",), "the kernel merges guests' pages in the background", "echo 0 > /sys/kernel/mm/ksm/run"),
)  # fmt: skip
"""Host fact, its quiet values, what other values mean, and the remedy."""


def _other_instances() -> Iterator[Finding]:
    """Other users' containers and virtual machines."""
    kinds = {keeper.process: keeper.kind for keeper in catalog.keepers()}
    names = [process_name(int(entry)) for entry in os.listdir("/proc") if entry.isdigit()]
    for kind in sorted(set(kinds.values())):
        count = sum(kinds.get(name) == kind for name in names)
        remedy = "stop them while isobench measures" if count else ""
        yield Finding("noise", f"other {kind}s", "WARN" if count else "PASS", str(count or "none"), remedy)


def check_tools() -> Iterator[Finding]:
    """The tools in use, with their versions."""
    for tool in dependencies.tools():
        if find(tool.name) is None:
            yield Finding("tool", tool.name, "SKIP", "not installed", tool.remedy)
        else:
            told_version = version(tool.name, tool.version)[:100]
            lacking = f"{tool.name} {tool.version} fails or says nothing"
            yield Finding("tool", tool.name, "PASS" if told_version else "FAIL", told_version or lacking)


def check_leftovers() -> Iterator[Finding]:
    """What dead runs left behind."""
    dead = leftovers.dead_runs()
    for name in dead:
        yield Finding("leftover", name, "WARN", "a dead run left something behind", "isobench clean")
    if not dead:
        yield Finding("leftover", "none", "PASS")
