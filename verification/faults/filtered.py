"""Run a command with some system calls refused, as in a container.

python -m verification.faults.filtered ERRNO CALL,… COMMAND…
"""

from __future__ import annotations

import ctypes
import ctypes.util
import errno
import os
import sys

_ALLOW, _ERRNO, _NO_NEW_PRIVS = 0x7FFF0000, 0x00050000, 38


def refuse(calls: list[str], number: int) -> None:
    """Make these system calls of this process, and of all that it starts, fail with this errno."""
    library = ctypes.CDLL(ctypes.util.find_library("seccomp") or "libseccomp.so.2", use_errno=True)
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(_ALLOW)))
    for call in calls:
        resolved = library.seccomp_syscall_resolve_name(call.encode())
        if library.seccomp_rule_add_array(context, ctypes.c_uint32(_ERRNO | number), resolved, 0, None) != 0:
            raise SystemExit(f"cannot refuse {call}")
    ctypes.CDLL(None).prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)
    if library.seccomp_load(context) != 0:
        raise SystemExit("cannot load the filter")


if __name__ == "__main__":
    refuse(sys.argv[2].split(","), getattr(errno, sys.argv[1]))
    os.execvp(sys.argv[3], sys.argv[3:])
