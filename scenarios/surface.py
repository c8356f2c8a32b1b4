"""What a program inside can still reach, and the state it is started with, as facts of the environment.

None of it is a cost, so there is no metric. The report shows it beside the costs of the same environment: a cheap
boundary may be a weak one. Which system calls are let through is in `_calls.py`.
"""

from __future__ import annotations

import os
import re
import time
from typing import TYPE_CHECKING, Any

from isobench.contracts.answers import answers, at_least
from isobench.contracts.capabilities import Capability
from isobench.contracts.launch import working
from isobench.core.errors import ProbeError, Unavailable
from isobench.processes.accounting import text_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from isobench.contracts.environment import Sandbox
    from isobench.contracts.scenario import Scenario
    from isobench.core.model import Metric

_HARMLESS = frozenset(
    f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom", "tty", "ptmx", "console")
)
"""Devices that every container has; they give no access to the host."""


_SHARED = frozenset({"virtiofs", "9p"})
"""File systems through which a guest sees the host's files; its disk is its own."""


class Surface:
    """One inspection from inside (`isobench.contracts.scenario.Scenario`)."""

    name = "surface"
    title = "What a program inside can still reach"
    needs = frozenset({Capability.PROBE})
    groups = frozenset({"default"})
    metrics: tuple[Metric, ...] = ()

    def measure(self, sandbox: Sandbox) -> Mapping[str, float]:
        """There is nothing to measure, because the facts do not vary from block to block."""
        return {}

    def facts(self, sandbox: Sandbox) -> Mapping[str, str]:
        """What one instance sees, and what the host sees of one."""
        from isobench.scenarios import _confinement, _host

        return seen_inside(sandbox) | _confinement.facts(sandbox) | _host.calls(sandbox)


def seen_inside(sandbox: Sandbox, image: str = "") -> dict[str, str]:
    """What one instance sees, of this image if one is given, as counts, and as names where these matter."""
    from isobench.scenarios import _calls

    began = time.monotonic_ns()
    with sandbox.launch(working("surface", str(_calls.last()))._replace(image=image)) as instance:
        seen, told = at_least(2, answers(instance))[:2]
    try:
        same = _shares_kernel(seen) or _shares_clock(seen, began)
        reached = _calls.facts(told["calls"], same_kernel=same, filtered=seen["seccomp"] == 2)
        return {**_boundary(seen, same_kernel=same), **reached, **_reach(seen, same_kernel=same), **_state(seen)}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ProbeError(f"the probe's answer is incomplete: {error!r}") from error


def _boundary(seen: Mapping[str, Any], *, same_kernel: bool) -> dict[str, str]:
    """The barriers between the program and the kernel it runs on."""
    return {
        "kernel": "the host's" if same_kernel else f"its own ({seen['kernel']})",
        "namespaces": _namespaces(seen, same_kernel=same_kernel),
        "user": _user(seen, same_kernel=same_kernel),
        "capabilities": str(int(seen["effective"]).bit_count()),
        "bounding": str(int(seen["bounding"]).bit_count()),
        "seccomp": {0: "none", 1: "strict", 2: "filter"}.get(seen["seccomp"], "not known"),
        "no_new_privs": "yes" if seen["no_new_privs"] == 1 else "no",
        "mount": "yes" if seen["mounts"] else "no",
        "label": str(seen.get("label") or "none"),
    }


def _reach(seen: Mapping[str, Any], *, same_kernel: bool) -> dict[str, str]:
    """What it can open: of fixed lists (bench/probe/surface.c), and counts."""
    return {
        "writable": _names(seen["writable"]),
        "readable": _names(seen["readable"]),
        "devices": _names([path for path in seen["devices"] if path not in _HARMLESS]),
        "device_nodes": str(int(seen["device_nodes"])),
        "sockets": _names(sorted({re.sub("[0-9a-f]{8,}", "*", str(name)) for name in seen["sockets"]})),
        "mounted": _names([f"{point} ({kind})" for point, kind in seen["mounted"] if same_kernel or kind in _SHARED]),
        "processes": str(int(seen["processes"])),
        "setuid": str(int(seen["setuid"])),
        "files": f"{'at least ' if seen['cut'] else ''}{int(seen['files'])}",
        "file_bytes": f"{'at least ' if seen['cut'] else ''}{int(seen['file_bytes'])}",
    }


