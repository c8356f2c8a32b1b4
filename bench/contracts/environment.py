"""The three protocols between the harness and a mechanism of isolation.

An environment opens into a sandbox (slow, never timed); a sandbox launches instances (the timed path). What only some
can do is in `isobench.contracts.capabilities`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, get_args, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path
    from typing import BinaryIO

    from isobench.contracts.capabilities import Capability
    from isobench.contracts.launch import Launch
    from isobench.contracts.mechanism import Mechanism

Layer = Literal["process", "chroot", "namespace", "runtime", "engine", "vmm", "vm"]
Role = Literal["payload", "helper"]
"""Whether a process of the host is the program itself (QEMU for a guest), or serves it alone."""

LAYERS: tuple[Layer, ...] = get_args(Layer)
"""How much lies between the program and the host, from least to most: the order of the catalogue."""


@runtime_checkable
class Instance(Protocol):
    """One running program inside a sandbox. When `launch` returns it, it has sent its ready line.

    Every blocking call raises `DeadlineExceeded` at the deadline given at launch. Leaving the `with` block destroys the
    instance in any state, and stamps `gone`.
    """

    @property
    def stdin(self) -> BinaryIO:
        """What the program reads. Unbuffered."""
        ...

    @property
    def stdout(self) -> BinaryIO:
        """What the program writes, from its first byte on (including the ready line). Ends when the program ends."""
        ...

    @property
    def events(self) -> Mapping[str, int]:
        """The startup events seen so far (`isobench.core.model.EVENTS`): nanoseconds on the host's CLOCK_MONOTONIC."""
        ...

    @property
    def cpu(self) -> Mapping[str, float]:
        """CPU seconds spent on the host because of this instance, by process ("launcher", "payload", ...).

        Complete once the `with` block is left. If the mechanism cannot determine a part, its key is missing.
        """
        ...

    def host_pids(self) -> Mapping[int, Role]:
        """Every host process that exists because of this instance, and whether it is the payload or a helper."""
        ...

    def wait(self) -> int:
        """Release the program (stamps `released`), wait for its exit (stamps `exited`), return its exit status."""
        ...


@runtime_checkable
class Sandbox(Protocol):
    """An environment that has been prepared: images built, disks made."""

    def launch(self, launch: Launch, /) -> AbstractContextManager[Instance]:
        """Start the probe in a fresh instance as `launch` says; enters once its first byte has arrived.

        Raises `MeasurementError` with the last lines of its console if that fails.
        """
        ...

    def facts(self) -> Mapping[str, str]:
        """The exact configuration, for the record: versions, flags, the domain XML, paths of kernel and image."""
        ...

    def daemons(self) -> list[int]:
        """The processes that serve all instances and run even without one; none for most mechanisms."""
        ...


@runtime_checkable
class Environment(Protocol):
    """One way to run a program. Its attributes are data for `list`, for the ladder and for the report."""

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str:
        """A short name for people: "Docker, bridge network"."""
        ...

    @property
    def layer(self) -> Layer: ...
    @property
    def adds(self) -> str:
        """The one thing (or the list of things) that it has and `compared_with` does not."""
        ...

    @property
    def compared_with(self) -> str | None:
        """The rung it is compared with in the ladder; None for the baseline and for rungs that stand apart."""
        ...

    @property
    def single_factor(self) -> bool:
        """True only if it differs from `compared_with` in `adds` alone, so that the difference has a known cause."""
        ...

    @property
    def groups(self) -> frozenset[str]:
        """The sets it can be named by: "default", "ladder", "containers", "vms"; with "kinds" it stands for its kind
        in the report's short tables."""
        ...

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What it can do. A scenario that needs more does not apply here."""
        ...

    @property
    def mechanisms(self) -> tuple[Mechanism, ...]:
        """What it uses of the host, and how that is cleaned up; empty if it starts only the probe."""
        ...

    def open(self, workdir: Path) -> AbstractContextManager[Sandbox]:
        """Prepare a sandbox. `workdir` is an empty directory of its own on the host's disk, removed afterwards.

        The last two parts of `workdir` are the run's name (`isobench-<run id>`) and the environment's; everything
        made outside it (containers, images, domains, cgroups) carries the run's name. Raises `Unavailable`.
        """
        ...
