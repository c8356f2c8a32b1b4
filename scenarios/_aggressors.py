"""The aggressors, Debian's stress-ng and fio: what each does, which resource it loads, and which limits contain it
(`_pressing.py` runs them)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from isobench.contracts.capabilities import Capability
from isobench.host.counters import Counter

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE = 128
"""MiB of the largest file that an aggressor writes."""


class Aggressor(NamedTuple):
    """One kind of noisy neighbour."""

    name: str
    does: str
    """What it does, in words."""
    words: tuple[str, ...]
    """The options of stress-ng, or of fio, that make it. CPUS is how many CPUs there are, and WORKERS the same up to a
    few."""
    presses: frozenset[Counter]
    """The interference counters that it drives."""
    limits: Mapping[str, int] = {}
    """Its limits (`Limits`), in addition to those that all aggressors have."""
    needs: frozenset[Capability] = frozenset()
    """What an environment must be able to limit for these."""
    matthews: str = ""
    """Which neighbour it is in Matthews et al., Quantifying the performance isolation properties of virtualization
    systems (2007)."""

    @property
    def is_fio(self) -> bool:
        return self.words[0].startswith("--name=")


_WRITES = {"write_bytes": 4 << 20}
_CPU = frozenset({Counter.PSI_CPU})
_FORKS = _CPU | {Counter.STOOD_STILL}
"""On two CPUs so many new processes also keep the harness waiting, some tenths of a second at a time."""
_DISK = frozenset({Counter.PSI_CPU, Counter.PSI_IO})
_NETWORK = frozenset({Counter.PSI_CPU, Counter.INTERRUPTS})

AGGRESSORS = (
    Aggressor("cpu", "computes on all CPUs", ("--cpu", "CPUS"), _CPU, matthews="CPU hog"),
    Aggressor(
        "memory",
        "copies memory as fast as it can",
        ("--stream", "WORKERS", "--stream-l3-size", "4m"),
        _CPU,
        matthews="memory hog",
    ),
    Aggressor(
        "cache",
        f"reads and writes a file of {FILE} MiB at random through the page cache",
        ("--name=cache", "--rw=randrw", "--bs=64k", f"--size={FILE}m"),
        _DISK,
        _WRITES,
        frozenset({Capability.LIMIT_DISK}),
    ),
    Aggressor(
        "fork",
        "forks children without end, up to 256 at a time",
        ("--fork", "4", "--fork-max", "64"),
        _FORKS,
        {"processes": 64},
        frozenset({Capability.LIMIT_PROCESSES}),
        "fork bomb",
    ),
    Aggressor(
        "fsync",
        "writes 4 KiB and brings them to the disk, two at a time",
        ("--name=fsync", "--rw=randwrite", "--bs=4k", "--fsync=1", "--size=16m", "--numjobs=2"),
        _DISK,
        _WRITES,
        frozenset({Capability.LIMIT_DISK}),
        "disk",
    ),
    Aggressor(
        "dentry",
        "makes, looks up and removes files by the thousand",
        ("--dentry", "2", "--dentries", "2048"),
        _DISK,
        _WRITES,
        frozenset({Capability.LIMIT_DISK}),
    ),
    Aggressor(
        "udp",
        "sends datagrams over its loopback and receives them",
        ("--udp", "1", "--udp-if", "lo"),
        _NETWORK,
        matthews="network sender",
    ),
    Aggressor(
        "tcp",
        "receives a stream over its loopback and sends it",
        ("--sock", "1", "--sock-if", "lo"),
        _NETWORK,
        matthews="network receiver",
    ),
)
