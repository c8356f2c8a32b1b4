"""A run in other tools' formats: each is a module of this folder with a `FORMAT`, found by its being there."""

from __future__ import annotations

import importlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from isobench.core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from isobench.analysis.results import Results
    from isobench.export._shared import Format

_OTHERS = ("bundle", "formats")
"""What is in the folder and no format."""


@cache
def formats() -> Mapping[str, Format]:
    """Every format by its name."""
    names = sorted(file.stem for file in Path(__file__).parent.glob("[!_]*.py") if file.stem not in _OTHERS)
    found: list[Format] = [importlib.import_module(f"isobench.export.{name}").FORMAT for name in names]
    return {one.name: one for one in found}


def export(results: Results, to: str) -> bytes:
    """The bytes of the file of this run in one of the formats. Raises `UsageError`."""
    if to not in formats():
        raise UsageError(f"no format is called {to!r}", remedy=f"choose from {', '.join(formats())}")
    return formats()[to].write(results)
