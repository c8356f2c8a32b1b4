"""What the formats share: the run's estimates, and words that nothing takes for more than words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from isobench.core.text import clean

if TYPE_CHECKING:
    from collections.abc import Callable

    from isobench.analysis.results import Estimate, Results


class Format(NamedTuple):
    """One format: its name for `--to`, what its file is called after its dot, and what makes the bytes of the file."""

    name: str
    suffix: str
    write: Callable[[Results], bytes]
    binary: bool = False
    """Whether it is no text, which a terminal is not given."""


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
