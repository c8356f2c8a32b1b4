"""VALIDITY.md: written whole, and line by line where a promise is checked again on its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from verification.validity import __main__ as command
from verification.validity.promise import Line

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_one_line_is_replaced_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """G1 is not G10; what was not checked again stays as it was."""
    monkeypatch.setattr(command, "FILE", tmp_path / "VALIDITY.md")
    command._write([Line("G1", "a", "1.0", True), Line("G10", "b", "0.9", False, "noise")])
    before = command.FILE.read_text().splitlines()
    assert before[-1] == "| G10 | b | 0.9 | **not kept** noise |"
    command._replace([Line("G10", "b", "1.0", True)])
    after = command.FILE.read_text().splitlines()
    assert after[:-1] == before[:-1]
    assert after[-1].startswith("| G10 | b | 1.0 (run on its own, ") and after[-1].endswith(" | kept |")
