"""The names of a run: a folder, `latest`, `previous`, a label, a tag, or its folder's name, a time."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from isobench.core.errors import StoreError, UsageError
from isobench.results.store import find_runs, load_session

if TYPE_CHECKING:
    from collections.abc import Iterator

RESULTS = Path("results")
"""Where runs are searched by name."""
REPORTS = Path("reports")
LATEST, PREVIOUS = "latest", "previous"
METAVAR = "RUN"
HELP = "a run's folder, label, tag or time, latest or previous"
"""The name of an argument that names a run, in every command."""


def label(text: str) -> str:
    """Check a run's label: one line of printable text, not a reserved word, without commas and slashes. Raises
    `UsageError`."""
    text = text.strip()
    if not text or len(text) > _LONGEST_LABEL or not text.isprintable():
        raise UsageError(
            f"{text[:40]!r} is not a label", remedy=f"a line of 1 to {_LONGEST_LABEL} printable characters"
        )
    if "," in text or "/" in text:
        raise UsageError(f"{text!r} is not a label: commas separate runs, and slashes separate folders")
    if text in (LATEST, PREVIOUS):
        raise UsageError(f"{text!r} is reserved: it names a run by its position", remedy="choose another label")
    return text


_LONGEST_LABEL = 100


def one(text: str, results: Path = RESULTS) -> Path:
    """The one run of this name. Raises `UsageError` if there is none, or if there are several."""
    found = several(text, results)
    if len(found) > 1:
        names = ", ".join(map(str, found[-_SHOWN:]))
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise UsageError(f"{len(found)} runs are called {text!r}: {names}{more}", remedy="name one by its folder")
    return found[0]


def several(text: str, results: Path = RESULTS) -> list[Path]:
    """All runs of this name, oldest first. An existing file or folder takes precedence. Raises `UsageError`."""
    if os.path.lexists(text) or "/" in text:
        return [Path(text)]
    runs = known(results)
    if text in (LATEST, PREVIOUS):
        back = 1 if text == LATEST else 2
        if len(runs) < back:
            few = f"no run under {results}/" if not runs else f"there is but one run under {results}/"
            raise UsageError(few, remedy="isobench run")
        return [runs[-back]]
    found = [path for path in runs if path.name == text] or [path for path in runs if text in _names(path)]
    if not found:
        raise UsageError(f"no folder and no run under {results}/ is called {text!r}", remedy="isobench runs")
    return found


def known(results: Path = RESULTS) -> list[Path]:
    """The folders of all runs, oldest first."""
    return list(find_runs(results)) if results.is_dir() else []


def names(results: Path = RESULTS) -> Iterator[str]:
    """The names of the newest runs, for a shell's completion."""
    runs = known(results)
    yield from (LATEST, PREVIOUS)[: len(runs)]
    for path in runs[-_COMPLETED:]:
        yield path.name
        yield from filter(str.isprintable, sorted(_names(path)))


def _names(path: Path) -> set[str]:
    """Label, tags and id of a run; none if it cannot be read."""
    try:
        session = load_session(path)
    except StoreError:
        return set()
    return {session.label, session.run_id, *session.tags} - {""}


_SHOWN = 3
_COMPLETED = 50
"""How many runs are read for a shell's completion."""


def report_folder(run: Path) -> Path:
    """reports/<host id>/<UTC stamp>/ for results/<host id>/<UTC stamp>/."""
    run = run.resolve()
    return REPORTS / run.parent.name / run.name
