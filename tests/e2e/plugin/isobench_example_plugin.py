"""What a third party writes to add an environment: one module, one entry point."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from isobench.contracts.capabilities import Capability
from isobench.contracts.mechanism import Mechanism, Tool

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from isobench.contracts.environment import Layer
    from isobench.contracts.launch import Launch
    from isobench.probe.launcher import Launched


class Niced:
    """The probe at the lowest priority."""

    name = "niced"
    title = "raw process, nice 19"
    layer: Layer = "process"
    adds = "the nice command"
    compared_with: str | None = "process"
    single_factor = True
    groups = frozenset({"ladder"})
    capabilities = frozenset({Capability.READY, Capability.PROBE})
    mechanisms = (Mechanism("nice", programs=("nice",), tools=(Tool("nice", ("coreutils",)),)),)

    @contextmanager
    def open(self, workdir: Path) -> Iterator[NicedSandbox]:
        yield NicedSandbox()


class NicedSandbox:
    """Nothing to prepare."""

    def facts(self) -> Mapping[str, str]:
        return {"command": "nice -n 19"}

    def daemons(self) -> list[int]:
        return []

    def launch(self, launch: Launch) -> AbstractContextManager[Launched]:
        from isobench.probe.build import probe_path
        from isobench.probe.launcher import launched

        return launched(["/usr/bin/nice", "-n", "19", str(probe_path()), *launch.arguments], timeout=launch.timeout)


ENVIRONMENTS = (Niced(),)
