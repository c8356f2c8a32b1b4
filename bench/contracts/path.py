"""The paths from the host to a server in an instance, as its environment has them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from isobench.contracts.capabilities import HasAddress, HasPublished

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from isobench.contracts.environment import Instance

HOST_NETWORK = "the host's own network, over its loopback"


class Path(NamedTuple):
    """One path: a description, its address, and the ports by protocol if they are not the server's own."""

    words: str
    address: str
    ports: Mapping[str, int]


def paths_to(instance: Instance, addresses: Sequence[str], lay_veth: Callable[[int], Sequence[str]]) -> Iterator[Path]:
    """The paths to try, the environment's own first. `addresses` are the instance's other than its loopback's.

    `lay_veth` creates a veth pair into the network namespace of a process and returns the addresses of its end there.
    It is called only if there is no other path.
    """
    if isinstance(instance, HasPublished):
        yield Path("a port published on the host's loopback", "127.0.0.1", instance.published())
        return
    if isinstance(instance, HasAddress):
        yield Path("a tap on a bridge of the host", instance.address, {})
        return
    own = own_namespace(instance)
    if own is None:
        yield Path(HOST_NETWORK, "127.0.0.1", {})
    for address in addresses:
        yield Path(f"the instance's address {address}", address, {})
    if own and not addresses:
        for address in lay_veth(own):
            yield Path("a veth pair created for the purpose", address, {})


def own_namespace(instance: Instance) -> int | None:
    """A process in the instance's own network namespace; None if that is the host's, 0 if no process shows it.

    A guest's VMM is in the host's namespace, which says nothing about the guest: the server's answer has to show
    whether it is the instance's own.
    """
    host = os.readlink("/proc/self/ns/net")  # noqa: PTH115 (a link to no file)
    pids = [pid for pid, role in instance.host_pids().items() if role == "payload"]
    for pid in pids:
        try:
            if os.readlink(f"/proc/{pid}/ns/net") != host:  # noqa: PTH115
                return pid
        except OSError:
            continue
    return None if pids else 0
