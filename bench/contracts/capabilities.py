"""Optional capabilities of environments, sandboxes, instances and scenarios: one small protocol each.

Test for a capability with `isinstance`, never by name. A class has a capability if it has the members; there is nothing
to inherit from. They are never called within a timed interval of an instance.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from isobench.contracts.disks import Disks
    from isobench.contracts.environment import Sandbox
    from isobench.contracts.images import Images
    from isobench.host.counters import Counter
    from isobench.resources.use import Use


class Capability(StrEnum):
    """What an environment can do (`Environment.capabilities`). A scenario that needs more does not apply there."""

    READY = "ready"
    """It can send the ready line, as every environment can. A null kernel can do nothing else."""
    PROBE = "probe"
    """The probe itself runs, with all its verbs."""
    ROOTFS = "rootfs"
    """It has the shared root file system (which contains fio) and storage of its own."""
    LOWER = "lower"
    """Files of known sizes come with the environment's storage (bench/images/lower.py), for the verb `copyup`."""
    COMMAND = "command"
    """It runs commands in a given root file system (`Launch.root`), for the verb `run`."""
    IMAGES = "images"
    """Its engine keeps images, which it fetches from a registry (`isobench.contracts.images`, `Launch.image`)."""
    SIGNED_IMAGES = "signed-images"
    """Its engine verifies the signature of an image before it uses it, if its policy demands that."""
    DISKS = "disks"
    """Its instances can have a given disk as their root (`isobench.contracts.disks`, `Launch.disk`)."""
    LIMIT_CPU = "limit-cpu"
    """It limits the CPU time of an instance (`Limits.cpu_percent`)."""
    CPU_WEIGHT = "cpu-weight"
    """It sets the weight of an instance that competes for a CPU (`Limits.cpu_weight`)."""
    LIMIT_MEMORY = "limit-memory"
    """It limits the memory of an instance (`Launch.memory_bytes`)."""
    LIMIT_PROCESSES = "limit-processes"
    """It limits the processes of an instance (`Limits.processes`)."""
    LIMIT_FILES = "limit-files"
    """It limits the open files of an instance (`Limits.open_files`)."""
    LIMIT_DISK = "limit-disk"
    """It limits what an instance reads from and writes to the disk (`Limits.read_bytes` and the three after it)."""
    LIMIT_NETWORK = "limit-network"
    """The rate at which an instance receives from the host can be limited: on the veth pair of its own network
    namespace, or by the environment (`Limits.receive_bytes`)."""


OF_A_CGROUP = frozenset(
    {
        Capability.LIMIT_CPU,
        Capability.CPU_WEIGHT,
        Capability.LIMIT_MEMORY,
        Capability.LIMIT_PROCESSES,
        Capability.LIMIT_DISK,
    }
)
"""The limits that a cgroup sets; open files are limited by the process's own resource limit."""


class Part(StrEnum):
    """A part of an instance that may be impossible to observe."""

    PROCESSES = "processes"
    """Its processes on the host."""
    MEMORY = "memory"
    """Their memory."""
    DAEMONS = "daemons"
    """The daemons that serve it."""
    END = "end"
    """The end of its network namespace."""
    KERNEL = "kernel"
    """The kernel's threads, which some hosts hide, as from a container."""


SERVER_PORT = 7001
"""Where the server listens in the instances of isobench's own environments that publish a port, over TCP and UDP."""


class Lack(NamedTuple):
    """Why this host cannot run a scenario as a whole, or in one environment; and the remedy."""

    reason: str
    remedy: str = ""


@runtime_checkable
class TellsWhyNot(Protocol):
    """An environment that lacks a capability for a reason of its own, on some hosts or on all."""

    def why_without(self, capability: Capability) -> Lack | None:
        """Why it lacks a capability here; None if it has it, or for the general reason."""
        ...


@runtime_checkable
class GivesMemory(Protocol):
    """A sandbox whose instances have their own memory (guests); other instances use the host's."""

    @property
    def memory_bytes(self) -> int:
        """The memory of each instance."""
        ...


