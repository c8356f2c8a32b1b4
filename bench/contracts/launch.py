"""What an instance is asked to do: all that `Sandbox.launch` has to know, so that nobody reads it out of the verb."""

from __future__ import annotations

from typing import NamedTuple

from isobench.core.deadlines import LIFETIME

DEFAULT_TIMEOUT = LIFETIME
"""Seconds from launch to gone where the caller says nothing; a run says what its host needs
(bench/core/deadlines.py)."""


class Launch(NamedTuple):
    """One instance to come. Made by `idle` or `working`."""

    arguments: tuple[str, ...]
    """What the probe is started with: its verb and the verb's words."""
    timeout: float = DEFAULT_TIMEOUT
    """Seconds from launch to gone."""
    is_idle: bool = False
    """It says ready, does nothing, and ends when it is told to."""
    needs_disk: bool = False
    """It uses the root file system or its own storage (ROOTFS): a guest then has a disk, which it has not otherwise."""
    needs_lower: bool = False
    """It uses the files of known sizes that come with the storage (LOWER)."""
    watch_end: bool = True
    """Whether its end is timed. Without, `gone` need not wait for what the kernel frees by itself, and the harness
    keeps nothing beside the instance for that. Everything is removed all the same."""


def idle(*, timeout: float = DEFAULT_TIMEOUT, watch_end: bool = True) -> Launch:
    """An instance that says ready and waits until it is told to finish."""
    return Launch(("ready",), timeout, is_idle=True, watch_end=watch_end)


def working(*arguments: str, disk: bool = False, lower: bool = False, timeout: float = DEFAULT_TIMEOUT) -> Launch:
    """An instance whose probe does a verb with its words; `disk` and `lower` say what the verb uses."""
    return Launch(arguments, timeout, needs_disk=disk, needs_lower=lower)
