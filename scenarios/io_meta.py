"""Metadata: many small files on the environment's own storage, and files of the root file system.

A sample is the median of one instance's batches, as with system calls. ext4 does not reuse an inode that was deleted
within the last minutes, and skips each of them: creating a file took 20 µs on a fresh part of the disk, and 160 µs
where earlier instances had created and deleted some thousand. So the probe sets the flag for top-level folders, which
puts its folders on another part of the disk each time; `facts` says whether that worked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from isobench.contracts.answers import answers, at_least, median, text, times
from isobench.contracts.capabilities import Capability
from isobench.contracts.launch import working
from isobench.core.model import Metric
from isobench.host.counters import Counter

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from isobench.contracts.environment import Sandbox
    from isobench.contracts.scenario import Scenario

META = {
    "create": "creating a file of 1 KiB",
    "stat": "reading the attributes of one of many small files by its path",
    "rename": "renaming a file within its folder",
    "unlink": "removing a small file",
    "unpack": "unpacking one entry of a tree of 16 folders and 128 files of up to 16 KiB, each with its mode and times",
    "unpack-sync": "unpacking one entry of such a tree, and its share of bringing all of it to the disk",
    "lower-stat": "reading the attributes of a file of the root file system (overlay: of its lower layer)",
    "lower-read": "opening, reading and closing a file of the root file system (overlay: of its lower layer)",
}
"""The probe's operations (bench/probe/files.c)."""

FEWEST = "10"
"""Files that the probe creates if only the facts are needed."""

SIZES = {"1k": "1 KiB", "1m": "1 MiB", "100m": "100 MiB"}
COPY_UP = {
    **{f"copy-up-{size}": f"the first write of 1 byte to an existing file of {words}" for size, words in SIZES.items()},
    **{f"again-{size}": f"the second write of 1 byte to the file of {words}" for size, words in SIZES.items()},
}
"""Each from opening the file to having closed it; the file is in the page cache."""


class Meta:
    """Many small files (`isobench.contracts.scenario.Scenario`). Opt-in."""

    name = "io-meta"
    title = "Metadata"
    needs = frozenset({Capability.PROBE, Capability.ROOTFS})
    groups: frozenset[str] = frozenset()
    expected_interference = frozenset({Counter.PSI_IO})
    metrics = tuple(Metric(name, "second", meaning) for name, meaning in META.items())

    def measure(self, sandbox: Sandbox) -> Mapping[str, float]:
        with sandbox.launch(working("meta", disk=True)) as instance:
            return _medians(at_least(2, answers(instance))[1:], META)

    def facts(self, sandbox: Sandbox) -> Mapping[str, str]:
        """The file system, and whether each instance's folders are put on another part of it."""
        with sandbox.launch(working("meta", FEWEST, disk=True)) as instance:
            said = at_least(1, answers(instance))[0]
        return {"folders": f"{text(said, 'folders')} (file system {text(said, 'file system')})"}


class CopyUp:
    """The first write to files of the lower layer, by their size (`isobench.contracts.scenario.Scenario`). Opt-in."""

    name = "io-copy-up"
    title = "Copy-up"
    needs = frozenset({Capability.PROBE, Capability.LOWER})
    groups: frozenset[str] = frozenset()
    expected_interference = frozenset({Counter.PSI_IO})  # the copy is written to the disk
    metrics = tuple(Metric(name, "second", meaning) for name, meaning in COPY_UP.items())

    def measure(self, sandbox: Sandbox) -> Mapping[str, float]:
        with sandbox.launch(working("copyup", disk=True, lower=True)) as instance:
            return _medians(at_least(1, answers(instance)), COPY_UP)


def _medians(said: Iterable[Mapping[str, Any]], known: Mapping[str, str]) -> dict[str, float]:
    values: dict[str, float] = {}
    for answer in said:
        name, batches = times(answer, known)
        values[name] = median(batches) / 1e9
    return values


SCENARIOS: tuple[Scenario, ...] = (Meta(), CopyUp())
