"""OCI runtimes without an engine: runc and crun run a bundle with the same configuration as Docker's."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from isobench.contracts.capabilities import OF_A_CGROUP, Capability
from isobench.contracts.mechanism import Mechanism, Tool
from isobench.environments.runtimes._runtime import Runtime

if TYPE_CHECKING:
    from isobench.contracts.environment import Environment
    from isobench.contracts.launch import Limits
    from isobench.environments.runtimes._sandbox import RuntimeSandbox

_CAPABILITIES = (
    *("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID"),
    *("CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL"),
    "CAP_AUDIT_WRITE",
)
"""Docker's default set (moby `oci/caps/defaults.go`)."""

_MOUNTS = (
    ("/proc", "proc", "proc", ["nosuid", "noexec", "nodev"]),
    ("/dev", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
    ("/dev/pts", "devpts", "devpts", ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]),
    ("/sys", "sysfs", "sysfs", ["nosuid", "noexec", "nodev", "ro"]),
    ("/dev/mqueue", "mqueue", "mqueue", ["nosuid", "noexec", "nodev"]),
    ("/dev/shm", "tmpfs", "shm", ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
)
_MASKED = (
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/timer_list",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
)
_READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


_VERSION_2 = "/sys/fs/cgroup/cgroup.controllers"
"""Exists where version 2 has all controllers."""


def _write_bundle(
    sandbox: RuntimeSandbox, bundle: Any, name: str, probe_args: tuple[str, ...], without_cgroup: bool
) -> None:
    import json

    bundle.mkdir()
    document = configuration(sandbox, name, probe_args)
    if without_cgroup:
        del document["linux"]["cgroupsPath"], document["linux"]["resources"]
        document["linux"]["namespaces"] = [n for n in document["linux"]["namespaces"] if n["type"] != "cgroup"]
    (bundle / "config.json").write_text(json.dumps(document))


def configuration(sandbox: RuntimeSandbox, name: str, probe_args: tuple[str, ...]) -> dict[str, Any]:
    """The bundle's config.json (OCI runtime specification 1.0)."""
    from isobench.images.seccomp import oci_profile

    return {
        "ociVersion": "1.0.2",
        "hostname": "isobench",
        "root": {"path": str(sandbox.root), "readonly": False},
        "process": {
            "terminal": False,
            "user": {"uid": 0, "gid": 0},
            "cwd": "/",
            "args": ["/probe", *probe_args],
            "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
            "noNewPrivileges": False,
            "rlimits": _resource_limits(sandbox.limits),
            "capabilities": {kind: list(_CAPABILITIES) for kind in ("bounding", "effective", "permitted")},
        },
        "mounts": [
            {"destination": where, "type": kind, "source": source, "options": options}
            for where, kind, source, options in _MOUNTS
        ],
        "linux": {
            "namespaces": [{"type": kind} for kind in ("mount", "uts", "ipc", "pid", "network", "cgroup")],
            "cgroupsPath": f"/{cgroup_of(sandbox.run)}/{name}",
            "resources": _resources(sandbox),
            "maskedPaths": list(_MASKED),
            "readonlyPaths": list(_READ_ONLY),
            "seccomp": oci_profile(),
        },
    }


def _resource_limits(limits: Limits) -> list[dict[str, Any]]:
    most = limits.open_files
    return [{"type": "RLIMIT_NOFILE", "soft": most, "hard": most}] if most else []


def _resources(sandbox: RuntimeSandbox) -> dict[str, Any]:
    """What the instance's cgroup limits."""
    from isobench.host.cgroups import PERIOD, limits_swap, shares
    from isobench.host.disks import disk_beneath

    limits = sandbox.limits
    cpu = {"shares": shares(limits.cpu_weight or 100)}
    if limits.cpu_percent:
        cpu |= {"quota": PERIOD * limits.cpu_percent // 100, "period": PERIOD}
    found: dict[str, Any] = {
        "memory": {"limit": sandbox.memory_limit or 536870912},
        "pids": {"limit": limits.processes or 1024},
        "cpu": cpu,
    }
    if sandbox.memory_limit and limits_swap():
        found["memory"]["swap"] = sandbox.memory_limit + limits.swap_bytes  # of both together
    rates = {"throttleWriteBpsDevice": limits.write_bytes, "throttleWriteIOPSDevice": limits.write_operations}
    for name, rate in rates.items():
        if rate:
            major, minor = map(int, disk_beneath(sandbox.workdir).number.split(":"))
            found.setdefault("blockIO", {})[name] = [{"major": major, "minor": minor, "rate": rate}]
    return found


def cgroup_of(run: str) -> str:
    """The cgroup above those of all bundles of a run."""
    return f"{run}-oci"


def sweep(run: str) -> list[str]:
    """Remove the cgroups of a dead run's bundles."""
    from isobench.host.cgroups import remove

    return remove(cgroup_of(run))


_RUNC, _CRUN = Tool("runc", ("runc",)), Tool("crun", ("crun",))
MECHANISM = Mechanism(
    "OCI runtimes",
    sweep,
    programs=("runc", "crun", "runsc"),
    tools=(_RUNC, _CRUN),
    needs=(_RUNC.need("runc, containerd and Docker"), _CRUN.need("crun", everyday=False)),
)


class Oci(Runtime):
    """One OCI runtime, named after its tool."""

    mechanisms = (MECHANISM,)

    def __init__(self, tool: Tool, title: str, adds: str, compared_with: str) -> None:
        super().__init__(tool.name, title, adds, compared_with, ("containers", "ladder", "kinds"))
        self.tool = tool

    @property
    def capabilities(self) -> frozenset[Capability]:  # type: ignore[override] # what crun can do depends on the host
        """Without a cgroup only open files are limited."""
        limits = frozenset({Capability.LIMIT_FILES}) | (frozenset() if self._options() else OF_A_CGROUP)
        return Runtime.capabilities | limits

    def command(self, sandbox: RuntimeSandbox, name: str, probe_args: tuple[str, ...]) -> list[str]:
        bundle = sandbox.workdir / name
        if name != "NAME":
            _write_bundle(sandbox, bundle, name, probe_args, bool(self._options()))
        return [self.tool.name, *self._options(), f"--root={sandbox.workdir}/state", "run", f"--bundle={bundle}", name]

    def dispose(self, sandbox: RuntimeSandbox) -> None:
        from isobench.host.cgroups import remove

        remove(cgroup_of(sandbox.run))  # a killed container leaves its cgroups

    def _options(self) -> list[str]:
        if self.tool.name == "crun" and not os.path.exists(_VERSION_2):  # noqa: PTH110 (`isobench list` asks)
            return ["--cgroup-manager=disabled"]  # otherwise it refuses the older layouts
        return []


ENVIRONMENTS: tuple[Environment, ...] = (
    Oci(
        _RUNC,
        "runc",
        "an OCI runtime, which reads its configuration and does what was done by hand",
        "handmade",
    ),
    Oci(_CRUN, "crun", "an OCI runtime written in C instead of Go", "runc"),
)
