"""Numbers that cannot be true as they stand, each with the likely reason. Flagged, never removed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bench.report.context import Context, Estimate

FASTEST_CALL = 5e-9
"""Seconds. Entering and leaving the kernel takes tens of nanoseconds on any processor."""

FASTEST_TRANSFER = 1 / 40e9
"""Seconds a byte: forty gigabytes a second is more than a storage device gives, and about what memory gives."""

MARGIN = 0.9
"""Faster than the baseline counts as impossible where the whole interval lies below nine tenths of it."""


class Flag(NamedTuple):
    benchmark: str
    """`<scenario>.<metric>/<environment>`."""
    value: str
    reason: str


def flags(context: Context) -> list[Flag]:
    """Every impossible number of a run, in the order of the summary."""
    return [
        Flag(f"{row.name}/{row.environment}", f"{row.value_text}, {row.ratio_text}", reason)
        for row in context.estimates
        for reason in _reasons(context, row)
    ]


def _reasons(context: Context, row: Estimate) -> Iterator[str]:
    if _is_call(row) and row.median < FASTEST_CALL:
        yield "no system call is that fast: the loop was optimised away, or the guest's clock runs slow"
    if _is_fio(row) and row.median < _bytes_of(row.metric) * FASTEST_TRANSFER and not _in_memory(row):
        yield "faster than any device: the page cache was hit"
    if row.environment == context.baseline or row.control:
        return
    if row.scenario == "startup" and row.metric == "ready" and row.ratio_high < MARGIN:
        yield "nothing starts faster than a plain process: was the baseline's program larger, or cold?"
    if row.scenario == "memory" and row.metric == "pss" and row.ratio_high < MARGIN:
        yield "less memory than a plain process: pages that others share are counted for them, or a process was missed"
    if row.scenario.startswith("io") and row.ratio_high < MARGIN and not _in_memory(row):
        yield "faster than the host's own storage: a cache between the instance and the device answered"


def _is_call(row: Estimate) -> bool:
    """An operation of `syscall`, `syscall-all` or `syscall-pinned`, or a percentile of one."""
    return row.scenario.split("-")[0] == "syscall" and row.unit == "second" and "loop" not in row.metric


def _is_fio(row: Estimate) -> bool:
    """An operation of fio; its CPU time (`-cpu`) is no time of a transfer."""
    return row.scenario in ("io", "io-direct", "io-buffered") and not row.metric.endswith("-cpu")


def _in_memory(row: Estimate) -> bool:
    words = f"{row.metric} {row.environment}"
    return any(word in words for word in ("buffered", "tmpfs", "cached"))


def _bytes_of(metric: str) -> float:
    """How much one operation of an I/O metric moves, read from its name ("read-1m" …); 0 where it does not say."""
    sizes: Iterable[tuple[str, float]] = (("4k", 4096.0), ("1m", 1048576.0))
    return next((size for word, size in sizes if word in metric.split("-")), 0.0)
