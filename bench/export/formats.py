"""The export formats: each is a module with a `FORMAT`, in this folder or in another package."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import isobench.export
from isobench.contracts import plugins
from isobench.core.errors import UsageError
from isobench.export._shared import Format

if TYPE_CHECKING:
    from collections.abc import Mapping

    from isobench.analysis.results import Results


def _wrong_format(one: object) -> list[str]:
    return [] if isinstance(one, Format) else [f"it is of type {type(one).__name__}, not isobench.api.Format"]


FORMAT_PLUGINS = plugins.Kind("an export format", "FORMAT", "isobench.formats", _wrong_format)


@cache
def formats() -> Mapping[str, Format]:
    """Every format by its name, including those of other packages. Raises `UsageError` for a broken plug-in."""
    found: dict[str, Format] = plugins.find(FORMAT_PLUGINS, isobench.export)
    return dict(sorted(found.items()))


def export(results: Results, to: str) -> bytes:
    """The content of the file of this run in one of the formats. Raises `UsageError`."""
    if to not in formats():
        raise UsageError(f"no format is called {to!r}", remedy=f"choose from {', '.join(formats())}")
    return formats()[to].write(results)
