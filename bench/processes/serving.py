"""Which process serves a socket, found by open files, because the creator of a socket may have passed it on.

systemd creates docker.socket and libvirtd.socket, listens, and passes them to the daemon that it starts; a tunnel
listens for an engine of another machine. So a daemon is a process with the expected name that holds the listening
socket.
"""

from __future__ import annotations

import os
import re
import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from isobench.core import deadlines
from isobench.processes.accounting import cgroups_of, descriptors, parent, peer_pid, process_name, text_of, users_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

_LISTENING = 0x10000
"""__SO_ACCEPTCON of the kernel's net.h, a flag in /proc/net/unix."""
_TCP_LISTENING = "0A"
"""TCP_LISTEN in /proc/net/tcp."""


class Server(NamedTuple):
    """A daemon's process, or 0 and a readable reason why it is not known."""

    pid: int
    why_not: str = ""


_known: dict[tuple[str, frozenset[str]], tuple[int, str]] = {}
"""Cache: socket and names -> the process found and its start time, valid while it lives."""


def server_of(path: str, names: frozenset[str]) -> Server:
    """The process of one of these names that serves a unix socket."""
    made = 0
    with suppress(OSError):
        made = os.stat(path).st_ctime_ns  # noqa: PTH116 (a socket made anew may be another daemon's)
    return remembered(f"{path} {made}", names, lambda: _server_of(path, names))


def server_of_port(host: str, port: int, names: frozenset[str]) -> Server:
    """The process of one of these names that serves a TCP port of this machine."""
    return remembered(f"{host}:{port}", names, lambda: _server_of_port(host, port, names))


def remembered(where: str, names: frozenset[str], find: Callable[[], Server]) -> Server:
    """The cached result of `find` for this socket and these names, as long as that process lives."""
    pid, began = _known.get((where, names), (0, ""))
    if pid and process_name(pid) in names and _began(pid) == began:
        return Server(pid)
    server = find()
    _known[where, names] = server.pid, _began(server.pid)
    return server


def _began(pid: int) -> str:
    """The start time of a process in the kernel's ticks; empty if it does not exist."""
    return (text_of(f"/proc/{pid}/stat").rpartition(")")[2].split() or [""] * 20)[19]


def _server_of(path: str, names: Collection[str]) -> Server:
    maker = peer_pid(path)
    tables = dict.fromkeys(("self", *([str(maker)] if maker else [])))
    rows = "\n".join(text_of(f"/proc/{table}/net/unix") for table in tables)
    return _named(path, holders(listeners(rows, path)), maker, names)


def _server_of_port(host: str, port: int, names: Collection[str]) -> Server:
    if not _is_here(host):
        return Server(0, f"{host} is another machine")
    rows = text_of("/proc/self/net/tcp") + "\n" + text_of("/proc/self/net/tcp6")
    return _named(f"port {port}", holders(tcp_listeners(rows, port)), 0, names)


def serving_pid(path: str) -> int:
    """The process that serves a unix socket, whatever its name; 0 if none is visible.

    If others hold the socket besides its creator, it was passed on to one of them.
    """
    maker = peer_pid(path)
    rows = "\n".join(text_of(f"/proc/{table}/net/unix") for table in ("self", maker))
    handed = [pid for pid in holders(listeners(rows, path)) if pid != maker]
    return next((pid for pid in handed if parent(pid) not in handed), maker)


def _named(where: str, found: Collection[int], maker: int, names: Collection[str]) -> Server:
    called = [pid for pid in found if process_name(pid) in names]
    if not called and process_name(maker) in names:
        called = [maker]  # its open files may be looked at by root only
    if not called and not found and os.geteuid() != 0:
        called = _of_unit(names)
    first = next((pid for pid in called if parent(pid) not in called), 0)
    if first:
        return Server(first) if is_here(first) else Server(0, f"{_said(first)} is in another PID namespace")
    others = ", ".join(sorted({_said(pid) for pid in (*found, maker) if pid}))
    if others:
        return Server(0, f"{others}, none of {', '.join(sorted(names))}, listens at {where}")
    return Server(0, f"the server of {where} is in another PID namespace, or on another machine")