def _state(seen: Mapping[str, Any]) -> dict[str, str]:
    """What a process inherits, unless its sandbox sets it up."""
    return {
        "pid": str(int(seen["pid"])),
        "environment": _names(sorted(seen["environment"])),
        "umask": str(seen["umask"]),
        "folder": str(seen["folder"]),
        "nice": str(int(seen["nice"])),
        "limits": ", ".join(f"{name} {value}" for name, value in seen["limits"].items()),
    }


def _shares_kernel(seen: Mapping[str, Any]) -> bool:
    """By the boot id, or, if /proc is not mounted inside, by release and build."""
    if "boot_id" in seen:
        return bool(seen["boot_id"] == text_of("/proc/sys/kernel/random/boot_id"))
    return _has_same_build(seen)


def _has_same_build(seen: Mapping[str, Any]) -> bool:
    host = (text_of("/proc/sys/kernel/osrelease"), text_of("/proc/sys/kernel/version"))
    return (seen["kernel"], seen["kernel_build"]) == host


def _shares_clock(seen: Mapping[str, Any], began: int) -> bool:
    """Whether its kernel is the same build and its monotonic clock agrees with the host's. systemd-nspawn invents a
    boot id, and a kernel that was booted later has a clock that began later."""
    return _has_same_build(seen) and began <= int(seen["clock"]) <= time.monotonic_ns()


def _namespaces(seen: Mapping[str, Any], *, same_kernel: bool) -> str:
    """The kinds that are not the host's own."""
    if not seen["namespaces"]:
        return "not known: no /proc inside"
    if not same_kernel:
        return "all, of its own kernel"
    return _names([kind for kind, inode in seen["namespaces"].items() if inode != _inode(kind)])


def _user(seen: Mapping[str, Any], *, same_kernel: bool) -> str:
    """Whose root it is: in a user namespace the map names the user on the host."""
    if seen["uid"] != 0:
        return f"user {int(seen['uid'])}"
    if not same_kernel:
        return "root of its own kernel"
    if seen["namespaces"].get("user", _inode("user")) == _inode("user"):
        return "the host's root"
    behind = str(seen.get("uid_map", "")).split()
    return f"root of a user namespace, the host's user {behind[1]}" if len(behind) > 1 else "root of a user namespace"


def _inode(kind: str) -> int:
    try:
        return os.stat(f"/proc/self/ns/{kind}").st_ino  # noqa: PTH116 (pathlib would have to be imported)
    except OSError:
        return 0


def _names(words: list[str]) -> str:
    return ", ".join(map(str, words)) or "none"


class Functions:
    """The kernel functions that the host executes for an instance. Only when asked for: while they are traced, every
    function of the host's kernel is slower (`isobench.contracts.scenario.Scenario`)."""

    name = "surface-functions"
    title = "Kernel functions that the host executes for an instance"
    needs = frozenset({Capability.PROBE})
    groups: frozenset[str] = frozenset()
    metrics: tuple[Metric, ...] = ()

    def measure(self, sandbox: Sandbox) -> Mapping[str, float]:
        """There is nothing to measure, as above."""
        return {}

    def facts(self, sandbox: Sandbox) -> Mapping[str, str]:
        """Their number, or why the kernel does not let them be traced."""
        from isobench.scenarios import _host

        try:
            return _host.functions(sandbox)
        except Unavailable as error:
            return {"unknown": error.reason}


SCENARIOS: tuple[Scenario, ...] = (Surface(), Functions())
