"""Readable reasons why an environment is unavailable or a cell failed, and their remedies."""

from __future__ import annotations

import os
import re
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from isobench.core.errors import IsobenchError
from isobench.filesystem.paths import RUN_PREFIX, cache_dir, state_dir, work_root
from isobench.host import machine
from isobench.host.capabilities import lacking
from isobench.processes.programs import telling_line

if TYPE_CHECKING:
    from collections.abc import Callable


def _hardware() -> str:
    if machine.virtualises():
        return "check QEMU's log and the kernel's (dmesg): this CPU supports virtual machines"
    return "enable virtualisation in the firmware: /proc/cpuinfo shows neither vmx nor svm"


def _rights() -> str:
    absent = lacking()
    shown = ", ".join(absent[:4]) + (" and others" if absent[4:] else "")
    return (
        f"run isobench with all capabilities, here without {shown}: outside a container, or --privileged"
        if absent
        else ""
    )


_FULL, _READ_ONLY = r"no space left|disk quota exceeded", "read-only file system"
_REMEDIES: tuple[tuple[str, str | Callable[[], str]], ...] = (
    ("hybrid mode not supported", "boot with systemd.unified_cgroup_hierarchy=1, for cgroup version 2"),
    ("unable to apply caps", "run on a host that has all capabilities: this host is itself confined"),
    ("QEMU stopped the guest", _hardware),
    ("wants clone3", "run isobench outside the container, or in one whose seccomp filter allows clone3"),
    (r"deadline: (the container was not ready|not ready|still running)", "if the host is only slow, use --timeout 10m"),
    (
        r"mapping ids into the user namespace",
        "allow user namespaces: sysctl kernel.apparmor_restrict_unprivileged_userns=0, or run isobench as root",
    ),
    (
        r"(clone3?(\(\) failed)?|unshare|namespaces.*): operation not permitted"
        r"|operation not permitted - failed to clone",  # runc; LXC
        "give isobench CAP_SYS_ADMIN: root outside a container, or --privileged",
    ),
    ("too many open files", "raise the limit of open files (ulimit -n, fs.file-max, fs.inotify.max_user_instances)"),
    # The kernel reports some of its own limits like a full disk (clone(2), inotify(7), cgroups(7)).
    (r"inotify.*no space left", "raise fs.inotify.max_user_watches"),
    (r"cgroup.*no space left", "raise cgroup.max.descendants and cgroup.max.depth of the cgroups above"),
    (
        "mounting the overlay: invalid argument|not supported over overlayfs",
        "set ISOBENCH_WORK to a folder on a disk: an overlay cannot hold another overlay",
    ),
    (r"(clone|unshare|namespace|/ns/).*no space left", "raise the limits max_…_namespaces in /proc/sys/user"),
    (r"[ug]id map: read-only file system", "make /proc writable: it is mounted read-only"),
    (r"failed to lock .*read-only file system", "make /run writable: systemd-nspawn keeps its locks there"),
    (r"temporary mount point.*read-only", "make /tmp writable: systemd-nspawn mounts there"),
    (r"shm lock manager", "make /dev/shm writable: Podman keeps its locks there"),
    (r"file too large", "raise the limit of a file's size (ulimit -f)"),
    (r"setting rlimit", "raise the limits of open files and of processes (ulimit -Hn, -Hu) above those of a container"),
    (r"failed to reserve|cannot allocate memory", "raise the limit of memory (ulimit -v), or this host's memory"),
    (
        r"(mkdir|cgroup).*/sys/fs/cgroup.*permission denied|cgroup_tree_create.*permission denied",
        "give this container its cgroups: --privileged, or a delegated cgroup",
    ),
    (r"bpf.*no space left", "raise the kernel's limits for bpf (the disk is not full)"),
    (r"(clone|fork|thread).*resource temporarily unavailable", "raise ulimit -u, and pids.max of the cgroups above"),
    (
        r"cgroup.*read-only file system",
        "make /sys/fs/cgroup writable: remount it, or run the container with --privileged",
    ),
    (
        _FULL,
        "free space on the disk, or set ISOBENCH_WORK and ISOBENCH_CACHE to folders on another disk",
    ),
    (_READ_ONLY, "set ISOBENCH_WORK and ISOBENCH_CACHE to writable folders"),
    ("operation not permitted", _rights),
)
"""Messages of other programs (a case-insensitive pattern) -> remedy."""

_QEMU_DENIED = re.compile(
    r"(?:qemu|storage file|monitor).*?(/[^\s':]+)['\s(:].*permission denied", re.IGNORECASE | re.DOTALL
)