def _said(pid: int) -> str:
    return f"{process_name(pid) or 'a process'} ({pid})"


def _of_unit(names: Collection[str]) -> list[int]:
    """The only process of such a name in a systemd unit of that name, which an ordinary user can see."""
    found = [int(entry) for entry in os.listdir("/proc") if entry.isdigit() and _is_a_daemon(int(entry), names)]
    found = [pid for pid in found if re.search(r"/[\w-]+\.service(/|$)", cgroups_of(pid), re.MULTILINE)]
    return found if len(found) == 1 else []


def _is_a_daemon(pid: int, names: Collection[str]) -> bool:
    """By its name, which any process can choose, and its user: this one or root."""
    return process_name(pid) in names and users_of(pid)[0]


def is_here(pid: int) -> bool:
    """Whether a process is in this PID namespace, so that pids it reports match /proc."""
    spaces = re.search(r"^NSpid:\s*(.*)$", text_of(f"/proc/{pid}/status"), re.MULTILINE)
    return proc_is_ours() and (spaces is None or len(spaces[1].split()) == 1)


def proc_is_ours() -> bool:
    """Whether /proc shows this PID namespace: without a new mount of /proc it shows the parent's."""
    with suppress(OSError):
        return os.readlink("/proc/self") == str(os.getpid())  # noqa: PTH115 (a link that no Path can hold)
    return False


def connected_to(pid: int, names: Collection[str]) -> list[int]:
    """The processes of these names at the other ends of a process's unix sockets."""
    own = _open(pid, "socket")
    ends = {peer for inode, peer in peers() if inode in own}
    return [other for other in holders(ends) if other != pid and _is_a_daemon(other, names)]


def writes_to(pid: int, names: Collection[str]) -> list[int]:
    """The processes of these names that have a process's pipes open, too."""
    own = _open(pid, "pipe")
    found = [int(entry) for entry in os.listdir("/proc") if entry.isdigit() and _is_a_daemon(int(entry), names)]
    return sorted(other for other in found if other != pid and own & _open(other, "pipe"))


def connected_paths() -> list[str]:
    """The paths of the unix sockets that this process is connected to."""
    found = []
    for entry in os.listdir("/proc/self/fd"):
        with suppress(OSError, ValueError):
            if not os.readlink(f"/proc/self/fd/{entry}").startswith("socket:"):  # noqa: PTH115 (not a path)
                continue
            with socket.socket(fileno=os.dup(int(entry))) as end:
                name = end.getpeername() if end.family == socket.AF_UNIX else ""
                if isinstance(name, str) and name:
                    found.append(name)
    return found


def listens_at(pid: int, ending: str) -> str:
    """The path with this suffix of a unix socket on which a process listens; empty if there is none."""
    own = _open(pid, "socket")
    for line in text_of(f"/proc/{pid}/net/unix").splitlines():
        words = line.split(maxsplit=7)
        if len(words) == 8 and words[7].endswith(ending) and listeners(line, words[7]) & own:
            return words[7]
    return ""


def listeners(rows: str, path: str) -> set[int]:
    """The inodes of the sockets that listen on a path, from /proc/net/unix, which may show it under another name."""
    found = set()
    for line in rows.splitlines():
        words = line.split(maxsplit=7)
        if len(words) == 8 and words[3].isalnum() and words[6].isdigit() and _same(words[7], path):
            with suppress(ValueError):
                if int(words[3], 16) & _LISTENING:
                    found.add(int(words[6]))
    return found


def tcp_listeners(rows: str, port: int) -> set[int]:
    """The inodes of the sockets that listen on a port, out of /proc/net/tcp and tcp6."""
    found = set()
    for line in rows.splitlines():
        words = line.split()
        if len(words) > 9 and words[3] == _TCP_LISTENING and words[9].isdigit():
            with suppress(ValueError):
                if int(words[1].rpartition(":")[2], 16) == port:
                    found.add(int(words[9]))
    return found


