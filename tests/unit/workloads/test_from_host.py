"""What a driver on the host needs to know: addresses, a port, CPUs."""

from __future__ import annotations

import os
import socket

import pytest

from isobench.workloads import from_host

TRIE = """\
Main:
     +-- 127.0.0.0/8 2 0 2
           |-- 127.0.0.1
              /32 host LOCAL
     +-- 198.18.0.0/30 2 0 2
           |-- 198.18.0.0
              /30 link UNICAST
           |-- 198.18.0.2
              /32 host LOCAL
        |-- 198.18.0.3
           /32 link BROADCAST
Local:
           |-- 127.0.0.1
              /32 host LOCAL
           |-- 198.18.0.2
              /32 host LOCAL
"""


class _Published:
    published_port = 7001


def test_addresses_are_the_hosts_own_without_its_loopback() -> None:
    """Each once; not networks, nor broadcasts."""
    assert from_host.local_addresses(TRIE) == ["198.18.0.2"]
    assert from_host.local_addresses("") == []


def test_a_port_that_somebody_has_is_not_taken() -> None:
    """The environment's published one is; a wanted one that is free, too."""
    assert from_host.port_for(_Published(), 1234) == 7001  # type: ignore[arg-type]
    with socket.socket() as somebody:
        somebody.bind(("127.0.0.1", 0))
        somebody.listen()
        taken = somebody.getsockname()[1]
        assert from_host.port_for(object(), taken) not in (0, taken)  # type: ignore[arg-type]
    assert from_host.port_for(object(), taken) == taken  # type: ignore[arg-type]


def test_the_driver_has_cpus_of_its_own_where_there_are_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it shares those of the instance."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 0, 2, 1})
    assert from_host.cpus_of_the_driver(2) == ([2, 3], True)
    assert from_host.cpus_of_the_driver(4) == ([0, 1, 2, 3], False)
