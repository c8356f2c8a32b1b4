"""Containers of an engine that was started for their sandbox, whose processes are therefore known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isobench.environments.docker._container import DockerInstance
from isobench.environments.docker._sandbox import DockerSandbox
from isobench.processes.accounting import descendants, process_name

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from isobench.contracts.capabilities import Part
    from isobench.environments.docker.engine import Docker


class OwnSandbox(DockerSandbox):
    """Images and containers of an engine of the sandbox's own."""

    engine_names: tuple[str, ...] = ("dockerd", "containerd")
    """The names of the engine's processes."""

    def __init__(self, client: Any, environment: Docker, workdir: Path, engine: int) -> None:
        """`engine` is the engine's process, from which its other ones descend."""
        self._pid = engine
        self.run = workdir.parent.name
        super().__init__(client, environment, workdir)

    def daemons(self) -> list[int]:
        return [pid for pid in (self._pid, *descendants(self._pid)) if process_name(pid) in self.engine_names]

    def hidden(self) -> dict[Part, str]:
        return {}  # we started them, as root

    def instance(self, name: str, timeout: float, *, watch_end: bool) -> DockerInstance:
        return OwnInstance(self, self._client, name, timeout, watch_end=watch_end)


class OwnInstance(DockerInstance):
    """A container of such an engine."""

    def __init__(self, sandbox: OwnSandbox, client: Any, name: str, timeout: float, *, watch_end: bool) -> None:
        self._sandbox = sandbox
        super().__init__(client, name, timeout, watch_end=watch_end)

    def engine(self) -> list[int]:
        return self._sandbox.daemons()
