"""A seccomp filter equivalent to Docker's default profile, compiled ahead of time with libseccomp.

Docker's profile (moby `profiles/seccomp`) allows every system call except those that its documentation lists ("Seccomp
security profiles for Docker", significant system calls blocked by the default profile) and a few newer ones. Here it is
written from that documentation as "everything that libseccomp knows, less those", with the same default action (EPERM;
ENOSYS for clone3, whose flags a filter cannot see), the same architectures and the same argument checks for clone,
personality and socket.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import errno
import os
import tempfile

from isobench.core.errors import Unavailable

DENIED = frozenset(
    """
    _sysctl acct add_key bpf clock_adjtime clock_adjtime64 clock_settime clock_settime64 clone3 create_module
    delete_module fanotify_init finit_module fsconfig fsmount fsopen fspick get_kernel_syms get_mempolicy init_module
    io_uring_enter io_uring_register io_uring_setup ioperm iopl kcmp kexec_file_load kexec_load keyctl lookup_dcookie
    mbind mount mount_setattr move_mount move_pages nfsservctl open_by_handle_at open_tree perf_event_open pivot_root
    process_madvise query_module quotactl quotactl_fd reboot request_key set_mempolicy set_mempolicy_home_node
    setdomainname sethostname setns settimeofday stime swapoff swapon syslog sysfs umount umount2 unshare
    uselib userfaultfd ustat vhangup vm86 vm86old
    """.split()  # noqa: SIM905
)

_PERSONALITIES = (0x0, 0x0008, 0x20000, 0x20008, 0xFFFFFFFF)
_CLONE_NAMESPACES = 0x7E020000
"""All CLONE_NEW* flags of clone: a call without them is allowed."""
_AF_VSOCK = 40
_ALLOW = 0x7FFF0000
_ERRNO = 0x00050000
_NE, _EQ, _MASKED_EQ = 1, 4, 7
_LAST_NUMBER = 1024


class _Comparison(ctypes.Structure):
    _fields_ = (("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64))


def compile_default_profile() -> bytes:
    """The filter as an array of `struct sock_filter`. Raises `Unavailable` where libseccomp is missing."""
    library = _load()
    context = ctypes.c_void_p(library.seccomp_init(_ERRNO | errno.EPERM))
    try:
        if library.seccomp_arch_native() == 0xC000003E:  # x86-64: Docker's profile also allows its 32-bit architectures
            for architecture in (0x40000003, 0x4000003E):
                library.seccomp_arch_add(context, architecture)
        for name in _known(library):
            number = library.seccomp_syscall_resolve_name(name.encode())
            for comparison in _comparisons(name):
                _add(library, context, name, number, comparison, _ALLOW)
        _add(library, context, "clone3", library.seccomp_syscall_resolve_name(b"clone3"), None, _ERRNO | errno.ENOSYS)
        return _export(library, context)
    finally:
        library.seccomp_release(context)


def oci_profile() -> dict[str, object]:
    """The same profile in the form of an OCI configuration (`linux.seccomp`). Raises `Unavailable`."""
    names = [name for name in _known(_load()) if _comparisons(name) == (None,)]
    rules: list[dict[str, object]] = [{"names": names, "action": "SCMP_ACT_ALLOW"}]
    words = {_NE: "SCMP_CMP_NE", _EQ: "SCMP_CMP_EQ", _MASKED_EQ: "SCMP_CMP_MASKED_EQ"}
    for name in ("clone", "personality", "socket"):
        for check in _comparisons(name):
            if check is not None:
                argument = {"index": check.arg, "value": check.a, "valueTwo": check.b, "op": words[check.op]}
                rules.append({"names": [name], "action": "SCMP_ACT_ALLOW", "args": [argument]})
    rules.append({"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno.ENOSYS})
    architectures = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]
    if os.uname().machine == "aarch64":
        architectures = ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]
    return {"defaultAction": "SCMP_ACT_ERRNO", "architectures": architectures, "syscalls": rules}


def allowed(name: str) -> bool:
    """Whether the profile allows this system call (perhaps only with certain arguments)."""
    return name not in DENIED


def _comparisons(name: str) -> tuple[_Comparison | None, ...]:
    """The argument checks under which a system call is allowed; (None,) for one that always is."""
    if name == "clone":
        return (_Comparison(0, _MASKED_EQ, _CLONE_NAMESPACES, 0),)
    if name == "personality":
        return tuple(_Comparison(0, _EQ, value, 0) for value in _PERSONALITIES)
    if name == "socket":
        return (_Comparison(0, _NE, _AF_VSOCK, 0),)
    return (None,)


def _add(
    library: ctypes.CDLL, context: ctypes.c_void_p, name: str, number: int, check: _Comparison | None, action: int
) -> None:
    count = 0 if check is None else 1
    array = (_Comparison * 1)(*([check] if check else []))
    result = library.seccomp_rule_add_array(context, action, number, count, array)
    if result not in (0, -errno.EDOM, -errno.EOPNOTSUPP):  # one of the architectures does not have this call
        raise Unavailable(f"libseccomp refuses a rule for {name}: {os.strerror(-result)}")


def names() -> dict[int, str]:
    """The native architecture's system calls that libseccomp knows, by number. Raises `Unavailable`."""
    return _names(_load())


def _known(library: ctypes.CDLL) -> list[str]:
    """Those of them that the profile allows."""
    return [name for name in _names(library).values() if allowed(name)]


def _names(library: ctypes.CDLL) -> dict[int, str]:
    native = library.seccomp_arch_native()
    found = {}
    for number in range(_LAST_NUMBER):
        pointer = library.seccomp_syscall_resolve_num_arch(native, number)
        if pointer:
            found[number] = ctypes.string_at(pointer).decode()
            library.free(ctypes.c_void_p(pointer))
    return found


def _export(library: ctypes.CDLL, context: ctypes.c_void_p) -> bytes:
    with tempfile.TemporaryFile() as file:
        result = library.seccomp_export_bpf(context, file.fileno())
        if result != 0:
            raise Unavailable(f"libseccomp cannot compile the profile: {os.strerror(-result)}")
        file.seek(0)
        return file.read()


def _load() -> ctypes.CDLL:
    name = ctypes.util.find_library("seccomp") or "libseccomp.so.2"
    try:
        library = ctypes.CDLL(name, use_errno=True)
    except OSError as error:
        raise Unavailable("libseccomp is missing", remedy="apt-get install libseccomp2") from error
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_init.argtypes = (ctypes.c_uint32,)
    library.seccomp_syscall_resolve_num_arch.restype = ctypes.c_void_p
    library.seccomp_rule_add_array.argtypes = (
        ctypes.c_void_p,
        ctypes.c_uint32,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.POINTER(_Comparison),
    )
    library.seccomp_arch_native.restype = ctypes.c_uint32
    return library
