"""What the check of a promise gives: promised, measured, held or not."""

from __future__ import annotations

from typing import NamedTuple


class Line(NamedTuple):
    """One line of VALIDITY.md. `why` says what is known where a promise is not held."""

    promise: str
    promised: str
    measured: str
    held: bool
    why: str = ""

    @property
    def text(self) -> str:
        held = "held" if self.held else f"NOT HELD{': ' + self.why if self.why else ''}"
        return f"{self.promise}: {self.promised} — {self.measured} — {held}"
