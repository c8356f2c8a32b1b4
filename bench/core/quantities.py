"""Durations and sizes as written on a command line."""

from __future__ import annotations

import re

from isobench.core import deadlines
from isobench.core.errors import UsageError


def seconds(text: str) -> float:
    """Convert 90, 90s, 20m or 2h to seconds."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text.strip())
    if match is None or float(match[1]) <= 0:
        raise UsageError(f"{text!r} is not a duration", remedy="90s, 20m or 2h")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


def timeout(text: str) -> float:
    """The seconds that an instance may take to become ready."""
    chosen = seconds(text)
    if chosen > deadlines.LONGEST:
        raise UsageError(f"{text!r} is too long for one instance", remedy="an hour at most: --timeout 1h")
    return chosen


def size(text: str) -> int:
    """Convert 500M or 4G to bytes."""
    match = re.fullmatch(r"(\d{1,9})([MG])", text.strip())
    if match is None:
        raise UsageError(f"{text!r} is not a size", remedy="500M or 4G")
    return int(match[1]) << {"M": 20, "G": 30}[match[2]]