_BY_SELINUX = re.compile(r"libvirt cannot start.*(permission denied|exited prior to exec)", re.IGNORECASE | re.DOTALL)
_TO_WARN_ONLY = (
    "let SELinux only warn about libvirt: printf '(typepermissive %s)' virtd_t virtlogd_t svirt_t > libvirt_warns.cil "
    "&& semodule --install libvirt_warns.cil"
)
"""Debian's policy forbids libvirt what it needs for any guest with its log and disks outside /var/lib/libvirt."""


def _is_closed(path: Path) -> bool:
    """Whether a folder above this file is not open to users like QEMU's."""
    with suppress(OSError):
        return any(not folder.stat().st_mode & 0o001 for folder in path.parents)
    return True


def _tools_own(reason: str) -> str:
    """The folder that a message names, if it is a tool's own or the state folder: setting ISOBENCH_WORK and
    ISOBENCH_CACHE does not help there. Empty if there is none."""
    with suppress(IsobenchError):  # a folder that cannot be used has its own remedy
        state, others = state_dir(), (work_root(), cache_dir())
        for top, rest in re.findall(r"(?<![\w/.])(/run|/tmp|/var/tmp|/var/lib|)(/[^\s:'\"]*)", reason):
            path = Path(top + rest)
            if path.is_relative_to(state):
                return str(state)
            if top and not any(path.is_relative_to(other) for other in others):
                return str(top)
    return ""


def _known(reason: str) -> str:
    """The remedy for this reason, if one is known."""
    denied = _QEMU_DENIED.search(reason)
    if _BY_SELINUX.search(reason) and machine.selinux_enforces() and not (denied and _is_closed(Path(denied[1]))):
        return _TO_WARN_ONLY
    if denied is not None:
        kind = "ISOBENCH_WORK" if Path(denied[1]).is_relative_to(work_root()) else "ISOBENCH_CACHE"
        return f"set {kind} to a folder that QEMU's own user can reach: it cannot read {denied[1]}"
    full, read_only = (re.search(rf"({words})", reason, re.IGNORECASE) for words in (_FULL, _READ_ONLY))
    if (full or read_only) and (place := _tools_own(reason)):
        return f"free space in {place}" if full else f"make {place} writable"
    for words, remedy in _REMEDIES:
        if re.search(words, reason, re.IGNORECASE | re.DOTALL):
            return remedy if isinstance(remedy, str) else remedy()
    return ""


def reason_of(error: Exception) -> str:
    """The reason in one storable line of text; for an unexpected error also the place where it occurred.

    If ISOBENCH_DEBUG is set, an unexpected error is raised again.
    """
    if isinstance(error, IsobenchError):
        reason = error.reason
    elif isinstance(error, OSError):
        reason = str(error)
    elif isinstance(error, RuntimeError) and "start new thread" in str(error):
        reason = "this host does not allow a new thread: a task limit, or a filter that forbids clone3"
    elif os.environ.get("ISOBENCH_DEBUG"):
        raise error
    else:
        frames = traceback.extract_tb(error.__traceback__)
        where = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
        what = f"{type(error).__name__}: {error}"[:500]
        reason = f"internal error in isobench, please report it: {what}{where}"
    return as_text(reason)


def as_text(words: str) -> str:
    """Escape what is not valid Unicode (half a surrogate pair, a stray byte of a file name)."""
    return words.encode(errors="backslashreplace").decode()


def reason_and_remedy(error: Exception) -> tuple[str, str]:
    """The reason with the instance's last line of output, and the remedy: the error's own, one known for this message,
    or nothing."""
    reason = reason_of(error)
    lines = [line.strip() for line in str(getattr(error, "console", "")).splitlines() if line.strip()]
    line = telling_line(lines)
    remedy = str(getattr(error, "remedy", "")) or _known(f"{reason}\n{line[:10_000]}")
    if lines:
        reason = f"{reason} ({'last line' if line == lines[-1] else 'it said'}: {_shortened(line)})"
    return _OF_A_RUN.sub("…", reason), remedy


_OF_A_RUN = re.compile(rf"{RUN_PREFIX}\d{{8}}T\d{{6}}Z-[0-9a-f]{{6}}(/[^\s/]+(?=/))?", re.IGNORECASE)
"""A run's name, and in a path the environment's: without them, environments have the same reason for the same cause."""


def reason_with_remedy(error: Exception) -> str:
    """The reason, and in brackets the remedy if there is one, for a cell, whose output is stored separately."""
    reason, remedy = reason_of(error), str(getattr(error, "remedy", ""))
    return f"{reason} ({remedy})" if remedy else reason


def _shortened(line: str) -> str:
    """Both ends of a long line: programs often say at the end what went wrong."""
    return line if len(line) <= 300 else f"{line[:100]} … {line[-200:]}"
