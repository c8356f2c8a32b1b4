"""Opens the environments of a run and launches each once; what cannot be measured is skipped with its reason."""

from __future__ import annotations

import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, NamedTuple

from isobench.contracts import sight
from isobench.contracts.capabilities import Capability, Lack, TellsWhyNot
from isobench.contracts.launch import idle
from isobench.core import deadlines
from isobench.core.errors import MeasurementError, RequiredMissing, Unavailable
from isobench.host.reasons import reason_and_remedy
from isobench.results.record import SkipRecord

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from isobench.cells.observer import Observer
    from isobench.contracts.environment import Environment, Sandbox
    from isobench.contracts.scenario import Scenario
    from isobench.planning.plan import Request


class Opened(NamedTuple):
    """The environments that can be measured, and those that were skipped."""

    sandboxes: dict[str, Sandbox]
    seconds: dict[str, float]
    """How long each environment took to open."""
    skips: list[SkipRecord]


def open_all(request: Request, stack: ExitStack, observer: Observer) -> Opened:
    """Open every environment and launch it once; `stack` closes them. Raises `RequiredMissing`."""
    opened = Opened({}, {}, [])
    for environment in request.environments:
        observer.opening(environment.name)
        try:
            sandbox, seconds = _open(environment, request.workdir / environment.name, stack)
            opened.sandboxes[environment.name] = sandbox
            opened.seconds[environment.name] = seconds
        except Exception as error:  # even an unexpected one: the others are measured nevertheless
            skip = SkipRecord(environment.name, "", *reason_and_remedy(error))
            opened.skips.append(skip)
            observer.skipped(skip)
    missing = [skip for skip in opened.skips if skip.environment in request.required]
    if missing:
        raise RequiredMissing(f"{missing[0].environment} is required but unavailable: {missing[0].reason}")
    usable = [e for e in request.environments if e.name in opened.sandboxes]
    opened.skips.extend(_lacking(request.scenarios, usable))
    for skip in _unfit(request.scenarios, usable):
        opened.skips.append(skip)
        observer.skipped(skip)
    return opened


def _open(environment: Environment, workdir: Path, stack: ExitStack) -> tuple[Sandbox, float]:
    """Open and launch one; also returns the seconds of opening. If that fails, it is closed at once."""
    try:
        with ExitStack() as attempt:
            workdir.mkdir(mode=0o711)
            began = time.monotonic()
            sandbox = attempt.enter_context(environment.open(workdir))
            seconds = time.monotonic() - began
            smoke_test(sandbox)
            stack.push(attempt.pop_all())
        return sandbox, seconds
    except Unavailable:
        with suppress(OSError):
            workdir.rmdir()  # an empty folder means that nothing was created, so nothing has to be cleaned
        raise


def smoke_test(sandbox: Sandbox) -> None:
    """Launch the idle probe once and let it exit. Raises `MeasurementError` with the reason if that fails."""
    began = time.monotonic()
    with sandbox.launch(idle(timeout=deadlines.first())) as instance:
        status = instance.wait()
        if status != 0:  # the first byte may have been an error message
            said = instance.stdout.read(1 << 16).decode(errors="replace")
            raise MeasurementError(f"it ended with status {status} although it sent something", console=said)
    deadlines.learn_smoke_test(time.monotonic() - began)


def _lacking(scenarios: Iterable[Scenario], environments: Sequence[Environment]) -> list[SkipRecord]:
    """The cells that will be missing because the host lacks what a scenario needs."""
    missing = [(scenario, why) for scenario in scenarios if (why := sight.lacks(scenario)) is not None]
    return [SkipRecord(e.name, s.name, *why) for s, why in missing for e in environments if s.needs <= e.capabilities]


_UNFIT = {
    Capability.COMMAND: "it runs no programs but the probe",
    Capability.IMAGES: "isobench pulls no images there",
    Capability.SIGNED_IMAGES: "isobench has no signatures verified there",
    Capability.DISKS: "its instances have no disks of their own",
    Capability.LIMIT_CPU: "isobench sets no limit of CPU time there",
    Capability.CPU_WEIGHT: "isobench sets no share of a CPU there",
    Capability.LIMIT_MEMORY: "isobench sets no limit of memory there",
    Capability.LIMIT_PROCESSES: "isobench sets no limit of processes there",
    Capability.LIMIT_FILES: "isobench sets no limit of open files there",
    Capability.LIMIT_NETWORK: "it has no path from the host that could be limited",
    Capability.LIMIT_DISK: "isobench sets no limit of reads from and writes to a disk there",
}
"""The reason of a skip for each capability that a user may expect in every environment."""


def _unfit(scenarios: Iterable[Scenario], environments: Sequence[Environment]) -> list[SkipRecord]:
    """The environments that cannot do what a workload or a limit needs."""
    return [
        SkipRecord(environment.name, scenario.name, *_why_without(environment, lacking[0]))
        for scenario in scenarios
        for environment in environments
        if (lacking := [one for one in _UNFIT if one in scenario.needs and one not in environment.capabilities])
    ]


def _why_without(environment: Environment, capability: Capability) -> Lack:
    """The environment's own reason, or the general one."""
    here = environment.why_without(capability) if isinstance(environment, TellsWhyNot) else None
    return here or Lack(_UNFIT[capability])
