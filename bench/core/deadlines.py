"""How long anything is waited for: one figure for all, told by `--timeout` or learned from the host.

The figures hold for a usual host. A slower one (a virtual machine in a virtual machine, an emulated CPU) is given more
of everything: by how much slower a raw process starts there (`launcher.learn_deadlines`), and by how long the slowest
environment took that was proven.
"""

from __future__ import annotations

READY = 60.0
"""Seconds from the request for an instance to its ready line."""
LIFETIME = 2 * READY
"""Seconds from the request for an instance until it is gone."""

LONGEST = 3600.0
"""Seconds: the most that can be told. What is not ready after an hour cannot be measured in blocks."""

_USUAL_START = 0.002
"""Seconds that a raw process takes at most on a usual host, from the request to its ready line."""
_MOST = 30.0
"""No host is taken to be slower than by this factor: what hangs must end."""
_LIVES = 10.0
"""How many times what it took to prove an environment one of its instances may live."""

_told: float | None = None
_learned = 1.0


def begin(told: float | None) -> None:
    """Forget what was learned. `told` is how many seconds an instance has to say ready; None: learn it."""
    global _told, _learned
    _told, _learned = told, 1.0


def learn_start(seconds: float) -> None:
    """How long a raw process takes here from the request to its ready line."""
    _learn(seconds / _USUAL_START)


def learn_proof(seconds: float) -> None:
    """How long it took to prove an environment: to launch it once and to let it end."""
    _learn(seconds * _LIVES / LIFETIME)


def ready() -> float:
    """Seconds that an instance has to say ready."""
    return READY * _factor()


def scaled(usual: float = LIFETIME) -> float:
    """Seconds from the request for an instance until it must be gone, or its cell fails."""
    return usual * _factor()


def stretched(usual: float) -> float:
    """Seconds for anything else that takes longer on a slower host: never fewer than the usual ones."""
    return usual * max(1.0, _factor())


def _learn(factor: float) -> None:
    global _learned
    _learned = min(_MOST, max(_learned, factor))


def _factor() -> float:
    return _learned if _told is None else _told / READY
