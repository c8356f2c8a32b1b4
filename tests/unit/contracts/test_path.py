"""Which paths lead from the host to an instance, by what it says of itself."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from isobench.contracts.path import HOST_NETWORK, paths_to

if TYPE_CHECKING:
    from collections.abc import Mapping

    from isobench.contracts.environment import Role


class _Instance:
    """Only the host processes that an instance says it has."""

    def __init__(self, *pids: int) -> None:
        self._pids = pids

    def host_pids(self) -> dict[int, Role]:
        return dict.fromkeys(self._pids, "payload")


class _Published(_Instance):
    def published(self) -> Mapping[str, int]:
        return {"tcp": 4000}


class _Addressed(_Instance):
    address = "192.0.2.9"


def _none(pid: int) -> list[str]:
    pytest.fail("no veth pair is wanted")


def test_an_instance_in_the_hosts_network_is_tried_over_the_loopback_first() -> None:
    """A process of the host, or a VMM: the loopback, then whatever address the instance names."""
    found = list(paths_to(_Instance(os.getpid()), ["192.0.2.7"], _none))  # type: ignore[arg-type]
    assert [one.address for one in found] == ["127.0.0.1", "192.0.2.7"] and found[0].words == HOST_NETWORK


def test_an_instance_without_processes_or_addresses_has_no_path() -> None:
    """Nothing is tried where nothing is known."""
    assert list(paths_to(_Instance(), [], _none)) == []  # type: ignore[arg-type]


def test_a_path_of_the_environments_own_is_the_only_one() -> None:
    """A published port, a guest's address."""
    (published,) = paths_to(_Published(), ["192.0.2.7"], _none)  # type: ignore[arg-type]
    assert (published.address, published.ports) == ("127.0.0.1", {"tcp": 4000})
    (addressed,) = paths_to(_Addressed(), [], _none)  # type: ignore[arg-type]
    assert (addressed.address, addressed.ports) == ("192.0.2.9", {})
