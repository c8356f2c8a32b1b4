"""The pairs of virtual interfaces that a killed dockerd leaves: which are its own, and nobody else's.

It makes a pair in the host's network namespace, joins one end to its bridge, writes the other end's name into its
database and moves that end into the container's. What it was killed over in between, no dockerd looks for again.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isobench.host.accounting import pids_with, process_name

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_NAME = re.compile(r"veth[0-9a-f]{7}")
"""What libnetwork calls either end."""
_ENDPOINT = re.compile(rb'"SrcName":"(veth[0-9a-f]{7})"')
"""In libnetwork's database, which is no more than pages of JSON for this purpose: the end that the container gets."""


def indexes() -> list[int]:
    """Of the interfaces that there are; the kernel gives none of them twice."""
    return sorted(index for index, _ in socket.if_nameindex())


def left(before: Collection[int], bridge: str, data: Path, *, is_ours: bool) -> Iterator[str]:
    """One end of each pair that the dockerd with this `data`, which is gone, has left since there was what was before.

    `is_ours`: that dockerd made the bridge.
    """
    names = recorded(data)
    yield from chosen(_links(), before, bridge if is_ours else "", names, is_alone=not _other_dockerd())


def chosen(
    links: list[dict[str, Any]], before: Collection[int], bridge: str, recorded: Collection[str], *, is_alone: bool
) -> Iterator[str]:
    """The same, out of what `ip -json link show` says.

    A pair of a name in the database is ours. Of the others, those on the bridge that we made, and those that have
    both ends here, are ours where no other dockerd is at work here (`is_alone`).
    """
    new = {str(one["ifname"]): one for one in links if one["ifindex"] not in before and _NAME.fullmatch(one["ifname"])}
    told: set[str] = set()
    for name, one in new.items():
        peer = str(one.get("link", ""))
        is_half_made = peer in new
        is_known = name in recorded or (is_half_made and peer in recorded)
        on_bridge = bool(bridge) and one.get("master") == bridge
        if peer not in told and (is_known or (is_alone and (is_half_made or on_bridge))):
            told.add(name)
            yield name


def recorded(data: Path) -> set[str]:
    """The container's ends of all pairs that a dockerd with this data has made lately."""
    with suppress(OSError):
        return {name.decode() for name in _ENDPOINT.findall((data / "network/files/local-kv.db").read_bytes())}
    return set()


def _links() -> list[dict[str, Any]]:
    """Of the kind of these pairs."""
    words = ["ip", "-json", "link", "show", "type", "veth"]
    with suppress(OSError, ValueError):
        done = subprocess.run(words, check=False, capture_output=True, process_group=0)
        return [one for one in json.loads(done.stdout or b"[]") if "ifname" in one and "ifindex" in one]
    return []


def _other_dockerd() -> bool:
    """Whether one runs in this network namespace."""
    here = Path("/proc/self/ns/net").stat().st_ino
    for pid in pids_with("dockerd"):
        with suppress(OSError):
            if process_name(pid) == "dockerd" and Path(f"/proc/{pid}/ns/net").stat().st_ino == here:
                return True
    return False
