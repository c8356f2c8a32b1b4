"""Disks for guests by `cp` and `qemu-img` called by a shell, and their sizes by du and qemu-img, against `disk-…`.

The two sides take turns. Exits with 1 if the sizes differ, or if the interval of a ratio lies entirely outside the
band.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

from isobench.contracts.disks import DISK_KINDS, WAYS
from isobench.guests.disk import command_of, why_no_reflink
from isobench.images.kinds import root_of_kind
from isobench.lifecycle.workspace import new_run_id, workspace
from isobench.planning import catalog
from verification.crosscheck.images import compare, same, timed


def by_hand(way: str, source: Path, target: Path) -> None:
    """The recorded command in a shell, whose own start is timed separately."""
    given = {"SOURCE": str(source), "DISK": str(target)}
    words = [given.get(word, word) for word in command_of(way).split()]
    subprocess.run(["sh", "-c", shlex.join(words)], check=True)


def shell() -> None:
    """What a shell takes that does nothing; the command of `by_hand` replaces it."""
    subprocess.run(["sh", "-c", ":"], check=True)


def sizes(file: Path) -> tuple[int, int]:
    """The bytes of its blocks, by du and by qemu-img."""
    counted = subprocess.run(["du", "--block-size=1", str(file)], capture_output=True, text=True, check=True).stdout
    told = subprocess.run(["qemu-img", "info", "--output=json", str(file)], capture_output=True, check=True).stdout
    return int(counted.split()[0]), int(json.loads(told)["actual-size"])


def differences(sandbox: Any, kind: str, way: str, rounds: int) -> list[bool]:
    """Whether each quantity differs."""
    disks = sandbox.disks()
    source = disks.source(root_of_kind(kind))
    target = source.parent / "by-hand.disk"
    disk = disks.make(source, way)
    apart = []
    if way != "reflink":  # the others' blocks are all their own
        by_du, by_qemu = sizes(disk.file)
        own = disks.own_bytes(disk)
        apart += [same(f"{way}, du", own, by_du), same(f"{way}, qemu-img", own, by_qemu)]
    ours = partial(timed, partial(disks.make, source, way))
    theirs = partial(timed, partial(by_hand, way, source, target))
    apart.append(compare(f"{way}, making", disks.clear, ours, theirs, rounds, partial(timed, shell)))
    disks.clear()
    return apart


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--kind", choices=DISK_KINDS, default=DISK_KINDS[0])
    chosen = parser.parse_args()
    with workspace(new_run_id(), catalog.sweep) as workdir:
        folder = workdir / "tcg"
        folder.mkdir(mode=0o711)
        ways = [way for way in WAYS if way != "reflink" or not why_no_reflink(folder)]
        with catalog.environments()["tcg"].open(folder) as sandbox:
            apart = [one for way in ways for one in differences(sandbox, chosen.kind, way, chosen.rounds)]
    return int(any(apart))


if __name__ == "__main__":
    raise SystemExit(main())
