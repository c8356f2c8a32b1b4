"""The result of checking a promise: what was promised, what was measured, and whether the promise was kept."""

from __future__ import annotations

from typing import NamedTuple


class Line(NamedTuple):
    """One line of VALIDITY.md. `why` explains a promise that was not kept, if the cause is known."""

    promise: str
    promised: str
    measured: str
    held: bool
    why: str = ""

    @property
    def text(self) -> str:
        kept = "kept" if self.held else f"NOT KEPT{': ' + self.why if self.why else ''}"
        return f"{self.promise}: {self.promised} — {self.measured} — {kept}"
