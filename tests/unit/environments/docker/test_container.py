"""How a container is removed, whatever the engine says of it meanwhile, and what becomes of its connection."""

from __future__ import annotations

import select
import socket
import threading
import time

import pytest

from isobench.core.errors import IsobenchError
from isobench.environments.docker._container import DockerInstance, _FirstByte
from isobench.environments.docker._sdk import docker


class Client:
    """An engine that refuses to remove a container as often as it has words for it."""

    def __init__(self, *refusals: str) -> None:
        self.asked = 0
        self._refusals = list(refusals)

    def remove_container(self, name: str, *, force: bool, v: bool) -> None:
        self.asked += 1
        if self._refusals:
            raise docker.errors.APIError(self._refusals.pop(0))


def _instance(client: Client) -> DockerInstance:
    instance = DockerInstance(client, "one", 1.0, watch_end=False)
    instance._id, instance._status = "1dce96", 0
    return instance


def test_a_container_that_ends_while_it_is_killed_is_removed() -> None:
    client = Client("Could not kill running container 1dce96, cannot remove - Container 1dce96 is not running")
    instance = _instance(client)
    instance.destroy()
    assert client.asked == 2 and "removed" in instance.events


@pytest.mark.parametrize("refusals", [("no such image",), ("x is not running", "x is not running")])
def test_another_refusal_is_told(refusals: tuple[str, ...]) -> None:
    client = Client(*refusals)
    with pytest.raises(IsobenchError, match=refusals[-1]):
        _instance(client).destroy()
    assert client.asked == len(refusals)


def test_a_connection_that_is_closed_meanwhile_is_no_first_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when the engine refuses to start the container; nobody is shown the thread's error."""
    shown: list[object] = []
    monkeypatch.setattr(threading, "excepthook", shown.append)
    here, there = socket.socketpair()
    with here, there:
        monkeypatch.setattr(select, "poll", lambda: _Closing(here))
        assert _FirstByte(here, time.monotonic() + 60).wait() is None
    assert shown == []


class _Closing:
    """A poll during which the connection is closed."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream

    def register(self, stream: socket.socket, events: int) -> None: ...

    def poll(self, milliseconds: float) -> list[int]:
        self._stream.close()
        return [1]