@runtime_checkable
class PublishesPort(Protocol):
    """A sandbox whose instances are reached through ports of the host's loopback (`HasPublished`)."""

    @property
    def published_port(self) -> int:
        """Where a server in the instance has to listen, over TCP and UDP."""
        ...


@runtime_checkable
class KeepsImages(Protocol):
    """A sandbox that can start instances of an image in its engine (`Capability.IMAGES`, `Launch.image`)."""

    def images(self) -> Images: ...


@runtime_checkable
class MakesDisks(Protocol):
    """A sandbox whose instances can have a given disk as their root (`Capability.DISKS`, `Launch.disk`)."""

    def disks(self) -> Disks: ...


@runtime_checkable
class WritesElsewhere(Protocol):
    """A sandbox whose instances write outside its work folder, as in the data folder of an engine."""

    def written_to(self) -> Path:
        """The folder of the host. It is not there if the engine has a file system of its own."""
        ...


@runtime_checkable
class HasBlindSpots(Protocol):
    """A sandbox some parts of whose instances cannot be observed."""

    def unseen(self) -> Mapping[Part, str]:
        """These parts, each with the reason. They may become known only once an instance has run."""
        ...


@runtime_checkable
class HasPublished(Protocol):
    """An instance of a sandbox that publishes a port."""

    def published(self) -> Mapping[str, int]:
        """The ports of 127.0.0.1 by protocol ("tcp", "udp")."""
        ...


@runtime_checkable
class HasAddress(Protocol):
    """An instance that the host reaches only at an IPv4 address of its own."""

    @property
    def address(self) -> str: ...


@runtime_checkable
class HasHarness(Protocol):
    """An instance for which the harness keeps processes: they use the host's memory, but are no cost of isolation."""

    def harness_pids(self) -> list[int]: ...


@runtime_checkable
class HasSteps(Protocol):
    """An instance that knows how long the steps of its start took."""

    @property
    def steps(self) -> Mapping[str, float]:
        """Seconds by the name of a metric of `startup` that begins with `step-`."""
        ...


@runtime_checkable
class TellsUse(Protocol):
    """An instance whose mechanism reports how much of the host it uses, as to a monitoring tool."""

    @property
    def use_told_by(self) -> str:
        """The source of the report, for the record: files of a cgroup, an engine's API."""
        ...

    def use(self) -> Use:
        """CPU time so far, and memory now. Raises `MeasurementError`."""
        ...


@runtime_checkable
class TellsFacts(Protocol):
    """A scenario that reports facts of each environment, untimed, once per run."""

    def facts(self, sandbox: Sandbox) -> Mapping[str, str]:
        """Texts by name, stored with the environment's own facts as `SCENARIO.NAME`: the kernel as an instance sees it,
        operations that do not exist there and why. Raises `MeasurementError`."""
        ...


@runtime_checkable
class RestsOnParts(Protocol):
    """A scenario with metrics that cannot be taken if some part of an instance cannot be observed."""

    @property
    def sees(self) -> Mapping[Part, tuple[str, ...]]:
        """The metrics that depend on each part, as patterns (fnmatch); the runner omits them and says so."""
        ...


@runtime_checkable
class ExpectsInterference(Protocol):
    """A scenario that drives interference counters itself; its cells do not mark a block for those counters."""

    @property
    def expected_interference(self) -> frozenset[Counter]: ...


@runtime_checkable
class LacksSomething(Protocol):
    """A scenario that needs something of the host as a whole; without it, other scenarios are not affected."""

    def lacks(self) -> Lack | None:
        """Why this host cannot run it; None if it can."""
        ...


@runtime_checkable
class TakesTime(Protocol):
    """A scenario that knows roughly how long it takes, for an estimate on a host that has not measured it yet."""

    @property
    def typical_seconds(self) -> float:
        """Seconds of one sample on a small machine, without launching."""
        ...


OF_SANDBOXES = ("disks", "images", "memory_bytes", "published_port", "unseen", "written_to")
"""The members of the optional capabilities of sandboxes; a wrapper has to pass them on."""
