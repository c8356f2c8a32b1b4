"""Which engines a run used: recorded with it, so that its leftovers are looked for there and nowhere else."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from isobench.core.errors import Unavailable
from isobench.daemons.private import addresses
from isobench.filesystem.paths import variable
from isobench.planning import catalog

if TYPE_CHECKING:
    from collections.abc import Iterator


def used() -> dict[str, str]:
    """The engines in use, by the variable that selects them, even if it is unset or something else selects (a docker
    context): the selection may have changed when the run is cleaned."""
    found = {}
    for engine in catalog.engines():
        address = variable(engine.variable)
        with suppress(Unavailable):  # if it is not known, nothing is created there
            address = engine.chosen() if engine.chosen is not None else address
        if address:
            found[engine.variable] = address
    return found


def unknown(record: dict[str, object]) -> str:
    """The variables whose recorded value is not a known engine ("DOCKER_HOST=tcp://…"), or nothing."""
    recorded, here, private = record.get("engines"), used(), addresses()
    others = []
    for name, usual, _ in catalog.engines():
        value = recorded.get(name) if isinstance(recorded, dict) else None
        if value is not None and value not in (*usual, here.get(name), private.get(name)):
            others.append(f"{name}={str(value)[:200]}")
    return " ".join(others)


@contextmanager
def selected(record: dict[str, object]) -> Iterator[None]:
    """Select the known engines that a dead run used, and no others, during its sweep."""
    here, before = used(), {}
    recorded = record.get("engines", here)
    for name in (engine.variable for engine in catalog.engines()):
        value = recorded.get(name) if isinstance(recorded, dict) else None
        if value != here.get(name):  # otherwise keep what defines the engine, such as a context's certificates
            before[name] = os.environ.pop(name, None)
            if value:
                os.environ[name] = str(value)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
