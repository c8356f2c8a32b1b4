"""The root file system of native rungs, and the options that the launcher is started with."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from isobench.contracts.capabilities import Part
from isobench.contracts.launch import idle
from isobench.core.errors import Unavailable
from isobench.environments._limits import in_a_cgroup
from isobench.environments.native._furnished import make_devices, mount_dev, mount_proc
from isobench.filesystem.mounts import unmount_below
from isobench.filesystem.paths import check_may_run
from isobench.images.archive import Unpacked
from isobench.images.lower import copy_lower
from isobench.images.rootfs import link_rootfs
from isobench.images.seccomp import compile_default_profile
from isobench.probe.launcher import MAY_NOT, ROOT_ONLY, launched
from isobench.resources.cgroups import is_unified, limits, make_parents, remove_parents
from isobench.resources.oom import MemoryWatch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from isobench.contracts.launch import Launch
    from isobench.environments.native.rungs import Isolation
    from isobench.probe.launcher import LaunchedInstance


class NativeSandbox:
    """The shared root file system, linked into the work folder, and the launcher's options."""

    def __init__(self, isolation: Isolation, workdir: Path) -> None:
        if not isolation.overlay:  # an overlay is a mount of its own
            check_may_run(workdir, "ISOBENCH_WORK")
        self._isolation = isolation
        self._workdir = workdir
        self._root = workdir / "root"
        self._numbers = itertools.count(1)  # threads may share it
        link_rootfs(self._root)
        self._given = Unpacked(workdir, self._furnish)
        self._cgroups = _cgroup_parents(workdir) if isolation.cgroup else ()
        self._filter = _write_filter(workdir) if isolation.seccomp else None
        self._means: Mapping[str, int] = {}

    def daemons(self) -> list[int]:
        return []

    def unseen(self) -> Mapping[Part, str]:
        """The parts that cannot be observed here (`isobench.contracts.capabilities.HasBlindSpots`)."""
        if "net" not in self._isolation.namespaces:
            return {}
        if os.geteuid() != 0:
            return {Part.END: ROOT_ONLY}
        return {} if self._means.get("netns-watch", 1) else {Part.END: MAY_NOT}

    def facts(self) -> Mapping[str, str]:
        options = self._options(self._root, self._workdir / "upper", 1, idle())
        facts = {"launcher": " ".join(options) or "(no options: clone3 with CLONE_VM and CLONE_VFORK, exec)"}
        facts["storage"] = "overlay" if self._isolation.overlay else "the host's file system"
        if not self._means.get("clone3", 1):
            facts["clone"] = "clone instead of clone3, which is refused here"
        if "--into-cgroup" in options and not self._means.get("into-cgroup", 1):
            facts["cgroup"] = (
                "joined by the child: this host cannot create a process inside a cgroup (CLONE_INTO_CGROUP)"
            )
        return {name: text.replace(str(self._workdir), "WORK") for name, text in facts.items()}

    @contextmanager
    def launch(self, launch: Launch) -> Iterator[LaunchedInstance]:
        number = next(self._numbers)
        upper = self._workdir / f"upper-{number}"
        with MemoryWatch() as memory, ExitStack() as made:
            if self._isolation.overlay:
                made.callback(_remove_tree, upper)
                for folder in (upper, upper / "upper", upper / "work"):
                    folder.mkdir()
            if launch.root is None:
                root, data = self._root, self._data(number, with_lower=launch.needs_lower)
                if not self._isolation.overlay:
                    made.callback(_remove_tree, data)
            else:
                root = self._given.fresh(launch.root)
                data = root / "data"
            own_root = self._isolation.chroot or self._isolation.pivot
            seen, inside = ("/", f"/{data.relative_to(root)}") if own_root else (str(root), str(data))
            options = self._options(root, upper, number, launch)
            if not launch.watch_end:
                options.append("--no-watch")
            if launch.root is not None and "net" in self._isolation.namespaces:
                options.append("--loopback")  # programs expect it, and the probe may lack the capability
            # Every rung execs ./probe in its root folder: resolving a longer path would cost as much as chroot itself.
            with launched(
                ["./probe", *launch.arguments],
                options=options,
                timeout=launch.timeout,
                environ={"ISOBENCH_ROOT": seen, "ISOBENCH_DATA": inside},
                folder=root,
            ) as instance:
                memory.look_at(instance.pid)
                self._means = instance.means
                yield instance

    def _data(self, number: int, *, with_lower: bool) -> Path:
        """Where the instance writes, fresh for each one: its overlay's upper layer, or a folder of its own."""
        folder = self.data_folder()
        if with_lower and not (folder / "lower").exists():
            copy_lower(folder / "lower")
        if self._isolation.overlay:
            return folder
        own = folder / str(number)
        own.mkdir()
        return own

    def data_folder(self) -> Path:
        """The folder on the host that holds the data of all instances."""
        return self._root / "data"

    def _furnish(self, root: Path) -> None:
        """Devices and /proc, which programs expect and an archive does not have; a rung may mount its own over both."""
        if not self._isolation.mounts:
            mount_dev(root / "dev")
            mount_proc(root / "proc")
        make_devices(root / "dev")

    def close(self) -> None:
        self._given.close()
        if self._cgroups:
            remove_parents(self._cgroups)

    def _options(self, root: Path, upper: Path, number: int, launch: Launch) -> list[str]:
        isolation = self._isolation
        options = []
        if isolation.namespaces:
            options.append(f"--namespaces={','.join(isolation.namespaces)}")
        if isolation.plain_fork:
            options.append("--plain-fork")
        if isolation.user_map:
            options.append(f"--map-ids={os.geteuid()} {os.getegid()}")
        if isolation.cgroup:
            options += _cgroup_options(self._cgroups, number, self._limits(launch))
        if isolation.overlay:
            own = os.path.relpath(upper, root)  # relative to the root folder: an absolute path may contain , and :
            options.append(f"--overlay=lowerdir=.,upperdir={own}/upper,workdir={own}/work")
        if isolation.mounts:
            options.append("--mounts")
        if isolation.pivot:
            options.append(f"--pivot={root}")
        if isolation.chroot:
            options.append(f"--chroot={root}")
        if isolation.caps:
            options.append("--drop-caps")
        if self._filter is not None:
            options.append(f"--seccomp={self._filter}")
        if launch.limits.open_files:
            options.append(f"--open-files={launch.limits.open_files}")
        return options

    def _limits(self, launch: Launch) -> tuple[str, ...]:
        """The values for the files of the instance's cgroup."""
        return limits(**in_a_cgroup(launch.limits, launch.memory_bytes, self.data_folder()))


