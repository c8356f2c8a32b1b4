"""OCI bundles: their configuration, how an OCI runtime runs one, and cleaning up after a dead run."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

from isobench.environments._signatures import by_policy, own_home
from isobench.environments.runtimes._blob_cache import remove_made
from isobench.environments.runtimes._runtime import Driver
from isobench.environments.runtimes._umoci_images import TOOLS, UmociImages
from isobench.images.seccomp import oci_profile
from isobench.processes.programs import version
from isobench.resources.cgroups import PERIOD, limits_swap, remove, shares
from isobench.resources.disks import disk_beneath

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

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


def _write_bundle(
    sandbox: RuntimeSandbox, bundle: Path, name: str, probe_args: tuple[str, ...], without_cgroup: bool
) -> None:
    bundle.mkdir()
    document = configuration(sandbox, name, probe_args)
    if without_cgroup:
        del document["linux"]["cgroupsPath"], document["linux"]["resources"]
        document["linux"]["namespaces"] = [n for n in document["linux"]["namespaces"] if n["type"] != "cgroup"]
    (bundle / "config.json").write_text(json.dumps(document))


def configuration(sandbox: RuntimeSandbox, name: str, probe_args: tuple[str, ...]) -> dict[str, Any]:
    """The bundle's config.json (OCI runtime specification 1.0)."""
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
    """The limits of the instance's cgroup."""
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
    rates = {
        "throttleWriteBpsDevice": limits.write_bytes,
        "throttleWriteIOPSDevice": limits.write_operations,
        "throttleReadBpsDevice": limits.read_bytes,
        "throttleReadIOPSDevice": limits.read_operations,
    }
    for name, rate in rates.items():
        if rate:
            major, minor = map(int, disk_beneath(sandbox.workdir).number.split(":"))
            found.setdefault("blockIO", {})[name] = [{"major": major, "minor": minor, "rate": rate}]
    return found


def cgroup_of(run: str) -> str:
    """The cgroup above those of all bundles of a run."""
    return f"{run}-oci"


def sweep(run: str) -> list[str]:
    """Remove the cgroups of a dead run's bundles, and what was made on the host for copying images."""
    remove_made(run)
    return remove(cgroup_of(run))


class BundleDriver(Driver):
    """`TOOL run`, with a bundle for each instance."""

    def __init__(self, tool: str, options: Sequence[str], *, keeps_images: bool) -> None:
        """`options` of the tool are for a host on which it cannot have a cgroup."""
        self._tool = tool
        self._options = tuple(options)
        self._keeps_images = keeps_images
        self._images: UmociImages | None = None

    def images(self, sandbox: RuntimeSandbox) -> UmociImages:
        if self._images is None:
            self._images = UmociImages(sandbox.workdir)
        return self._images

    def facts(self, sandbox: RuntimeSandbox) -> Mapping[str, str]:
        if not self._keeps_images:
            return {}
        return {**{f"version.{name}": version(name) for name in TOOLS}, "signatures": by_policy(own_home())}

    def command(self, sandbox: RuntimeSandbox, name: str, probe_args: tuple[str, ...]) -> list[str]:
        bundle = sandbox.workdir / name
        if sandbox.image:  # it is unpacked once: all of its instances have the same root file system
            sandbox = copy.copy(sandbox)
            sandbox.root = self.images(sandbox).root_of(sandbox.image)
        if name != "NAME":
            _write_bundle(sandbox, bundle, name, probe_args, bool(self._options))
        return [self._tool, *self._options, f"--root={sandbox.workdir}/state", "run", f"--bundle={bundle}", name]

    def dispose(self, sandbox: RuntimeSandbox) -> None:
        if self._images is not None:
            self._images.close()
        sweep(sandbox.run)  # a killed container leaves its cgroups
