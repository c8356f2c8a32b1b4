"""What some sandboxes, instances and scenarios can do and others cannot, a small protocol each.

Whoever wants to know asks by `isinstance`, never by name. A class has a capability by having its members; there is
nothing to inherit from. What is asked for is never asked for between `requested` and `gone` of an instance.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from isobench.contracts.environment import Sandbox
    from isobench.host.counters import Counter


class Capability(StrEnum):
    """What an environment can do (`Environment.capabilities`). A scenario that needs more does not apply there."""

    READY = "ready"
    """Every environment: it can say the ready line. A null kernel can do nothing else."""
    PROBE = "probe"
    """The probe itself runs, with all its verbs."""
    ROOTFS = "rootfs"
    """The shared root file system (with fio inside) and storage of the environment's own are there."""
    LOWER = "lower"
    """Files of known sizes come with the environment's storage (bench/images/lower.py), for the verb `copyup`."""


class Part(StrEnum):
    """What of an instance may be out of sight."""

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


class Lack(NamedTuple):
    """Why this host as a whole cannot take a scenario, and what mends that."""

    reason: str
    remedy: str = ""


@runtime_checkable
class GivesMemory(Protocol):
    """A sandbox whose instances have memory of their own (guests); an instance of another has what its host has."""

    @property
    def memory_bytes(self) -> int:
        """What each is given."""
        ...


@runtime_checkable
class PublishesPort(Protocol):
    """A sandbox whose instances are reached through ports of the host's loopback (`HasPublished`)."""

    @property
    def published_port(self) -> int:
        """Where a server in the instance has to listen, over TCP and UDP."""
        ...


@runtime_checkable
class HasBlindSpots(Protocol):
    """A sandbox of whose instances something is out of sight."""

    def unseen(self) -> Mapping[Part, str]:
        """What, each with the reason; it may become known only once an instance has run."""
        ...


@runtime_checkable
class HasPublished(Protocol):
    """An instance of a sandbox that publishes a port."""

    def published(self) -> Mapping[str, int]:
        """The ports of 127.0.0.1 by protocol ("tcp", "udp")."""
        ...


@runtime_checkable
class HasAddress(Protocol):
    """An instance that the host reaches at an IPv4 address of its own, and at no other."""

    @property
    def address(self) -> str: ...


@runtime_checkable
class HasHarness(Protocol):
    """An instance beside which the harness keeps processes: in the host's memory, and no cost of isolation."""

    def harness_pids(self) -> list[int]: ...


@runtime_checkable
class HasSteps(Protocol):
    """An instance that knows what the parts of its start took."""

    @property
    def steps(self) -> Mapping[str, float]:
        """Seconds by the name of a metric of `startup` that begins with `step-`."""
        ...


@runtime_checkable
class TellsFacts(Protocol):
    """A scenario that has something to say of each environment, untimed, once a run."""

    def facts(self, sandbox: Sandbox) -> Mapping[str, str]:
        """Texts by name, kept with the environment's own facts under `SCENARIO.NAME`: the kernel as an instance sees
        it, operations that do not exist there and why. Raises `MeasurementError`."""
        ...


@runtime_checkable
class RestsOnParts(Protocol):
    """A scenario whose metrics cannot be taken where something of an instance is out of sight."""

    @property
    def sees(self) -> Mapping[Part, tuple[str, ...]]:
        """The metrics that rest on a part, by patterns as in fnmatch; the runner leaves those out and says so."""
        ...


@runtime_checkable
class ExpectsInterference(Protocol):
    """A scenario that drives interference counters by itself; its cells do not mark a block for those."""

    @property
    def expected_interference(self) -> frozenset[Counter]: ...


@runtime_checkable
class LacksSomething(Protocol):
    """A scenario that wants something of the host as a whole: what one needs costs no other."""

    def lacks(self) -> Lack | None:
        """Why this host cannot take it; None where it can."""
        ...


@runtime_checkable
class TakesTime(Protocol):
    """A scenario that knows about how long it works, for the estimate before a host has measured it."""

    @property
    def typical_seconds(self) -> float:
        """Seconds of one sample on a small machine, launching left out."""
        ...


OF_SANDBOXES = ("memory_bytes", "published_port", "unseen")
"""The members of the capabilities that a sandbox may have: what stands between has to pass them on."""
