"""What the formats share: the run's samples and estimates, and words that nothing takes for more than words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from isobench.core.text import clean

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from isobench.report.context import Estimate
    from isobench.results.store import Run


class Format(NamedTuple):
    """One format: its name for `--to`, what its file is called after its dot, and what makes the bytes of the file."""

    name: str
    suffix: str
    write: Callable[[Run], bytes]


def samples(run: Run) -> pd.DataFrame:
    """Every sample, one row each."""
    from isobench.analysis import frames

    return frames.samples(run)


def estimates(run: Run) -> list[Estimate]:
    """Every cost with its median and its ratio, but for the control's."""
    from isobench.analysis import frames
    from isobench.report.context import estimates_of

    return [row for row in estimates_of(frames.samples(run), run.session.baseline) if not row.control]


def against(row: Estimate) -> str:
    """The ratio to the baseline with its interval, in words; nothing where there is none."""
    if not math.isfinite(row.ratio):
        return ""
    if not (math.isfinite(row.ratio_low) and math.isfinite(row.ratio_high)):
        return f"{row.ratio:.4g}× the baseline [no interval]"
    return f"{row.ratio:.4g}× the baseline [{row.ratio_low:.4g}, {row.ratio_high:.4g}]"


def inert(text: str) -> str:
    """A cell of words that no spreadsheet takes for a formula (OWASP: CSV injection) and no terminal obeys."""
    text = clean(text)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text
