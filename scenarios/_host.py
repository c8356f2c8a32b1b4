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


def calls(sandbox: Sandbox) -> dict[str, str]:
    """The number of different system calls, their names, and the operations that are impossible there; or why they are
    unknown."""
    try:
        names, is_cut, missing = _recorded(sandbox, tracing.CALLS)
    except (MeasurementError, Unavailable) as error:  # the other facts must not be lost
        return {"host_calls.unknown": error.reason}
    return {
        "host_calls": _number(names, is_cut),
        "host_calls.names": ", ".join(sorted(_named(names))) or "none",
        "host_work.missing": ", ".join(missing) or "none",
    }


def functions(sandbox: Sandbox) -> dict[str, str]:
    """The number of different kernel functions. Raises `Unavailable` if they cannot be traced."""
    names, is_cut, _ = _recorded(sandbox, tracing.FUNCTIONS)
    return {"functions": _number(names, is_cut)}


def _number(names: frozenset[str], is_cut: bool) -> str:
    return f"{'at least ' if is_cut else ''}{len(names)}"


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
