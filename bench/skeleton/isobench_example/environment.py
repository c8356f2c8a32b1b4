"""An environment: one way to run a program. This one runs it at a lower priority, with the nice command."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from isobench.api import Capability, Environment, Mechanism, Tool, Unavailable, launched, probe_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from isobench.api import Launch, LaunchedInstance, Layer

# For doctor, provision and clean. A mechanism that creates anything outside the launcher also needs a `sweep`.
_NICE = Tool("nice", ("coreutils",))
_MECHANISM = Mechanism("nice", programs=("nice",), tools=(_NICE,), needs=(_NICE.need("example"),))


class ExampleEnvironment:
    """Data for `isobench list`, for the ladder and for the report."""

    name = "example"
    title = "raw process, nice 5"
    layer: Layer = "process"
    adds = "the nice command"
    compared_with: str | None = "process"
    single_factor = True
    """Only if `adds` is the one difference from `compared_with`: the report then names it as the cause."""
    groups = frozenset({"ladder"})
    capabilities = frozenset({Capability.READY, Capability.PROBE})
    mechanisms = (_MECHANISM,)

    @contextmanager
    def open(self, workdir: Path) -> Iterator[ExampleSandbox]:
        """Slow, and never timed. `workdir` is an empty folder, removed afterwards. Anything created elsewhere must
        carry the run's name, which is the name of the folder's parent."""
        nice = shutil.which("nice")
        if nice is None:
            raise Unavailable("nice is not installed", remedy=_NICE.remedy)
        yield ExampleSandbox(nice)


class ExampleSandbox:
    """What all instances have in common."""

    def __init__(self, nice: str) -> None:
        self._command = [nice, "-n", "5", str(probe_path())]

    def facts(self) -> Mapping[str, str]:
        """The exact configuration, for the record."""
        return {"command": " ".join(self._command[:3])}

    def daemons(self) -> list[int]:
        """The processes that serve all instances and run even without one."""
        return []

    def launch(self, launch: Launch, /) -> AbstractContextManager[LaunchedInstance]:
        """The timed path. The C launcher starts any mechanism that is a command in front of a command."""
        return launched([*self._command, *launch.arguments], timeout=launch.timeout)


ENVIRONMENTS: tuple[Environment, ...] = (ExampleEnvironment(),)
