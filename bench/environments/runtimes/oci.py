"""OCI runtimes without an engine: runc and crun run a bundle with the same configuration as Docker's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from isobench.contracts.mechanism import Mechanism, Tool
from isobench.environments.runtimes._runtime import Runtime

if TYPE_CHECKING:
    from isobench.contracts.environment import Environment
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


def _write_bundle(
    sandbox: RuntimeSandbox, bundle: Any, name: str, probe_args: tuple[str, ...], without_cgroup: bool
) -> None:
    import json

    bundle.mkdir()
    document = configuration(str(sandbox.root), sandbox.run, name, probe_args, sandbox.memory_bytes)
    if without_cgroup:
        del document["linux"]["cgroupsPath"], document["linux"]["resources"]
        document["linux"]["namespaces"] = [n for n in document["linux"]["namespaces"] if n["type"] != "cgroup"]
    (bundle / "config.json").write_text(json.dumps(document))


def configuration(root: str, run: str, name: str, probe_args: tuple[str, ...], memory_bytes: int = 0) -> dict[str, Any]:
    """The bundle's config.json (OCI runtime specification 1.0)."""
    from isobench.images.seccomp import oci_profile

    return {
        "ociVersion": "1.0.2",
        "hostname": "isobench",
        "root": {"path": root, "readonly": False},
        "process": {
            "terminal": False,
            "user": {"uid": 0, "gid": 0},
            "cwd": "/",
            "args": ["/probe", *probe_args],
            "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
            "noNewPrivileges": False,
            "capabilities": {kind: list(_CAPABILITIES) for kind in ("bounding", "effective", "permitted")},
        },
        "mounts": [
            {"destination": where, "type": kind, "source": source, "options": options}
            for where, kind, source, options in _MOUNTS
        ],
        "linux": {
            "namespaces": [{"type": kind} for kind in ("mount", "uts", "ipc", "pid", "network", "cgroup")],
            "cgroupsPath": f"/{cgroup_of(run)}/{name}",
            "resources": {
                "memory": {"limit": memory_bytes or 536870912},
                "pids": {"limit": 1024},
                "cpu": {"shares": 1024},
            },
            "maskedPaths": list(_MASKED),
            "readonlyPaths": list(_READ_ONLY),
            "seccomp": oci_profile(),
        },
    }


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

    def command(self, sandbox: RuntimeSandbox, name: str, probe_args: tuple[str, ...]) -> list[str]:
        bundle = sandbox.workdir / name
        if name != "NAME":
            _write_bundle(sandbox, bundle, name, probe_args, bool(self._options()))
        return [self.tool.name, *self._options(), f"--root={sandbox.workdir}/state", "run", f"--bundle={bundle}", name]

    def dispose(self, sandbox: RuntimeSandbox) -> None:
        from isobench.host.cgroups import remove

        remove(cgroup_of(sandbox.run))  # a killed container leaves its cgroups

    def _options(self) -> list[str]:
        from isobench.host.machine import cgroup_layout

        if self.tool.name == "crun" and cgroup_layout() != "v2":
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
