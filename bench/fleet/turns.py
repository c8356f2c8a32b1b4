"""Schedules hosts: at most so many at once, and so many of one domain."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from threading import Event

Result = TypeVar("Result")


class Place(NamedTuple):
    """A host of the inventory."""

    name: str
    domain: str = ""
    """What it shares with other hosts, such as a power supply or a switch: `isobench_domain`. Hosts without it count as
    one domain."""
    deadline: float | None = None
    """Seconds that it may measure, if the inventory sets them: `isobench_deadline`."""


def in_turn(
    places: Sequence[Place], at_once: int, of_one_domain: int, work: Callable[[Place], Result], stop: Event
) -> Iterator[Result]:
    """Call `work` for each host in a thread of its own; yields results as they complete.

    If interrupted or left early, it sets `stop`, which `work` has to check, and waits for the running calls.
    """
    waiting, working = list(places), dict[Future[Result], Place]()
    with ThreadPoolExecutor(at_once) as pool:
        try:
            while waiting or working:
                for place in _next(waiting, working, at_once, of_one_domain):
                    waiting.remove(place)
                    working[pool.submit(work, place)] = place
                for done in wait(working, return_when=FIRST_COMPLETED).done:
                    del working[done]
                    yield done.result()
        except BaseException:
            stop.set()
            raise


def _next(
    waiting: Sequence[Place], working: dict[Future[Result], Place], at_once: int, of_one_domain: int
) -> list[Place]:
    """The hosts that may start now, in their order."""
    taken, chosen = Counter(place.domain for place in working.values()), list[Place]()
    for place in waiting:
        if len(working) + len(chosen) < at_once and taken[place.domain] < of_one_domain:
            taken[place.domain] += 1
            chosen.append(place)
    return chosen
