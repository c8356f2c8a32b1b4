"""How Podman runs an instance, and cleaning up after a dead run."""

from __future__ import annotations

import json
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from isobench.contracts.images import MessageLost
from isobench.core import deadlines
from isobench.core.errors import MeasurementError
from isobench.environments._signatures import POLICY, by_policy, own_home
from isobench.environments.runtimes._blob_cache import BlobCache, remove_made
from isobench.environments.runtimes._podman_images import PodmanImages
from isobench.environments.runtimes._runtime import Driver
from isobench.filesystem.mounts import remove_tree, unmount_below
from isobench.filesystem.paths import check_name, state_dir
from isobench.images.rootfs import rootfs_tar
from isobench.processes.endings import has_variable, kill_all
from isobench.resources.cgroups import limits_swap, remove, shares
from isobench.resources.disks import disk_beneath

if TYPE_CHECKING:
    from collections.abc import Mapping

    from isobench.environments.runtimes._sandbox import RuntimeSandbox

_IMAGE = "localhost/isobench"
_AGAIN = "Failed, retrying in "
"""How Podman begins its warning that it will try a pull or a push again, up to three times, after some seconds."""


def sweep(run: str) -> list[str]:
    """Remove what Podman keeps of a dead run outside its work folder."""
    folder, mark = _runroot(run), _mark(run)
    helpers = kill_all(lambda pid: has_variable(pid, mark)) if folder.is_dir() else []
    remove_made(run)
    removed = [*(f"killed process {pid} of Podman" for pid in helpers), *remove(_cgroup_of(run))]
    if not folder.is_dir():
        return removed
    left = remove_tree(folder)
    return [*removed, *([f"not cleaned: {point} is still mounted" for point in left] or [f"folder {folder}"])]


def _image(sandbox: RuntimeSandbox) -> str:
    """The name of the image that an instance is of: a given one, or that with the sandbox's root file system."""
    return sandbox.image or f"{_IMAGE}:{sandbox.given.parent.name if sandbox.given is not None else 'latest'}"


def _cgroup_of(run: str) -> str:
    """The cgroup above those of all containers of a run and their monitors."""
    return f"{run}-podman"


def _runroot(run: str) -> Path:
    """Not in the work folder: Podman refuses a runroot of more than 50 characters."""
    return state_dir() / f"podman-{run[-6:]}"


def _mark(run: str) -> str:
    """A variable in the environment of everything that Podman starts for a run. It identifies helpers whose command
    lines do not name the run.

    Without CAP_SYS_ADMIN, a process of Podman's that never ends keeps its user namespace open. The variable also keeps
    Podman from creating folders in /run/user or /tmp then.
    """
    return f"XDG_RUNTIME_DIR={_runroot(run)}"


def resource_limits(sandbox: RuntimeSandbox) -> list[str]:
    """Options of `podman run`, whose defaults for open files and processes may exceed the host's limits."""
    most = sandbox.limits.open_files or 1024
    return [f"--ulimit=nofile={most}:{most}", "--ulimit=nproc=1000:1000"]


def _limits(sandbox: RuntimeSandbox) -> list[str]:
    limits, options = sandbox.limits, resource_limits(sandbox)
    if sandbox.memory_limit:
        options.append(f"--memory={sandbox.memory_limit}")
        options += [f"--memory-swap={sandbox.memory_limit + limits.swap_bytes}"] if limits_swap() else []
    if limits.cpu_percent:
        options.append(f"--cpus={limits.cpu_percent / 100:g}")
    if limits.cpu_weight:
        options.append(f"--cpu-shares={shares(limits.cpu_weight)}")
    if limits.processes:
        options.append(f"--pids-limit={limits.processes}")
    rates = {
        "write-bps": limits.write_bytes,
        "write-iops": limits.write_operations,
        "read-bps": limits.read_bytes,
        "read-iops": limits.read_operations,
    }
    for option, rate in rates.items():
        if rate:
            options.append(f"--device-{option}={disk_beneath(sandbox.workdir).path}:{rate}")
    return options


