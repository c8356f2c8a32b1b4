"""What command-line runtimes have in common: the C launcher starts a tool, and the tool runs the probe."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from isobench.contracts.capabilities import Capability
from isobench.core.text import NOT_UTF8

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from isobench.contracts.capabilities import Part
    from isobench.contracts.environment import Layer, Role
    from isobench.contracts.images import Images
    from isobench.contracts.mechanism import Mechanism, Tool
    from isobench.environments.runtimes._sandbox import RuntimeSandbox


class Runtime:
    """What a runtime is (`isobench.contracts.environment.Environment`); a subclass names its driver."""

    layer: Layer = "runtime"
    capabilities = frozenset(
        {Capability.READY, Capability.PROBE, Capability.ROOTFS, Capability.COMMAND, Capability.LIMIT_NETWORK}
    )
    single_factor = False
    tool: Tool
    """The program that starts an instance."""
    mechanisms: tuple[Mechanism, ...]
    runs_in_work = True
    """Whether the probe runs from the root file system in the work folder, not from the tool's own storage."""
    refused = NOT_UTF8
    """Matches characters of a path that the tool's configuration or command line cannot express."""
    own_network = True
    """Whether its instances get a network namespace, whose end has to be awaited."""

    def __init__(
        self, name: str, title: str, adds: str, compared_with: str | None, groups: tuple[str, ...] = ("containers",)
    ) -> None:
        self.name = name
        self.title = title
        self.adds = adds
        self.compared_with = compared_with
        self.groups = frozenset(groups)

    def driver(self) -> Driver:
        """How its instances are run."""
        raise TypeError(f"{type(self).__name__} has no driver")

    @contextmanager
    def open(self, workdir: Path) -> Iterator[RuntimeSandbox]:
        from isobench.environments.runtimes._sandbox import opened

        with opened(self, self.driver(), workdir) as sandbox:
            yield sandbox


class Driver:
    """How a runtime's instances are run; a subclass defines their command line."""

    def require(self) -> None:
        """Raise `Unavailable` if something besides the tool is missing. Called before anything is created."""

    def prepare(self, sandbox: RuntimeSandbox) -> None:
        """Create what the runtime needs besides the root file system in `sandbox.root`; untimed."""

    def take(self, sandbox: RuntimeSandbox, archive: Path) -> None:
        """Unpack this archive as the root file system `sandbox.root`, fresh for one instance; untimed."""
        sandbox.root = sandbox.unpacked.fresh(archive)

    def images(self, sandbox: RuntimeSandbox) -> Images:
        """The images of a runtime with `Capability.IMAGES`."""
        raise TypeError(f"{type(self).__name__} keeps no images")

    def command(self, sandbox: RuntimeSandbox, name: str, probe_args: tuple[str, ...]) -> list[str]:
        """The command line of one instance."""
        raise TypeError(f"{type(self).__name__} does not define its command line")

    def environ(self, sandbox: RuntimeSandbox) -> Mapping[str, str]:
        """The tool's variables besides PATH; most need none."""
        return {}

    def started_in(self, sandbox: RuntimeSandbox, name: str) -> AbstractContextManager[Sequence[Path]]:
        """The cgroups in which an instance is started; none for the harness's own."""
        return nullcontext(())

    def facts(self, sandbox: RuntimeSandbox) -> Mapping[str, str]:
        """Facts about its instances on this host."""
        return {}

    def dispose(self, sandbox: RuntimeSandbox) -> None:
        """Undo what `prepare` did outside the work folder."""

    def destroy(self, sandbox: RuntimeSandbox, name: str) -> None:
        """Remove what an instance that did not exit by itself has left outside its launcher's descendants."""

    def elsewhere(self, name: str) -> Mapping[int, Role]:
        """The processes that a daemon started for an instance; most runtimes start everything themselves."""
        return {}

    def unseen(self) -> Mapping[Part, str]:
        """The parts of its instances that cannot be observed (`isobench.contracts.capabilities.HasBlindSpots`); most
        runtimes' processes are descendants of this one."""
        return {}

    def engine(self) -> list[int]:
        """The daemons that work for every instance; their CPU time counts."""
        return []
