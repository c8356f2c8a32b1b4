"""Disks of virtual machines: what one more instance of the same files takes, if its disk is a copy, a copy that shares
its blocks (reflink), or a qcow2 with a backing file.

The files are those of kinds of images (`isobench.scenarios.image`), on one raw disk from which the others are made. As
with images, each kind and way is a scenario, so that they follow each other in random order within a block, and all
costs are absolute.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from isobench.contracts.capabilities import Capability, Lack, MakesDisks
from isobench.contracts.disks import DISK_KINDS, WAYS
from isobench.contracts.image_kinds import KINDS
from isobench.contracts.launch import of_disk
from isobench.core.errors import IsobenchError, MeasurementError
from isobench.core.model import Metric, start_seconds
from isobench.host.counters import Counter
from isobench.processes.programs import find

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from isobench.contracts.disks import Disk, Disks
    from isobench.contracts.environment import Instance, Sandbox
    from isobench.contracts.scenario import Scenario

INSTANCES = 10
"""How many disks there are at once."""

_METRICS = (
    Metric("first-byte", "second", "making the tenth disk, and starting a guest that has it as its root"),
    Metric("make", "second", "making the first disk, without waiting until it is written back"),
    Metric("make-tenth", "second", "making the tenth, while the nine others are there"),
    Metric("start", "second", "from the request for a guest with the tenth to the first byte of the program on it"),
    Metric("remove", "second", "removing the tenth"),
    Metric("disk", "byte", "what the tenth alone takes on the disk before its guest starts", "zero"),
    Metric("disk-used", "byte", "the same after its guest has ended", "zero"),
)


class OwnDisk:
    """Disks with the files of one kind of image (bench/images/kinds.py), made in one way."""

    needs = frozenset({Capability.PROBE, Capability.DISKS})
    groups = frozenset({"image", "disk"})
    metrics = _METRICS
    typical_seconds = 5.0
    expected_interference = frozenset({Counter.PSI_CPU, Counter.PSI_IO})
    """Copying waits for the disk, and writeback for CPUs."""

    def __init__(self, kind: str, way: str) -> None:
        self.name = f"disk-{kind}-{way}"
        self.title = f"Disk: {KINDS[kind]}, {WAYS[way]}"
        self.kind = kind
        self.way = way

    def lacks(self) -> Lack | None:
        """Checks the file system, the tool, and the files, which it makes."""
        from isobench.filesystem.paths import work_root
        from isobench.guests.disk import why_no_reflink
        from isobench.images.kinds import root_of_kind

        if self.way == "reflink" and (reason := why_no_reflink(work_root())):
            return Lack(reason, "set ISOBENCH_WORK to a folder on XFS or Btrfs")
        if self.way == "qcow2" and find("qemu-img") is None:
            return Lack("qemu-img is not installed", "apt-get install qemu-utils")
        try:
            root_of_kind(self.kind)
        except IsobenchError as error:
            return Lack(error.reason, error.remedy)
        return None

    def facts(self, sandbox: Sandbox) -> Mapping[str, str]:
        """The files, the command, and what the disk takes from which the others are made."""
        from isobench.guests.disk import command_of
        from isobench.images.kinds import made_of

        found = self._source(_disks(sandbox)).stat()
        return {
            "made-of": made_of(self.kind),
            "command": command_of(self.way),
            "source": str(found.st_blocks * 512),
            "size": str(found.st_size),
        }

    def measure(self, sandbox: Sandbox) -> Mapping[str, float]:
        disks = _disks(sandbox)
        source = self._source(disks)
        disks.clear()
        try:
            seconds, last = self._make_all(disks, source)
            values = {"make": seconds[0], "make-tenth": seconds[-1], **_own("disk", disks, last)}
            with sandbox.launch(of_disk(last)) as instance:
                _check(instance)
                instance.wait()
            values["start"] = start_seconds(instance.events)
            values["first-byte"] = values["make-tenth"] + values["start"]
            values |= _own("disk-used", disks, last)
            began = time.monotonic()
            disks.remove(last)
            return {**values, "remove": time.monotonic() - began}
        finally:
            with suppress(OSError):  # the next cell reports it
                disks.clear()

    def _source(self, disks: Disks) -> Path:
        from isobench.images.kinds import root_of_kind

        return disks.source(root_of_kind(self.kind))

    def _make_all(self, disks: Disks, source: Path) -> tuple[list[float], Disk]:
        """The seconds that each disk took, and the last one."""
        seconds = []
        for _ in range(INSTANCES):
            began = time.monotonic()
            last = disks.make(source, self.way)
            seconds.append(time.monotonic() - began)
        return seconds, last


def _disks(sandbox: Sandbox) -> Disks:
    if not isinstance(sandbox, MakesDisks):
        raise MeasurementError("its sandbox makes no disks")
    return sandbox.disks()


def _own(metric: str, disks: Disks, disk: Disk) -> dict[str, float]:
    taken = disks.own_bytes(disk)
    return {} if taken is None else {metric: float(taken)}


def _check(instance: Instance) -> None:
    """Raise `MeasurementError` if it was not the program on the disk that sent the first byte."""
    said = instance.stdout.readline(400)
    if said.strip() != b"ready":
        raise MeasurementError(f"the guest did not run the program on its disk: {said.decode(errors='replace')!r}")


SCENARIOS: tuple[Scenario, ...] = tuple(OwnDisk(kind, way) for kind in DISK_KINDS for way in WAYS)
