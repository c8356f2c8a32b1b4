"""The earlier runs of a host: their differences show the variation between unchanged runs."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from isobench.core.errors import StoreError
from isobench.results import store
from isobench.results.record import machine

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from isobench.results.record import Session
    from isobench.results.store import Run

MOST = 30
"""The most runs that are read, the newest ones: more would hardly change Student's quantiles."""


def earlier(compared: Sequence[Run]) -> list[Run]:
    """The newest runs in the same host folder that began before the last of these and are like one of them (`alike`),
    oldest first. Unreadable and unfinished runs are left out."""
    last = max(run.session.started for run in compared)
    own = {run.session.run_id for run in compared}
    found: dict[str, Run] = {}
    for path in _beside(compared):
        with suppress(StoreError):
            run = store.load(path)
            session = run.session
            known = session.run_id in own or not session.finished or session.started >= last
            if not known and any(alike(session, one.session) for one in compared):
                found.setdefault(session.run_id, run)
    return sorted(found.values(), key=lambda run: run.session.started)[-MOST:]


def alike(one: Session, other: Session) -> bool:
    """Whether two runs are of one machine in one state. A fact that only one of them recorded does not count as a
    difference."""
    same_host = machine(one.host_id, one.fingerprint) == machine(other.host_id, other.fingerprint)
    facts = one.fingerprint.items()
    return same_host and all(other.fingerprint.get(fact, text) == text for fact, text in facts)


def _beside(compared: Sequence[Run]) -> Iterator[Path]:
    """The folders of the newest runs before the last of these, by the stamps in their names."""
    newest: dict[Path, str] = {}
    for run in compared:
        path = run.path.resolve()
        if (
            path.parent.name == run.session.host_id
        ):  # isobench's own layout: elsewhere other things may lie beside the run
            newest[path.parent] = max(path.name, newest.get(path.parent, ""))
    for folder, last in newest.items():
        names = sorted(file.parent.name for file in folder.glob(f"*/{store.SESSION}"))
        yield from (folder / name for name in [name for name in names if name < last][-MOST - len(compared) :])
