"""Whether a recorded network namespace is still the same one, or still exists."""

from __future__ import annotations

import ctypes
import errno
import os
import re
import socket
import struct
from contextlib import suppress
from pathlib import Path

from isobench.processes.serving import proc_is_ours

_SO_NETNS_COOKIE = 71
"""asm-generic/socket.h."""
_INITIAL = {"pid": 0xEFFFFFFC, "user": 0xEFFFFFFD}
"""The inodes of the first namespaces, which see all others (linux/proc_ns.h)."""
_AT_FDCWD, _AT_SYMLINK_FOLLOW = -100, 0x400
_LONGEST = 128
"""Bytes of a handle: MAX_HANDLE_SZ of fcntl.h."""
_HELD = re.compile(r"(net|mnt):\[(\d+)\]")


def cookie() -> int:
    """A number of this network namespace that, unlike its inode, the kernel does not reuse until a reboot; 0 before
    Linux 5.14."""
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        return int.from_bytes(one.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8), "little")
    return 0


def handle() -> str:
    """A handle of this network namespace, valid while it exists (name_to_handle_at(2)); empty before Linux 6.18, which
    has no such handles."""
    room = ctypes.create_string_buffer(struct.pack("Ii", _LONGEST, 0), 8 + _LONGEST)
    words = (_AT_FDCWD, b"/proc/self/ns/net", room, ctypes.byref(ctypes.c_int()), _AT_SYMLINK_FOLLOW)
    if ctypes.CDLL(None).name_to_handle_at(*words) != 0:
        return ""
    return room.raw[: 8 + struct.unpack_from("I", room.raw)[0]].hex()


def is_gone(inode: int, handle: str) -> bool:
    """Whether a network namespace of this boot has certainly ended, by its inode and its `handle`."""
    if handle:
        return _is_stale(bytes.fromhex(handle))
    seen = _living()
    return seen is not None and inode not in seen


def _is_stale(handle: bytes) -> bool:
    any_namespace = os.open("/proc/self/ns/net", os.O_RDONLY)
    try:
        library = ctypes.CDLL(None, use_errno=True)
        opened = library.open_by_handle_at(any_namespace, handle, os.O_RDONLY | os.O_CLOEXEC)
        if opened < 0:
            return ctypes.get_errno() == errno.ESTALE
        os.close(opened)
        return False
    finally:
        os.close(any_namespace)


def _living() -> set[int] | None:
    """The inodes of all network namespaces that a process or anything else holds; None if not all can be seen."""
    if os.geteuid() != 0 or not proc_is_ours() or any(_inode(kind) != first for kind, first in _INITIAL.items()):
        return None
    try:
        return _scanned() | _scanned()  # a second time: descriptors may have been passed between processes meanwhile
    except (PermissionError, LookupError):
        return None


def _inode(kind: str) -> int:
    return Path("/proc/self/ns", kind).stat().st_ino


def _scanned() -> set[int]:
    """Raises `PermissionError` or `LookupError` if some may be hidden."""
    found: dict[str, set[int]] = {"net": set(), "mnt": set()}
    inhabited, looked = set(), set()
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(*_ENDED):
            texts = [*_links(entry / "fd"), *_links(entry / "task", "ns/net")]
            view = ((entry / "ns/mnt").readlink(), (entry / "root").readlink())
            inhabited.add(str(view[0]))
            if view not in looked:
                texts.append((entry / "mountinfo").read_text(errors="replace"))
                looked.add(view)
            for kind, inode in _HELD.findall("\n".join(texts)):
                found[kind].add(int(inode))
    if not {f"mnt:[{inode}]" for inode in found["mnt"]} <= inhabited:
        raise LookupError("a mount namespace without a process: its mounts cannot be inspected")
    return found["net"]


_ENDED = (FileNotFoundError, ProcessLookupError)
"""Errors of reading about a process, thread or descriptor that has ended meanwhile."""


def _links(folder: Path, inner: str = "") -> list[str]:
    """The targets of the links in a folder, or in its subfolders."""
    targets = []
    for name in os.listdir(folder):
        with suppress(*_ENDED):
            targets.append(str((folder / name / inner).readlink()))
    return targets
