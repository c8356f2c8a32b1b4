"""`python -m verification.faults.refusing CALL=ERROR… -- COMMAND…`: a command whose system calls of these names fail.

As on a network or FUSE file system without such an operation. A seccomp filter does that, written by hand for x86-64
and arm64 (seccomp(2), Documentation/userspace-api/seccomp_filter.rst); all child processes inherit it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys

CALLS = {
    "x86_64": {"flock": 73, "fsync": 74, "fdatasync": 75, "linkat": 265, "openat": 257},
    "aarch64": {"flock": 32, "fsync": 82, "fdatasync": 83, "linkat": 37, "openat": 56},
}
_TMPFILE = "tmpfile"
"""openat with O_TMPFILE only."""
_LOAD, _SAME, _ANY_OF, _END = 0x20, 0x15, 0x45, 0x06
_REFUSE, _ALLOW = 0x00050000, 0x7FFF0000
_NUMBER, _FLAGS = 0, 16 + 8 * 2
"""Where in `struct seccomp_data` the call's number is, and openat's flags."""
_SET_NO_NEW_PRIVS, _SET_SECCOMP, _FILTER = 38, 22, 2


def main(words: list[str]) -> None:
    at = words.index("--")
    numbers = CALLS[platform.machine()]
    program = b""
    for word in words[:at]:
        call, _, error = word.partition("=")
        refuse = (_END, 0, 0, _REFUSE | getattr(errno, error))
        load = (_LOAD, 0, 0, _NUMBER)
        if call == _TMPFILE:
            flag = os.O_TMPFILE & ~os.O_DIRECTORY
            steps = [load, (_SAME, 0, 3, numbers["openat"]), (_LOAD, 0, 0, _FLAGS), (_ANY_OF, 0, 1, flag), refuse]
        else:
            steps = [load, (_SAME, 0, 1, numbers[call]), refuse]
        program += b"".join(struct.pack("HBBI", *step) for step in steps)
    program += struct.pack("HBBI", _END, 0, 0, _ALLOW)
    _install(program)
    os.execvp(words[at + 1], words[at + 1 :])


def _install(program: bytes) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    held = ctypes.create_string_buffer(program, len(program))
    whole = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(held)))
    if library.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or library.prctl(_SET_SECCOMP, _FILTER, whole, 0, 0):
        raise OSError(ctypes.get_errno(), "the filter was refused")


if __name__ == "__main__":
    main(sys.argv[1:])