class PodmanDriver(Driver):
    """`podman run`, with its own storage in the work folder."""

    def __init__(self) -> None:
        self._images: PodmanImages | None = None
        self._cache: BlobCache | None = None

    def prepare(self, sandbox: RuntimeSandbox) -> None:
        self._make_folders(sandbox)
        self._imported: set[Path] = set()
        self._import(sandbox, rootfs_tar())

    def _make_folders(self, sandbox: RuntimeSandbox) -> None:
        runtime = sandbox.runtime
        check_name(_runroot(sandbox.run), runtime.tool.name, runtime.refused, "ISOBENCH_STATE")
        _runroot(sandbox.run).mkdir(mode=0o700, exist_ok=True)
        self._cache = BlobCache(sandbox.workdir)

    def _import(self, sandbox: RuntimeSandbox, archive: Path) -> None:
        with archive.open("rb") as file:  # a path with a colon would count as an address
            self._copied(sandbox, "import", "--quiet", "-", _image(sandbox), stdin=file.fileno())

    def _copied(self, sandbox: RuntimeSandbox, *words: str, stdin: int | None = None) -> str:
        """Have Podman do what reads or writes images; returns its output. Raises `MeasurementError`, also where Podman
        succeeded only at another attempt: the seconds that it waits before that would be counted as a cost."""
        command = [*(self._cache.words() if self._cache else []), *self._podman(sandbox), *words]
        try:
            return sandbox.tool(*command, timeout=deadlines.stretched(300), stdin=stdin, refused=_AGAIN)
        except MeasurementError as error:  # which names the first of many words
            remedy = f"{POLICY} has to accept what nobody has signed" if "rejected by policy" in error.reason else ""
            kind = MessageLost if words[0] == "push" and _AGAIN in error.reason else MeasurementError
            raise kind(f"podman {words[0]}: {error.reason.partition(': ')[2]}", remedy=remedy) from error

    def take(self, sandbox: RuntimeSandbox, archive: Path) -> None:
        if archive not in self._imported:
            self._import(sandbox, archive)
            self._imported.add(archive)

    def images(self, sandbox: RuntimeSandbox) -> PodmanImages:
        if self._images is None:
            self._images = PodmanImages(sandbox.workdir, partial(self._copied, sandbox))
        return self._images

    def command(self, sandbox: RuntimeSandbox, name: str, probe_args: tuple[str, ...]) -> list[str]:
        options = ["--rm", "--interactive", "--pull=never", f"--name={name}", *self._options(sandbox)]
        return [*self._podman(sandbox), "run", *options, _image(sandbox), "/probe", *probe_args]

    def _options(self, sandbox: RuntimeSandbox) -> list[str]:
        parent = f"--cgroup-parent=/{_cgroup_of(sandbox.run)}"  # by default all users of Podman share one
        return ["--network=none", *_limits(sandbox), parent]

    def environ(self, sandbox: RuntimeSandbox) -> Mapping[str, str]:
        """Folders in the work folder: a killed Podman would leave copies of images in /var/tmp, and without
        CAP_SYS_ADMIN it reads the settings in the user's home and creates ~/.config/cni."""
        own = dict.fromkeys(("HOME", "TMPDIR"), str(sandbox.workdir))
        return {**own, **dict([_mark(sandbox.run).split("=", 1)])}

    def facts(self, sandbox: RuntimeSandbox) -> Mapping[str, str]:
        noted = (sandbox.workdir / "tmp", _runroot(sandbox.run) / "libpod/tmp")  # the second one by newer versions
        rootless = any((folder / "pause.pid").exists() for folder in noted)
        user = {"user": "root in a user namespace, as CAP_SYS_ADMIN is missing here"} if rootless else {}
        return {"signatures": by_policy(own_home()), "storage.driver": self._storage_driver(sandbox), **user}

    def _storage_driver(self, sandbox: RuntimeSandbox) -> str:
        """The driver of its storage, with the names of the driver's options: the host's storage.conf sets them, though
        not where the storage is."""
        with suppress(MeasurementError, ValueError, LookupError, TypeError):
            store = json.loads(sandbox.tool(*self._podman(sandbox), "info", "--format=json"))["store"]
            return " ".join((str(store["graphDriverName"]), *sorted(store["graphOptions"] or ())))
        return "not known"

    def dispose(self, sandbox: RuntimeSandbox) -> None:
        if self._images is not None:
            self._images.close()
        if self._cache is not None:
            self._cache.close()
        self._remove_all(sandbox)
        sweep(sandbox.run)

    def _remove_all(self, sandbox: RuntimeSandbox) -> None:
        with suppress(MeasurementError):
            sandbox.tool(*self._podman(sandbox), "rm", "--all", "--force", "--time=0")
            sandbox.tool(*self._podman(sandbox), "rmi", "--all", "--force")
        unmount_below(sandbox.workdir)

    def _podman(self, sandbox: RuntimeSandbox) -> list[str]:
        return podman_in(sandbox.workdir, str(_runroot(sandbox.run)))


def podman_in(folder: Path, runroot: str) -> list[str]:
    """`podman` with everything of its own in these folders."""
    there = [f"--root={folder}/storage", f"--runroot={runroot}", f"--tmpdir={folder}/tmp"]
    there.append(f"--runtime-flag=root={folder}/runc")  # what a killed runc keeps would stay in /run/runc
    return ["podman", *there, "--runtime=runc", "--cgroup-manager=cgroupfs", "--events-backend=none"]
