"""Whose turn it is: never more at once than allowed, in all and in one domain; nobody is left out."""

from __future__ import annotations

import threading
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isobench.fleet.turns import Place, in_turn


class Hosts:
    """Work that keeps count of who is at it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.most_of_all = 0

    def work(self, place: Place) -> str:
        with self._lock:
            self._now[place.domain] += 1
            self.most[place.domain] = max(self.most[place.domain], self._now[place.domain])
            self.most_of_all = max(self.most_of_all, self._now.total())
        with self._lock:
            self._now[place.domain] -= 1
        return place.name


@given(
    st.lists(st.sampled_from(["", "pdu-1", "pdu-2"]), max_size=12), st.integers(1, 4), st.integers(1, 3)
)  # fmt: skip
def test_limits_hold_and_everybody_has_a_turn(domains: list[str], at_once: int, of_one_domain: int) -> None:
    places = [Place(f"host{number}", domain) for number, domain in enumerate(domains)]
    hosts = Hosts()
    done = list(in_turn(places, at_once, of_one_domain, hosts.work, threading.Event()))
    assert sorted(done) == sorted(place.name for place in places)
    assert hosts.most_of_all <= at_once and all(count <= of_one_domain for count in hosts.most.values())


def test_a_domain_does_not_hold_up_others() -> None:
    """While one host of a domain is at work, that of another domain is done, and the next of its own waits."""
    second_is_done, begun = threading.Event(), list[str]()

    def work(place: Place) -> str:
        begun.append(place.name)
        if place.name == "first":
            assert second_is_done.wait(60)
            assert begun == ["first", "second"]
        return place.name

    places = [Place("first", "a"), Place("third", "a"), Place("second", "b")]
    done = []
    for name in in_turn(places, 3, 1, work, threading.Event()):
        done.append(name)
        if name == "second":
            second_is_done.set()
    assert done == ["second", "first", "third"]


def test_an_interruption_stops_what_is_at_work() -> None:
    """Those who work are told, and waited for; those who wait never begin."""
    stop, begun = threading.Event(), list[str]()

    def work(place: Place) -> str:
        begun.append(place.name)
        if place.name == "first":
            return place.name
        assert stop.wait(60)
        return place.name

    turns = in_turn([Place("first"), Place("second"), Place("third")], 2, 2, work, stop)
    next(turns)
    with pytest.raises(KeyboardInterrupt):
        turns.throw(KeyboardInterrupt)  # type: ignore[attr-defined]
    assert stop.is_set() and "third" not in begun
