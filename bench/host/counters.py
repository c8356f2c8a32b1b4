"""The interference counters by name: other activity while a cell was measured (`isobench.host.machine.read`)."""

from __future__ import annotations

from enum import StrEnum


class Counter(StrEnum):
    """One interference counter; its value is the key in the record. In seconds, except pages, switches and changes."""

    CLOCK_STEP = "clock_step_seconds"
    SUSPENDED = "suspended_seconds"
    STOOD_STILL = "stood_still_seconds"
    CPUS_ONLINE = "cpus_online_change"
    FREQUENCY_LIMIT = "frequency_limit_change"
    BUSY = "busy_seconds"
    IDLE = "idle_seconds"
    INTERRUPTS = "interrupt_seconds"
    STEAL = "steal_seconds"
    THROTTLED = "throttled_seconds"
    WAITED = "waited_seconds"
    DISK_BUSY = "disk_busy_seconds"
    CONTEXT_SWITCHES = "context_switches"
    SWAPPED = "swap_pages"
    RECLAIMED = "reclaimed_pages"
    PSI_CPU = "psi_cpu_seconds"
    PSI_IO = "psi_io_seconds"
    PSI_MEMORY = "psi_memory_seconds"
