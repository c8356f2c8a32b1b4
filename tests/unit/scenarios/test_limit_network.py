"""The limit of what is received: who sets it, what the client's answer becomes, and what is no value."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest

from isobench.contracts.launch import Launch, Limits
from isobench.core.errors import MeasurementError, StoppedShort, Unavailable
from isobench.scenarios import _net
from isobench.scenarios.limit_network import LimitNetwork
from tests.fake import SayingInstance

SERVER = b'ready\n{"addresses": ["192.0.2.7"], "tcp": 1, "udp": 2, "token": "0011"}\n'


class Box:
    """A sandbox whose instance has a server at an address, or that cannot be limited."""

    def __init__(self, error: Unavailable | None = None, **members: Any) -> None:
        self.error = error
        self.members = members
        self.launched: list[Launch] = []

    @contextmanager
    def launch(self, launch: Launch) -> Iterator[SayingInstance]:
        self.launched.append(launch)
        if self.error is not None:
            raise self.error
        instance = SayingInstance(SERVER)
        for name, value in self.members.items():
            setattr(instance, name, value)
        yield instance


def _measure(box: Box, monkeypatch: pytest.MonkeyPatch, *found: dict[str, Any]) -> dict[str, float]:
    monkeypatch.setattr(_net, "client", lambda *words: list(found))
    return dict(LimitNetwork().measure(box))  # type: ignore[arg-type]


def test_a_guests_card_has_the_limit_since_it_was_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """The harness sets none; the value is the median of a MiB."""
    box = Box(address="192.0.2.7")
    mib = {"name": "mib", "ns": [1e6, 2.5e8, 3e8]}
    assert _measure(box, monkeypatch, {"name": "tcp", "ns": [7]}, mib) == {"received-4": 0.25}
    (launch,) = box.launched
    assert launch.limits == Limits(receive_bytes=4 << 20) and launch.arguments == ("net", "server")


def test_of_another_the_hosts_end_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """While its client runs, by the pair of the program's own namespace."""
    said: list[Any] = []

    def held(interface: str, rate: int) -> Any:
        said.append((interface, rate))
        return nullcontext()

    monkeypatch.setattr(_net, "held", held)
    monkeypatch.setattr(_net, "host_end", lambda pid: f"end of {pid}")
    monkeypatch.setattr(_net, "own_namespace", lambda instance: 7)
    assert _measure(Box(), monkeypatch, {"name": "mib", "ns": [2.5e8]}) == {"received-4": 0.25}
    assert said == [("end of 7", 4 << 20)]


def test_a_host_that_limits_no_network_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StoppedShort, match="no such qdisc") as stopped:
        _measure(Box(Unavailable("tc: no such qdisc")), monkeypatch)
    assert stopped.value.values == {}


@pytest.mark.parametrize("found", [[], [{"unavailable": "Connection refused"}], [{"name": "tcp", "ns": [7]}]])
def test_where_nothing_answers_there_is_no_value(found: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MeasurementError, match="path from the host: a tap on a bridge"):
        _measure(Box(address="192.0.2.7"), monkeypatch, *found)


def test_a_wrong_server_is_an_error() -> None:
    box = Box(address="192.0.2.7", stdout=io.BytesIO(b"ready\n" + json.dumps({"tcp": os.sep}).encode() + b"\n"))
    with pytest.raises(MeasurementError):
        LimitNetwork().measure(box)  # type: ignore[arg-type]
