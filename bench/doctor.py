"""What can be measured on this host, proven by launching it, and what would disturb the measurement."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, NamedTuple

from bench import catalog, host, lifecycle
from bench.errors import IsobenchError, Unavailable
from bench.runner import prove

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from bench.environment import Environment


class Finding(NamedTuple):
    """One line: PASS, FAIL (it should work and does not), SKIP (this host has not got it), WARN (noise)."""

    kind: str
    name: str
    outcome: str
    reason: str = ""
    remedy: str = ""


TOOLS = ("cc", "fio", "runc", "crun", "dockerd", "libvirtd", "qemu-system-x86_64", "mke2fs", "hyperfine", "perf")


def check_environments(environments: Iterable[Environment], timeout: float) -> Iterator[Finding]:
    """Open each environment and launch the idle probe once under a deadline (seconds)."""
    with lifecycle.workspace(lifecycle.new_run_id(), catalog.sweep) as workdir:
        for environment in environments:
            yield _check(environment, workdir / environment.name, timeout)


def _check(environment: Environment, workdir: Path, timeout: float) -> Finding:
    try:
        workdir.mkdir(mode=0o711)
        with environment.open(workdir) as sandbox:
            prove(sandbox, timeout)
    except Unavailable as error:
        return Finding("environment", environment.name, "SKIP", error.reason, error.remedy)
    except IsobenchError as error:
        return Finding("environment", environment.name, "FAIL", error.reason, error.remedy)
    except OSError as error:
        return Finding("environment", environment.name, "FAIL", str(error))
    return Finding("environment", environment.name, "PASS")


def check_noise() -> Iterator[Finding]:
    """What is known to disturb measurements, from the host's facts. `pyperf system tune` is offered, never run."""
    facts = host.facts()
    tune = "python -m pyperf system tune"
    if facts.get("governor", "performance") != "performance":
        yield Finding("noise", "governor", "WARN", f"the CPU governor is {facts['governor']}", tune)
    if facts.get("turbo") == "on":
        yield Finding("noise", "turbo", "WARN", "turbo makes the clock depend on the load", tune)
    if facts.get("smt") == "1":
        yield Finding(
            "noise", "smt", "WARN", "sibling threads share their core", "echo off > /sys/devices/system/cpu/smt/control"
        )
    if facts.get("swap", "0.0 GiB") != "0.0 GiB":
        yield Finding("noise", "swap", "WARN", f"{facts['swap']} of swap are on", "swapoff -a")
    if facts.get("ksm") == "on":
        yield Finding("noise", "ksm", "WARN", "KSM merges the guests' pages", "echo 0 > /sys/kernel/mm/ksm/run")
    if facts.get("thp") == "always":
        yield Finding(
            "noise",
            "thp",
            "WARN",
            "huge pages come and go by themselves",
            "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled",
        )
    if "virtual" in facts.get("virtual", ""):
        yield Finding(
            "noise", "host", "WARN", f"this host is itself a {facts['virtual']}: use ratios, not absolute figures"
        )
    load = float(facts.get("load", "0").split()[0])
    if load > 0.5:
        yield Finding("noise", "load", "WARN", f"the load is {load:g}", "stop what else runs")


def check_tools() -> Iterator[Finding]:
    """The tools in use, by where they are."""
    for tool in TOOLS:
        path = shutil.which(tool)
        yield Finding("tool", tool, "PASS" if path else "SKIP", path or "not installed")


def check_leftovers() -> Iterator[Finding]:
    """What dead runs left behind."""
    for name in lifecycle.dead_runs():
        yield Finding("leftover", name, "WARN", "a dead run left something behind", "isobench clean")
