"""The seccomp filter, as the kernel takes it: what it denies is denied, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from isobench.images import seccomp

UNDER_THE_FILTER = """
import ctypes, errno, os, sys
from pathlib import Path
libc = ctypes.CDLL(None, use_errno=True)
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
code = Path(sys.argv[1]).read_bytes()
buffer = ctypes.create_string_buffer(code)
program = Program(len(code) // 8, ctypes.addressof(buffer))
assert libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
assert libc.prctl(22, 2, ctypes.byref(program), 0, 0) == 0  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
def told(*words):
    ctypes.set_errno(0)
    return errno.errorcode.get(ctypes.get_errno(), "ok") if libc.syscall(*map(ctypes.c_ulong, words)) == -1 else "ok"
print(told(NUMBERS["unshare"], 0), told(NUMBERS["clone3"], 0, 0), told(NUMBERS["getppid"]),
      told(NUMBERS["socket"], 40, 1, 0), told(NUMBERS["socket"], 1, 1, 0), told(NUMBERS["personality"], 0xFFFFFFFF),
      told(NUMBERS["personality"], 0x0040000))
"""


def test_the_kernel_takes_it_and_denies_what_it_says(tmp_path: Path) -> None:
    """Namespaces are denied, clone3 is not there, a vsock and odd personalities are denied, the rest passes."""
    library = seccomp._load()
    names = ("unshare", "clone3", "getppid", "socket", "personality")
    numbers = {name: library.seccomp_syscall_resolve_name(name.encode()) for name in names}
    file = tmp_path / "filter"
    file.write_bytes(seccomp.compile_default_profile())
    script = f"NUMBERS = {numbers}\n{UNDER_THE_FILTER}"
    done = subprocess.run([sys.executable, "-c", script, str(file)], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["EPERM", "ENOSYS", "ok", "EPERM", "ok", "ok", "EPERM"], done.stderr


def test_the_oci_profile_is_the_same(tmp_path: Path) -> None:
    """Allowed there is what is allowed here; checked by arguments are the same three."""
    rules = seccomp.oci_profile()["syscalls"]
    assert isinstance(rules, list)
    always = set(rules[0]["names"])
    assert not always & seccomp.DENIED and {"read", "execve", "futex"} <= always
    assert {rule["names"][0] for rule in rules[1:]} == {"clone", "personality", "socket", "clone3"}
    assert not always & {"clone", "personality", "socket"}
