"""What the kernel, Docker and ip say to the environments with a network: read, or an error with a reason."""

from __future__ import annotations

import json
from ipaddress import IPv4Network
from typing import Any

import pytest

from isobench.core.errors import MeasurementError
from isobench.environments.docker import _published
from isobench.environments.libvirt import _network

SOCKETS = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 5 1 0 100 0 0 10 0
   1: 0100007F:9C41 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 6 1 0 100 0 0 10 0
   2: 0100007F:9C42 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 7 1 0 100 0 0 10 0
   3: 0100007F:9C43 0100007F:9C42 01 00000000:00000000 00:00000000 00000000     0        0 8 1 0 100 0 0 10 0
"""


REFUSED = """libvirt cannot start the domain: internal error: Child process (tc qdisc add dev vnet0 parent 1:1 \
handle 2: sfq perturb 10) unexpected exit status 2: Error: Specified qdisc kind is unknown.
"""


def test_what_tc_refuses_libvirt_is_told() -> None:
    """The command and the reason; another error is none of a limit."""
    told = "tc qdisc add dev vnet0 parent 1:1 handle 2: sfq perturb 10: Specified qdisc kind is unknown."
    assert _network.parse_refused_limit(REFUSED) == told
    assert _network.parse_refused_limit("libvirt cannot start the domain: no memory (7)") == ""


def test_the_port_is_the_one_of_the_processs_own_socket() -> None:
    """On the loopback, listening, and among the files that the process has open."""
    assert _network.parse_bound_port(SOCKETS, {"socket:[5]", "socket:[7]", "socket:[8]"}) == 0x9C42
    assert _network.parse_bound_port(SOCKETS, {"socket:[5]", "socket:[8]"}) is None


@pytest.mark.parametrize(
    "text", ["", "\n\n", "1: 0100007F:9C41\n", "1: 0100007F:XYZW 0:0000 a a a a a a 7\n", "\0\ufffd"]
)
def test_lines_that_are_cut_off_have_no_port(text: str) -> None:
    """They are passed over."""
    assert _network.parse_bound_port(text, {"socket:[7]", "socket:[]"}) is None


def test_networks_in_use() -> None:
    """All but the default route; an address is a network of one."""
    said = json.dumps([{"dst": "default"}, {"dst": "10.0.0.0/8"}, {"dst": "192.0.2.1"}])
    assert _network.parse_routes(said) == [IPv4Network("10.0.0.0/8"), IPv4Network("192.0.2.1/32")]


@pytest.mark.parametrize("said", ["", "{", "7", "[7]", "[{}]", '[{"dst": 7}]', '[{"dst": "x"}]', "[[]]"])
def test_routes_of_another_form_are_an_error(said: str) -> None:
    """No JSON, or JSON of another type."""
    with pytest.raises(MeasurementError, match="unexpected form"):
        _network.parse_routes(said)


def _container(port: Any) -> dict[str, Any]:
    return {"NetworkSettings": {"Ports": {"7001/tcp": port, "7001/udp": port}}}


def test_published_ports() -> None:
    """By protocol."""
    assert _published.parse_ports(_container([{"HostPort": "32768"}])) == {"tcp": 32768, "udp": 32768}


@pytest.mark.parametrize("port", [None, [], [{}], [{"HostPort": ""}], [{"HostPort": None}], 7])
def test_ports_that_are_not_published_are_an_error(port: Any) -> None:
    """A container that has ended has none."""
    with pytest.raises(MeasurementError, match="where the port is published"):
        _published.parse_ports(_container(port))
    with pytest.raises(MeasurementError, match="where the port is published"):
        _published.parse_ports({})
