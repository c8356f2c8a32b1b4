"""Which pairs of virtual interfaces a killed dockerd has left, as opposed to those of others.

dockerd creates a pair in the host's network namespace, joins one end to its bridge, writes the other end's name into
its database and moves that end into the container's. If it is killed in between, no later dockerd removes the pair.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isobench.processes.accounting import pids_with, process_name

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_NAME = re.compile(r"veth[0-9a-f]{7}")
"""What libnetwork calls either end."""
_ENDPOINT = re.compile(rb'"SrcName":"(veth[0-9a-f]{7})"')
"""The container's end in libnetwork's database, which can be read as pages of JSON here."""


def indexes() -> list[int]:
    """Indices of the existing interfaces; the kernel does not reuse them."""
    return sorted(index for index, _ in socket.if_nameindex())


def left(before: Collection[int], bridge: str, data: Path, *, is_ours: bool) -> Iterator[str]:
    """One end of each pair that the ended dockerd with this `data` has left since the interfaces `before`.

    `is_ours`: that dockerd made the bridge.
    """
    names = recorded(data)
    yield from chosen(_links(), before, bridge if is_ours else "", names, is_alone=not dockerds())


def chosen(
    links: list[dict[str, Any]], before: Collection[int], bridge: str, recorded: Collection[str], *, is_alone: bool
) -> Iterator[str]:
    """The same, from the output of `ip -json link show`.

    A pair whose name is in the database belongs to this dockerd. So do those on its bridge, and those with both ends
    here, if no other dockerd runs here (`is_alone`).
    """
    new = {str(one["ifname"]): one for one in links if one["ifindex"] not in before and _NAME.fullmatch(one["ifname"])}
    yielded: set[str] = set()
    for name, one in new.items():
        peer = str(one.get("link", ""))
        is_half_made = peer in new
        is_known = name in recorded or (is_half_made and peer in recorded)
        on_bridge = bool(bridge) and one.get("master") == bridge
        if peer not in yielded and (is_known or (is_alone and (is_half_made or on_bridge))):
            yielded.add(name)
            yield name


def recorded(data: Path) -> set[str]:
    """The container's ends of all pairs that a dockerd with this data has created recently."""
    with suppress(OSError):
        return {name.decode() for name in _ENDPOINT.findall((data / "network/files/local-kv.db").read_bytes())}
    return set()


def _links() -> list[dict[str, Any]]:
    """All veth interfaces, as `ip` describes them; none if that fails."""
    words = ["ip", "-json", "link", "show", "type", "veth"]
    with suppress(OSError, ValueError):
        done = subprocess.run(words, check=False, capture_output=True, process_group=0)
        return [one for one in json.loads(done.stdout or b"[]") if "ifname" in one and "ifindex" in one]
    return []


def dockerds() -> list[int]:
    """Every dockerd in this network namespace."""
    here = Path("/proc/self/ns/net").stat().st_ino
    found = []
    for pid in pids_with("dockerd"):
        with suppress(OSError):
            if process_name(pid) == "dockerd" and Path(f"/proc/{pid}/ns/net").stat().st_ino == here:
                found.append(pid)
    return found
