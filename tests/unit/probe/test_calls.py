"""The probe's look at system calls, under filters that the kernel takes: denied, killed for, and let through."""

from __future__ import annotations

import ctypes
import errno
import json
import signal
import struct
import subprocess
from collections.abc import Callable

import pytest

from isobench.images.seccomp import names
from isobench.probe.build import probe_path

_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
NUMBERS = {name: number for number, name in names().items()}


def _under(answers: dict[str, int]) -> Callable[[], None]:
    """Have this process filtered: these answers for these calls (seccomp(2)), every other allowed."""
    code = struct.pack("HBBI", 0x20, 0, 0, 0)  # load the number of the call
    for name, answer in answers.items():
        code += struct.pack("HBBI", 0x15, 0, 1, NUMBERS[name]) + struct.pack("HBBI", 0x06, 0, 0, answer)
    code += struct.pack("HBBI", 0x06, 0, 0, _ALLOW)
    libc = ctypes.CDLL(None)
    kept = ctypes.create_string_buffer(code)
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(kept)))

    def install() -> None:
        assert libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
        assert libc.prctl(22, 2, ctypes.byref(program), 0, 0) == 0, kept  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER

    return install


def _outcomes(before: Callable[[], None] | None = None) -> dict[str, tuple[int, int]]:
    """What the filter and the call answered, by the call's name."""
    done = subprocess.run(
        [probe_path(), "surface", str(max(NUMBERS.values()))], capture_output=True, preexec_fn=before, timeout=120
    )
    said = json.loads(done.stdout.splitlines()[2])["calls"]
    return {names()[number]: (asked, answered) for number, asked, answered in said if number in names()}


def test_calls_end_early_or_do_nothing() -> None:
    """A descriptor that is none, an address that is none, an exit, a wait that is cut short, a child; what cannot be
    called so is left out."""
    found = _outcomes()
    assert found["read"] == (0, errno.EBADF) and found["openat"] == (0, errno.EFAULT)
    assert found["exit"] == found["exit_group"] == found["getpid"] == (0, 0)
    assert found["clone"] == (0, errno.EINVAL) and found["kill"] == (0, 0)
    for name in {"pause", "fork", "vfork"} & set(NUMBERS):
        assert found[name] == (0, 0)
    assert not {"rt_sigreturn", "sync"} & set(found)
    assert {asked for asked, _ in found.values()} == {0}  # nothing was filtered
    assert -signal.SIGSYS not in {answered for _, answered in found.values()}


def test_a_filters_answer_is_told_from_the_kernels() -> None:
    """Its errors, also where the kernel gives the same one, and what it kills for."""
    filtered = {"getpid": _ERRNO | errno.EPERM, "clone3": _ERRNO | errno.ENOSYS, "mount": _ERRNO | errno.EACCES}
    found = _outcomes(_under({**filtered, "bpf": _KILL}))
    assert found["getpid"] == (errno.EPERM, errno.EPERM)
    assert found["clone3"] == (0, errno.ENOSYS)  # as an absent one
    assert found["mount"] == (errno.EACCES, errno.EACCES)
    assert found["bpf"] == (-signal.SIGSYS, -signal.SIGSYS)
    assert found["read"] == (0, errno.EBADF) and found["exit"] == (0, 0)


@pytest.mark.parametrize("words", [(), ("1", "2")])
def test_it_wants_the_last_number(words: tuple[str, ...]) -> None:
    done = subprocess.run([probe_path(), "surface", *words], capture_output=True, timeout=60)
    assert done.returncode == 1 and b"wants the number of the last system call" in done.stdout
