"""The exception tree. Every error that isobench raises on purpose is one of these.

Each class carries the exit code with which the command line ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def suggestion(word: str, known: Iterable[str]) -> str:
    """A suggestion for an unknown word: "; did you mean 'docker'?", or nothing."""
    import difflib

    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


class IsobenchError(Exception):
    """The root of the tree: an error that isobench anticipated. `remedy` names the next action, or is empty."""

    exit_code = 1

    def __init__(self, reason: str, *, remedy: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy
        self.document: dict[str, object] = {}
        """What `--json` prints in addition to the error: results obtained so far."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, or another signal that ends isobench, with the state that was reached (exit code 130)."""

    exit_code = 130

    def __init__(self, reason: str, *, remedy: str = "", document: dict[str, object] | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy
        self.document = document or {}


class UsageError(IsobenchError):
    """The caller asked for something that does not exist or cannot be done (exit code 2)."""

    exit_code = 2


class StoreError(UsageError):
    """A results file is missing, damaged, or of another schema version. The reason names the file (exit code 2)."""


class Unavailable(IsobenchError):
    """An environment cannot be opened or launched on this host. The run goes on without it (a skip)."""


class RequiredMissing(IsobenchError):
    """An environment named with `--require` is unavailable (exit code 4)."""

    exit_code = 4


class NothingMeasured(IsobenchError):
    """The run ended without a single sample (exit code 5)."""

    exit_code = 5


class MeasurementError(IsobenchError):
    """One cell failed: launching, the probe's work, or reading its answer. `console` holds its last lines of output."""

    def __init__(self, reason: str, *, console: str = "", remedy: str = "") -> None:
        super().__init__(reason, remedy=remedy)
        self.console = console


class DeadlineExceeded(MeasurementError):
    """A blocking step did not end within its deadline."""


class OutOfMemory(MeasurementError):
    """A process in the instance was OOM-killed."""


class ProbeError(MeasurementError):
    """The probe answered with an error or with malformed output."""


class StoppedShort(MeasurementError):
    """A cell gave some of its values and then stopped at a limit of the host. Not a failure."""

    def __init__(self, reason: str, values: Mapping[str, float]) -> None:
        super().__init__(reason)
        self.values = values


class BuildError(IsobenchError):
    """Something isobench builds for itself (the probe, a root file system, an image) could not be built."""
