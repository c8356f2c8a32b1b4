"""Numbers that cannot be true as they stand, each with the likely reason. Flagged, never removed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from isobench.layout import format

if TYPE_CHECKING:
    from collections.abc import Iterator

    from isobench.analysis.results import Estimate
    from isobench.report.context import Context

FASTEST_CALL = 5e-9
"""Seconds. Entering and leaving the kernel takes tens of nanoseconds on any processor."""

FASTEST_DEVICE = 4e-6
"""Seconds. The fastest devices answer one request in 5 µs or more; a page cache reads 4 KiB in about one."""

LIKE_MEMORY = 1.25
"""An answer counts as the page cache's if it takes less than this many times a read from the page cache."""

MARGIN = 0.9
"""Faster than the baseline counts as impossible if the whole interval lies below nine tenths of it."""

_ONE = re.compile(r"(?P<job>(?P<way>seqread|randread|seqwrite|randwrite|mixed)-(4k|1m))(-qd1|-cold)?$")
"""fio's operations that end at the device one at a time; with 32 at once, each may take less."""

_SYNC = re.compile(r"write-f(data)?sync-4k$")

_AT_ONCE = re.compile(r"(?P<way>rand(read|write))-4k-qd32$")

_IN_MEMORY = re.compile(r"host's page cache|cache writeback|tmpfs")
"""Matches the fact "storage" if memory of the host may answer."""


class Flag(NamedTuple):
    benchmark: str
    """`<scenario>.<metric>/<environment>`."""
    value: str
    reason: str


def flags(context: Context) -> list[Flag]:
    """Every impossible number of a run, in the order of the summary."""
    return [
        Flag(f"{row.name}/{row.environment}", f"{format.cost(row)}, {format.against(row)}", reason)
        for row in context.estimates
        for reason in _reasons(context, row)
    ]


def memory_answers(context: Context, environment: str) -> bool:
    """Whether the environment's storage is memory of the host, or may be served from it."""
    record = context.environment(environment)
    return record is not None and _IN_MEMORY.search(record.facts.get("storage", "")) is not None


def _reasons(context: Context, row: Estimate) -> Iterator[str]:
    if _is_call(row) and row.median < FASTEST_CALL:
        yield "no system call is that fast: the loop was optimised away, or the guest's clock runs slow"
    if _is_fio(row) and not memory_answers(context, row.environment):
        yield from _storage_reasons(context, row)
    if row.environment == context.baseline or row.control:
        return
    if row.scenario == "startup" and row.metric == "ready" and row.ratio_high < MARGIN:
        yield "nothing starts faster than a plain process: was the baseline's program larger, or cold?"
    if row.scenario == "memory" and row.metric == "pss" and row.ratio_high < MARGIN:
        yield "less memory than a plain process: pages that others share are counted for them, or a process was missed"


def _storage_reasons(context: Context, row: Estimate) -> Iterator[str]:
    """At most one reason: an operation at the device that is faster than any device, than memory, or than the host's
    own."""
    one, sync = _ONE.match(row.metric), _SYNC.match(row.metric)
    way = one or _AT_ONCE.match(row.metric)
    cached = _cached(context, one["job"], row.environment) if one else None
    if one and row.median < FASTEST_DEVICE:
        yield "no device answers that fast: a page cache did, in spite of direct I/O"
    elif sync and row.median < FASTEST_DEVICE:
        yield "no device confirms that fast: the sync did not reach it"
    elif cached and row.median < LIKE_MEMORY * cached.median:
        yield (
            f"as fast as out of the page cache ({format.cost(cached)} in {cached.environment}): the page cache "
            "answered, in spite of direct I/O or dropped caches"
        )
    elif row.environment == context.baseline or row.control or not row.ratio_high < MARGIN:
        return
    elif sync:
        yield "faster than the host's own storage: a sync that is confirmed before the device has the data"
    elif way and way["way"].endswith("write"):
        yield "faster than the host's own storage: a cache that writes later, between the instance and the device"
    elif way:
        cut = "; or large requests are split differently" if way["way"].startswith("seq") else ""
        yield f"faster than the host's own storage: a cache between the instance and the device, often the host's{cut}"


def _cached(context: Context, job: str, environment: str) -> Estimate | None:
    """The same operation from the page cache: in the environment itself, or in the baseline."""
    found = (context.find("io-buffered", f"{job}-cached", name) for name in (environment, context.baseline))
    return next((row for row in found if row is not None), None)


def _is_call(row: Estimate) -> bool:
    """An operation of `syscall`, `syscall-all` or `syscall-pinned`, or a percentile of one."""
    return row.scenario.split("-")[0] == "syscall" and row.unit == "second"


def _is_fio(row: Estimate) -> bool:
    return row.scenario in ("io", "io-direct", "io-buffered")
