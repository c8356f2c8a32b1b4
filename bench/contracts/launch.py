"""What an instance will do: all that `Sandbox.launch` has to know, so that no environment interprets the probe's
verb."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from isobench.core.deadlines import LIFETIME

if TYPE_CHECKING:
    from pathlib import Path

    from isobench.contracts.disks import Disk

DEFAULT_TIMEOUT = LIFETIME
"""Seconds from launch to gone if the caller gives none; a run gives what its host needs (bench/core/deadlines.py)."""


class Limits(NamedTuple):
    """What an instance may use at most, enforced by the environment's own means. 0: the environment's default. An
    environment gets only the limits that are among its capabilities; memory is `Launch.memory_bytes`."""

    cpu_percent: int = 0
    """CPU time, in percent of one CPU."""
    cpu_weight: int = 0
    """Its weight when it competes for a CPU, in percent of the default weight."""
    processes: int = 0
    """Processes and threads at the same time, the probe included."""
    open_files: int = 0
    """Descriptors that one process may have open."""
    write_bytes: int = 0
    """Bytes a second that it may write to the disk."""
    write_operations: int = 0
    """Writes a second to the disk."""
    read_bytes: int = 0
    """Bytes a second that it may read from the disk."""
    read_operations: int = 0
    """Reads a second from the disk."""
    receive_bytes: int = 0
    """Bytes a second that a guest may receive over its network card (a veth pair is limited by the harness)."""
    swap_bytes: int = 0
    """Bytes of it that may be swapped out, in addition to its memory limit."""


NO_LIMITS = Limits()


class Launch(NamedTuple):
    """A request for one instance. Made by `idle` or `working`."""

    arguments: tuple[str, ...]
    """The probe's arguments: its verb and the verb's words."""
    timeout: float = DEFAULT_TIMEOUT
    """Seconds from launch to gone."""
    is_idle: bool = False
    """It sends the ready line, does nothing, and exits when it is released."""
    needs_disk: bool = False
    """It uses the root file system or its own storage (ROOTFS). A guest has a disk only then."""
    needs_lower: bool = False
    """It uses the files of known sizes that come with the storage (LOWER)."""
    watch_end: bool = True
    """Whether its end is timed. If not, `gone` need not wait for what the kernel frees asynchronously, and the harness
    needs no process to watch that. Everything is removed in either case."""
    root: Path | None = None
    """The archive of a root file system to use instead of the shared one (bench/images/archive.py). Only environments
    with `Capability.COMMAND` get one; they unpack or import it on first use."""
    image: str = ""
    """The engine's name of an image to use instead of the shared root file system. Only environments with
    `Capability.IMAGES` get one."""
    disk: Disk | None = None
    """A disk with a root file system, whose probe is to be run instead of another one. Only environments with
    `Capability.DISKS` get one."""
    cpus: int = 0
    """How many CPUs a guest has; 0: the default."""
    memory_bytes: int = 0
    """Memory of the instance: a guest's own, or the limit of its cgroup if the environment makes one. It has no swap in
    addition unless `limits` allow some. 0: the default."""
    limits: Limits = NO_LIMITS


def idle(*, timeout: float = DEFAULT_TIMEOUT, watch_end: bool = True) -> Launch:
    """An instance that sends the ready line and waits until it is released."""
    return Launch(("ready",), timeout, is_idle=True, watch_end=watch_end)


def working(*arguments: str, disk: bool = False, lower: bool = False, timeout: float = DEFAULT_TIMEOUT) -> Launch:
    """An instance whose probe runs a verb; `disk` and `lower` say what the verb uses."""
    return Launch(arguments, timeout, needs_disk=disk, needs_lower=lower)


def of_image(image: str) -> Launch:
    """An idle instance of an image that the environment's engine has."""
    return idle()._replace(image=image)


def of_disk(disk: Disk) -> Launch:
    """An idle instance whose root file system is on this disk."""
    return idle()._replace(disk=disk)


def limited(launch: Launch, *, memory_bytes: int = 0, cpus: int = 0, **limits: int) -> Launch:
    """The same request with other limits (`Limits`), other memory or another number of CPUs."""
    return launch._replace(memory_bytes=memory_bytes, cpus=cpus, limits=Limits(**limits))


def commands(
    root: Path, *arguments: str, cpus: int = 0, memory_bytes: int = 0, timeout: float = DEFAULT_TIMEOUT
) -> Launch:
    """An instance with this root file system, in which the probe runs commands (bench/probe/run.c)."""
    return Launch(("run", *arguments), timeout, needs_disk=True, root=root, cpus=cpus, memory_bytes=memory_bytes)
