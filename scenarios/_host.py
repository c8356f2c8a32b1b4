"""What a program in an instance makes the host's kernel do: the system calls and the kernel functions that the host
executes for it while it does a fixed piece of work (bench/probe/exercise.c).

For an instance with a kernel of its own (a guest, gVisor), these are the calls that this kernel or its VMM makes. The
processes of the instance are recorded: the program, and those that serve it alone. Shared daemons and kernel threads
are not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from isobench.contracts.answers import first_answer, whole
from isobench.contracts.launch import working
from isobench.core.errors import MeasurementError, ProbeError, Unavailable
from isobench.host import tracing
from isobench.images import seccomp
from isobench.scenarios.limits import go_on

if TYPE_CHECKING:
    from collections.abc import Iterable

    from isobench.contracts.environment import Sandbox

TIMES = 3
"""Repetitions of each operation: enough to include what only the first does, and what the others do."""


def facts(sandbox: Sandbox) -> dict[str, str]:
    """The number of different system calls, their names, and the number of different kernel functions; or why they are
    unknown."""
    found = {}
    for fact, kind in (("host_calls", tracing.CALLS), ("host_functions", tracing.FUNCTIONS)):
        try:
            names, is_cut, missing = _recorded(sandbox, kind)
        except (MeasurementError, Unavailable) as error:  # the other facts must not be lost
            found[f"{fact}.unknown"] = error.reason
            continue
        found[fact] = f"{'at least ' if is_cut else ''}{len(names)}"
        if kind is tracing.CALLS:
            found[f"{fact}.names"] = ", ".join(sorted(_named(names))) or "none"
            found["host_work.missing"] = ", ".join(missing) or "none"
    return found


def _recorded(sandbox: Sandbox, kind: tracing.Kind) -> tuple[frozenset[str], bool, list[str]]:
    """In a fresh instance: the recorded names, whether events were lost, and the operations that are impossible
    there."""
    with sandbox.launch(working("exercise", str(TIMES), disk=True)) as instance:
        with tracing.recording(kind, instance.host_pids()) as recording:
            go_on(instance)
            answer = first_answer(instance.stdout)
            names, is_cut = recording.found()
        instance.wait()
    missing = answer.get("missing")
    if not isinstance(missing, list) or not whole(answer, "done"):
        raise ProbeError("the probe did not say what it has done")
    return names, is_cut, list(map(str, missing))


def _named(numbers: Iterable[str]) -> list[str]:
    """The names of system calls; the number of one without a name."""
    known = seccomp.names()
    return [known.get(int(number), number) for number in numbers]
