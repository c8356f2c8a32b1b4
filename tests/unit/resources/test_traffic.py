"""A limit of what an interface sends: on a real veth pair, and what ip and tc say where there is none."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
from collections.abc import Iterator

import pytest

from isobench.core.errors import Unavailable
from isobench.resources import traffic
from isobench.resources.traffic import held, host_end, parse_links


def _ip(*words: str) -> str:
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


_NUMBERS = itertools.count()


@pytest.fixture
def elsewhere() -> Iterator[int]:
    """A process in a network namespace of its own, to which a veth pair leads from this one."""
    name = f"isot{os.getpid() % 10**6}n{next(_NUMBERS)}"  # the kernel takes its time to remove the one before
    words = ["unshare", "--net", "--", "sh", "-c", "echo ready; exec sleep 60"]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None and child.stdout.readline() == b"ready\n"
        try:
            _ip("link", "add", name, "type", "veth", "peer", "name", "inside", "netns", str(child.pid))
            yield child.pid
        finally:
            child.kill()


@pytest.mark.root
def test_the_hosts_end_is_limited_meanwhile(elsewhere: int) -> None:
    """By the rate, and not any more afterwards."""
    end = host_end(elsewhere)
    assert end.startswith(f"isot{os.getpid() % 10**6}n")
    with held(end, 4 << 20):
        said = subprocess.run(["tc", "qdisc", "show", "dev", end], capture_output=True, text=True).stdout
        if "tbf" not in said:
            pytest.fail(said)
        assert "rate 33554" in said  # kilobits
    assert "tbf" not in subprocess.run(["tc", "qdisc", "show", "dev", end], capture_output=True, text=True).stdout


@pytest.mark.root
def test_an_interface_that_goes_meanwhile_is_no_error(elsewhere: int) -> None:
    end = host_end(elsewhere)
    with held(end, 4 << 20):
        _ip("link", "delete", end)


@pytest.mark.root
def test_without_a_pair_there_is_no_end() -> None:
    """Of a process that shares the host's network, of one that is gone, and of an interface that is not there."""
    with pytest.raises(Unavailable, match="has no veth pair"):
        host_end(os.getpid())
    with pytest.raises(Unavailable, match="nsenter"):
        host_end(0)
    with pytest.raises(Unavailable, match="tc"), held("isobench-none", 1):
        pytest.fail("it was limited")


def test_the_other_end_is_the_one_that_says_so_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Indices are counted in each namespace by itself, so that many interfaces have the same."""
    inside = [{"ifindex": 1, "ifname": "lo"}, {"ifindex": 2, "ifname": "eth0", "link_index": 9}]
    here = [
        {"ifindex": 8, "ifname": "other", "link_index": 2},
        {"ifindex": 9, "ifname": "mine", "link_index": 2},
    ]
    said = {"nsenter": inside, "ip": here}
    monkeypatch.setattr(traffic, "_said", lambda tool, *words: json.dumps(said[tool]))
    assert host_end(7) == "mine"
    here[1]["link_index"] = 3
    with pytest.raises(Unavailable, match="no veth pair"):
        host_end(7)


@pytest.mark.parametrize("text", ["", "7", "[7]", '[{"ifindex": "x"}]', '[{"ifname": "a"}]', "[" * 100000])
def test_what_ip_does_not_say_is_an_error(text: str) -> None:
    with pytest.raises(Unavailable, match="unexpected form of ip"):
        parse_links(text)


def test_a_tool_that_is_missing_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traffic, "find", lambda name: None)
    with pytest.raises(Unavailable, match="tc is not installed") as error, held("lo", 1):
        pytest.fail("it was limited")
    assert error.value.remedy == "apt-get install iproute2"
