"""Whose turn it is: so many hosts at once, and so many of one domain."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from threading import Event

Result = TypeVar("Result")


class Place(NamedTuple):
    """A host as the inventory names it."""

    name: str
    domain: str = ""
    """What it shares with others, as a power supply or a switch: `isobench_domain`. Hosts without one share one."""
    deadline: float | None = None
    """Seconds that it may measure, if the inventory says that: `isobench_deadline`."""


def in_turn(
    places: Sequence[Place], at_once: int, of_one_domain: int, work: Callable[[Place], Result], stop: Event
) -> Iterator[Result]:
    """Work on each host in a thread of its own; the results in the order in which they are there.

    Sets `stop` if it is interrupted or left early, and waits for what is at work, which has to look at it.
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
    """The hosts whose turn it is, in their order."""
    taken, chosen = Counter(place.domain for place in working.values()), list[Place]()
    for place in waiting:
        if len(working) + len(chosen) < at_once and taken[place.domain] < of_one_domain:
            taken[place.domain] += 1
            chosen.append(place)
    return chosen