def listening_ports(pid: int) -> list[int]:
    """The TCP ports at which a process listens over IPv4."""
    own = _open(pid, "socket")
    rows = [line.split() for line in text_of(f"/proc/{pid}/net/tcp").splitlines()[1:]]
    ports = [int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == _TCP_LISTENING and int(row[9]) in own]
    return sorted(ports)


def holders(inodes: Collection[int]) -> list[int]:
    """The processes that have one of these sockets open, as far as this user may look, the oldest first."""
    if not inodes:
        return []
    pids = [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]
    return sorted(pid for pid in pids if _open(pid, "socket") & set(inodes))


def peers() -> Iterable[tuple[int, int]]:
    """Each connected unix socket of this network namespace and its peer, by inode (sock_diag(7)); empty if the kernel
    does not report them."""
    request = struct.pack("=BBHIIIII", socket.AF_UNIX, 0, 0, 0xFFFFFFFF, 0, _SHOW_PEER, 0xFFFFFFFF, 0xFFFFFFFF)
    header = struct.pack("=IHHII", 16 + len(request), _SOCK_DIAG_BY_FAMILY, _REQUEST_DUMP, 1, 0)
    data = bytearray()
    with suppress(OSError), socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as diag:
        diag.settimeout(deadlines.stretched(5))
        diag.send(header + request)
        while True:
            part = diag.recv(1 << 16)
            data += part
            if len(part) < 16 or _kinds(part) & {_DONE, _ERROR}:
                break
    return parse_peers(bytes(data))


_NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY, _REQUEST_DUMP, _SHOW_PEER = 4, 20, 0x301, 0x4
_ERROR, _DONE, _PEER = 2, 3, 2
"""NLMSG_ERROR, NLMSG_DONE and UNIX_DIAG_PEER of the kernel's headers."""


def _messages(data: bytes) -> Iterable[tuple[int, bytes]]:
    at = 0
    while at + 16 <= len(data):
        length, kind = struct.unpack_from("=IH", data, at)
        if length < 16:
            return
        yield kind, data[at + 16 : at + length]
        at += (length + 3) & ~3


def _kinds(data: bytes) -> set[int]:
    return {kind for kind, _ in _messages(data)}


def parse_peers(data: bytes) -> list[tuple[int, int]]:
    """Parse netlink's answer: messages of a `unix_diag_msg` and attributes."""
    found = []
    for kind, body in _messages(data):
        if kind != _SOCK_DIAG_BY_FAMILY or len(body) < 16:
            continue
        inode, at = struct.unpack_from("=I", body, 4)[0], 16
        while at + 4 <= len(body):
            length, what = struct.unpack_from("=HH", body, at)
            if length < 4:
                break
            if what == _PEER and at + 8 <= len(body):
                found.append((inode, struct.unpack_from("=I", body, at + 4)[0]))
            at += (length + 3) & ~3
    return found


def _open(pid: int, kind: str) -> set[int]:
    """The inodes of a process's open sockets or pipes; empty if they may not be read."""
    return {int(target[len(kind) + 2 : -1]) for target in descriptors(pid) if target.startswith(f"{kind}:[")}


def _same(bound: str, path: str) -> bool:
    if bound == path:
        return True
    with suppress(OSError, ValueError):
        same_name = bound.rpartition("/")[2] == os.path.realpath(path).rpartition("/")[2]
        return same_name and os.path.samefile(bound, path)  # noqa: PTH121
    return False


def _is_here(host: str) -> bool:
    """Whether an address is one of this machine's: only those can be bound."""
    with suppress(OSError):
        for family, kind, protocol, _, where in socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM):
            with suppress(OSError), socket.socket(family, kind, protocol) as trial:
                trial.bind(where)
                return True
    return False
