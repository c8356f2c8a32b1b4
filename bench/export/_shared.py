"""What the formats share: the run's estimates, and text that no other program interprets."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from isobench.core.text import clean

if TYPE_CHECKING:
    from collections.abc import Callable

    from isobench.analysis.results import Estimate, Results


class Format(NamedTuple):
    """One format: its name for `--to`, the extension of its file, and the function that makes the file's bytes."""

    name: str
    suffix: str
    write: Callable[[Results], bytes]
    binary: bool = False
    """Whether it is binary, and therefore not written to a terminal."""


def estimates(results: Results) -> list[Estimate]:
    """Every cost with its median and its ratio, except the control's."""
    return [row for row in results.estimates if not row.control]


def against(row: Estimate) -> str:
    """The ratio to the baseline with its interval, as text; empty if there is none."""
    if not math.isfinite(row.ratio):
        return ""
    if not (math.isfinite(row.ratio_low) and math.isfinite(row.ratio_high)):
        return f"{row.ratio:.4g}× the baseline [no interval]"
    return f"{row.ratio:.4g}× the baseline [{row.ratio_low:.4g}, {row.ratio_high:.4g}]"


def inert(text: str) -> str:
    """A text cell that no spreadsheet evaluates as a formula (OWASP: CSV injection) and that no terminal interprets."""
    text = clean(text)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text
