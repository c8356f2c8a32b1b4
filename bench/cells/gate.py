"""The interference gate: a rule, fixed in advance, that excludes disturbed blocks as a whole.

Uses only the standard library, because the runner applies it after every block.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from isobench.core.text import clean
from isobench.host.counters import Counter

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from isobench.results.record import CellRecord

ANY = {
    Counter.CLOCK_STEP: (0.05, "s", "the clock was set"),
    Counter.SUSPENDED: (0.05, "s", "the machine was suspended"),
    Counter.CPUS_ONLINE: (0.5, "", "a CPU went off or on line"),
    Counter.FREQUENCY_LIMIT: (0.5, "kHz", "the highest frequency that a CPU may have was changed"),
    Counter.SWAPPED: (256.0, "pages", "the machine swapped"),
    Counter.RECLAIMED: (4096.0, "pages", "tasks had to reclaim memory first"),
    Counter.STOOD_STILL: (0.25, "s", "isobench itself was stopped"),
}
"""Counter -> (limit, unit, words): one cell above the limit marks the block."""

SHARES = {
    Counter.STEAL: (0.05, "the hypervisor took CPU time"),
    Counter.PSI_CPU: (0.25, "tasks waited for a CPU"),
    Counter.PSI_IO: (0.60, "tasks waited for I/O"),
    Counter.PSI_MEMORY: (0.05, "tasks waited for memory"),
    Counter.THROTTLED: (0.01, "the CPU was throttled"),
    Counter.INTERRUPTS: (0.10, "interrupts took CPU time"),
}
"""Counter -> (limit, words): a share of the block's own time above the limit marks it. A guest without KVM keeps one
CPU busy and I/O scenarios wait for the disk by themselves; the limits leave room for that on two CPUs."""

_INSTEAD = {Counter.PSI_CPU: Counter.WAITED, Counter.PSI_IO: Counter.DISK_BUSY}
"""Substitutes for a kernel without pressure counters (RHEL's disables them by default): the waiting time summed over
all tasks, which is never less than the pressure; and the time in which disks were busy."""

_OURS = 3.0
"""The most CPUs that a cell itself keeps busy if its scenario causes no pressure: a guest's CPU, its I/O thread, and a
daemon."""
_CROWDED = 0.10
"""The share of the host's CPUs that others may use. If some CPUs are idle, no task waits, so pressure does not show
other programs, although they share caches, memory and frequency. The share is computed from the CPU time of visible
processes, and from what this block cannot have spent itself, since not every process is visible
(`isobench.host.others`)."""


def marks(
    cells: Sequence[CellRecord],
    expected: Mapping[str, Collection[str]] | None = None,
    whole: Mapping[str, float] | None = None,
    others: Mapping[str, float] | None = None,
) -> list[str]:
    """Why this block is to be excluded; empty for a clean one. `whole` has the counters over the whole block, for what
    happened between its cells, and `others` the CPU seconds of other people's processes by name.

    `expected` names, by scenario, the counters that the scenario causes itself (two processes that share a CPU wait for
    it): its cells do not count towards these.
    """
    found = []
    for counter, (limit, unit, words) in ANY.items():
        worst = _worst(counter, cells, expected or {}, whole or {})
        if worst > limit:
            amount = f"{worst:.{2 if unit == 's' else 0}f} {unit}".rstrip()
            found.append(f"{words} ({amount})")
    for counter, (limit, words) in SHARES.items():
        telling = [cell for cell in cells if counter not in (expected or {}).get(cell.scenario, ())]
        seconds = sum(cell.seconds for cell in telling)
        instead = _INSTEAD.get(counter, "")
        counted = sum(cell.interference.get(counter, cell.interference.get(instead, 0.0)) for cell in telling)
        share = counted / seconds if seconds > 0 else 0.0
        if share > limit:
            found.append(f"{words} ({min(share, 1.0):.0%} of the block)")  # a reading spans a little more than its cell
    crowd = _crowd([cell for cell in cells if Counter.PSI_CPU not in (expected or {}).get(cell.scenario, ())])
    spent, known = _spent(others or {}, whole or {})
    if max(crowd, spent) > _CROWDED:
        found.append(f"other programs kept CPUs busy ({max(crowd, spent):.0%} of all{known})")
    return found


def _worst(
    counter: Counter,
    cells: Sequence[CellRecord],
    expected: Mapping[str, Collection[str]],
    whole: Mapping[str, float],
) -> float:
    """The largest change in one cell, or over the whole block, without the cells that cause it themselves."""
    changes = [(counter in expected.get(cell.scenario, ()), cell.interference.get(counter, 0.0)) for cell in cells]
    own = sum(change for is_own, change in changes if is_own)
    between = whole[counter] - own if counter in whole else 0.0
    return max(abs(change) for change in (between, *(change for is_own, change in changes if not is_own)))


def _spent(others: Mapping[str, float], whole: Mapping[str, float]) -> tuple[float, str]:
    """The share of the host's CPUs that other people's processes used, and the name of the largest."""
    available = whole.get(Counter.BUSY, 0.0) + whole.get(Counter.IDLE, 0.0)
    spent = sum(others.values())
    if spent <= 0 or available <= 0:
        return 0.0, ""
    return min(spent / available, 1.0), f", most of it {clean(max(others, key=lambda name: others[name]), 20)}"


def _crowd(cells: Sequence[CellRecord]) -> float:
    """The share of the host's CPUs that was busy beyond what these cells can have caused."""
    busy = sum(cell.interference.get(Counter.BUSY, 0.0) for cell in cells)
    idle = sum(cell.interference.get(Counter.IDLE, 0.0) for cell in cells)
    return (busy - _OURS * sum(cell.seconds for cell in cells)) / (busy + idle) if busy + idle > 0 else 0.0
