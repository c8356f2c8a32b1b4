"""A limit on what an interface of this host sends: the kernel's token bucket filter, set with tc (iproute2).

A veth pair is limited at its end on the host, which sends what the instance receives. The limit disappears with the
pair.
"""

from __future__ import annotations

import json
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from isobench.core import deadlines
from isobench.core.errors import MeasurementError, Unavailable
from isobench.processes.programs import find, output

if TYPE_CHECKING:
    from collections.abc import Iterator

BURST = 1 << 16
"""Burst size in bytes: enough for the kernel's slowest timer, and little compared with a second's traffic."""
_QUEUE = 1 << 18
"""Length of the queue in bytes; more is dropped."""


@contextmanager
def held(interface: str, bytes_per_second: int) -> Iterator[None]:
    """Limit what this interface sends meanwhile. Raises `Unavailable` if that is impossible."""
    rate = ["rate", f"{8 * bytes_per_second}bit", "burst", str(BURST), "limit", str(_QUEUE)]
    _said("tc", "qdisc", "replace", "dev", interface, "root", "tbf", *rate)
    try:
        yield
    finally:
        with suppress(Unavailable):  # it may be gone with its instance
            _said("tc", "qdisc", "delete", "dev", interface, "root")


def host_end(pid: int) -> str:
    """The interface of this host that is the other end of the veth pair in a process's network namespace. Raises
    `Unavailable` if there is none."""
    inside = parse_links(_said("nsenter", f"--net=/proc/{pid}/ns/net", "ip", "-json", "link"))
    here = parse_links(_said("ip", "-json", "link"))
    for index, (_, other) in inside.items():
        if other in here and here[other][1] == index:
            return here[other][0]
    raise Unavailable("its network namespace has no veth pair to the host's")


def parse_links(text: str) -> dict[int, tuple[str, int]]:
    """Name and other end of each interface, by its index; 0 if it has no other end. Raises `Unavailable`."""
    try:
        links = json.loads(text)
        return {int(link["ifindex"]): (str(link["ifname"]), int(link.get("link_index", 0))) for link in links}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise Unavailable(f"unexpected form of ip's answer about interfaces: {error!r}") from error


def _said(*words: Any) -> str:
    """The output of a tool. Raises `Unavailable`."""
    tool = find(words[0])
    if tool is None:
        package = "util-linux" if words[0] == "nsenter" else "iproute2"
        raise Unavailable(f"{words[0]} is not installed", remedy=f"apt-get install {package}")
    try:
        return output([tool, *words[1:]], deadlines.stretched(10))
    except MeasurementError as error:
        raise Unavailable(error.reason) from error