_OPTIONS = "size=512m,mode=755"


class TmpfsSandbox(NativeSandbox):
    """One tmpfs in the work folder for all instances; each instance has a folder of its own there."""

    def __init__(self, isolation: Isolation, workdir: Path) -> None:
        super().__init__(isolation, workdir)
        self._tmpfs = workdir / "tmpfs"
        self._tmpfs.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", _OPTIONS, "isobench", str(self._tmpfs)]
        done = subprocess.run(command, capture_output=True, errors="replace", check=False)
        if done.returncode != 0:
            raise Unavailable(f"no tmpfs can be mounted: {done.stderr.strip()}")

    def facts(self) -> Mapping[str, str]:
        return {**super().facts(), "storage": f"a tmpfs ({_OPTIONS})"}

    def data_folder(self) -> Path:
        return self._tmpfs

    def close(self) -> None:
        unmount_below(self._tmpfs)
        super().close()


def _cgroup_parents(workdir: Path) -> tuple[str, ...]:
    return make_parents(workdir.parent.name, workdir.name)


def _cgroup_options(parents: tuple[str, ...], number: int, files: Sequence[str]) -> list[str]:
    options = [f"--cgroup={parent}/{number}" for parent in parents]
    options += [f"--limit={file}" for file in files]
    return [*options, "--into-cgroup"] if is_unified(parents) else options


def _write_filter(workdir: Path) -> Path:
    target = workdir / "seccomp.bpf"
    target.write_bytes(compile_default_profile())
    return target


def _remove_tree(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
