"""Rungs made by the probe's own launcher: raw processes, chroot, namespaces, and a container made by hand.

Each rung is one value of `Isolation`, its exact configuration. If two rungs claim to differ in one thing only, tests
compare them field by field.
"""

from __future__ import annotations

import itertools
import os
from collections import namedtuple
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from isobench.contracts.capabilities import Capability, Part
from isobench.contracts.mechanism import Mechanism, Need
from isobench.core.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from isobench.contracts.environment import Environment, Layer
    from isobench.contracts.launch import Launch
    from isobench.probe.launcher import LaunchedInstance

NAMESPACES = ("mnt", "uts", "ipc", "pid", "net", "cgroup")
"""The namespaces of `ns-all`: those that Docker gives a container by default (no user or time namespace)."""

Isolation = namedtuple(
    "Isolation",
    ["namespaces", "plain_fork", "user_map", "chroot", "pivot", "cgroup", "caps", "seccomp", "overlay", "mounts"],
    defaults=((), False, False, False, False, False, False, False, False, False),
)
"""What a rung isolates (bench/probe/isolate.h): the namespaces to clone, then the steps before exec."""


class Native:
    """One rung (`isobench.contracts.environment.Environment`)."""

    capabilities = frozenset(Capability)

    def __init__(
        self,
        name: str,
        title: str,
        isolation: Isolation,
        *,
        layer: Layer = "namespace",
        adds: str = "",
        compared_with: str | None = None,
        single_factor: bool = True,
        groups: tuple[str, ...] = ("ladder",),
    ) -> None:
        self.name = name
        self.title = title
        self.isolation = isolation
        self.layer: Layer = layer
        self.adds = adds
        self.compared_with = compared_with
        self.single_factor = single_factor and compared_with is not None
        self.groups = frozenset(groups)
        if isolation.pivot and not isolation.mounts:  # its root is without the /proc that is mounted below the old one
            self.capabilities = self.capabilities - {Capability.COMMAND}

    @property
    def mechanisms(self) -> tuple[Mechanism, ...]:
        return (MECHANISM,)

    @property
    def needs_root(self) -> bool:
        """Every kind of isolation but a user namespace needs root."""
        return self.isolation._replace(plain_fork=False) != Isolation() and not self.isolation.user_map

    def sandbox(self, workdir: Path) -> NativeSandbox:
        """The sandbox that `open` yields."""
        return NativeSandbox(self.isolation, workdir)

    @contextmanager
    def open(self, workdir: Path) -> Iterator[NativeSandbox]:
        if self.needs_root and os.geteuid() != 0:
            raise Unavailable(f"{self.title} needs root", remedy="run isobench as root")
        sandbox = self.sandbox(workdir)
        try:
            yield sandbox
        finally:
            sandbox.close()


class NativeSandbox:
    """The shared root file system, linked into the work folder, and the launcher's options."""

    def __init__(self, isolation: Isolation, workdir: Path) -> None:
        from isobench.filesystem.paths import check_may_run
        from isobench.images.archive import Unpacked
        from isobench.images.rootfs import link_rootfs

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
        from isobench.probe.launcher import MAY_NOT, ROOT_ONLY

        if "net" not in self._isolation.namespaces:
            return {}
        if os.geteuid() != 0:
            return {Part.END: ROOT_ONLY}
        return {} if self._means.get("netns-watch", 1) else {Part.END: MAY_NOT}

    def facts(self) -> Mapping[str, str]:
        options = self._options(self._root, self._workdir / "upper", 1)
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
        from isobench.host.oom import MemoryWatch
        from isobench.probe.launcher import launched

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
            # Every rung execs ./probe in its root folder: resolving a longer path would cost as much as chroot itself.
            with launched(
                ["./probe", *launch.arguments],
                options=[*self._options(root, upper, number), *([] if launch.watch_end else ["--no-watch"])],
                timeout=launch.timeout,
                environ={"ISOBENCH_ROOT": seen, "ISOBENCH_DATA": inside},
                folder=root,
            ) as instance:
                memory.look_at(instance.pid)
                self._means = instance.means
                yield instance

    def _data(self, number: int, *, with_lower: bool) -> Path:
        """Where the instance writes, fresh for each one: its overlay's upper layer, or a folder of its own."""
        from isobench.images.lower import copy_lower

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
        """What programs expect of a root and an archive has not: devices, and /proc where the rung mounts none."""
        from isobench.environments.native._furnished import make_devices, mount_proc

        make_devices(root / "dev")
        if not self._isolation.mounts:
            mount_proc(root / "proc")

    def close(self) -> None:
        self._given.close()
        if self._cgroups:
            from isobench.host.cgroups import remove_parents

            remove_parents(self._cgroups)

    def _options(self, root: Path, upper: Path, number: int) -> list[str]:
        isolation = self._isolation
        options = []
        if isolation.namespaces:
            options.append(f"--namespaces={','.join(isolation.namespaces)}")
        if isolation.plain_fork:
            options.append("--plain-fork")
        if isolation.user_map:
            options.append(f"--map-ids={os.geteuid()} {os.getegid()}")
        if isolation.cgroup:
            options += _cgroup_options(self._cgroups, number)
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
        return options


def sweep(run: str) -> list[str]:
    """Remove the cgroups of a dead run."""
    from isobench.host.cgroups import remove

    return remove(run)


def _has_libseccomp() -> bool:
    from isobench.setup.packages import library

    return library("libseccomp.so.2")()


MECHANISM = Mechanism(
    "native",
    sweep,
    programs=("probe",),
    needs=(Need(("libseccomp2",), _has_libseccomp, "the rungs with a seccomp filter"),),
)


def _cgroup_parents(workdir: Path) -> tuple[str, ...]:
    from isobench.host.cgroups import make_parents

    return make_parents(workdir.parent.name, workdir.name)


def _cgroup_options(parents: tuple[str, ...], number: int) -> list[str]:
    from isobench.host.cgroups import LIMITS, is_unified

    options = [f"--cgroup={parent}/{number}" for parent in parents]
    options += [f"--limit={limit}" for limit in LIMITS]
    return [*options, "--into-cgroup"] if is_unified(parents) else options


def _write_filter(workdir: Path) -> Path:
    from isobench.images.seccomp import compile_default_profile

    target = workdir / "seccomp.bpf"
    target.write_bytes(compile_default_profile())
    return target


def _remove_tree(folder: Path) -> None:
    import shutil

    if folder.exists():
        shutil.rmtree(folder)


def _namespace_rungs() -> Iterator[Native]:
    titles = {
        "mnt": "mount",
        "uts": "UTS",
        "ipc": "IPC",
        "pid": "PID",
        "net": "network",
        "user": "user",
        "cgroup": "cgroup",
        "time": "time",
    }
    for kind, title in titles.items():
        isolation = Isolation((kind,), user_map=kind == "user")
        adds = f"{'an' if title[0] == 'I' else 'a'} {title} namespace"
        yield Native(f"ns-{kind}", f"{title} namespace", isolation, adds=adds, compared_with="process")
    for kind in NAMESPACES:
        others = Isolation(tuple(k for k in NAMESPACES if k != kind))
        title = f"all namespaces but {titles[kind]}"
        adds = f"no {titles[kind]} namespace"
        yield Native(f"ns-all-no-{kind}", title, others, adds=adds, compared_with="ns-all")


_ALL = Isolation(NAMESPACES)
_CGROUP = _ALL._replace(cgroup=True)
_CAPS = _CGROUP._replace(caps=True)
_SECCOMP = _CAPS._replace(seccomp=True)
_OVERLAY = _SECCOMP._replace(overlay=True, pivot=True)
_HANDMADE = _OVERLAY._replace(mounts=True)

ENVIRONMENTS: tuple[Environment, ...] = (
    Native("process", "raw process", Isolation(), layer="process", groups=("default", "ladder")),
    Native(
        "process-fork",
        "raw process, fork",
        Isolation(plain_fork=True),
        layer="process",
        adds="fork instead of vfork: a copied address space",
        compared_with="process",
    ),
    Native(
        "chroot",
        "chroot",
        Isolation(chroot=True),
        layer="chroot",
        adds="chroot",
        compared_with="process",
        groups=("default", "ladder"),
    ),
    Native(
        "pivot-root",
        "pivot_root",
        Isolation(("mnt",), pivot=True),
        layer="chroot",
        adds="a bind mount and pivot_root",
        compared_with="ns-mnt",
    ),
    *_namespace_rungs(),
    Native(
        "ns-all",
        "all namespaces",
        _ALL,
        adds="mount, UTS, IPC, PID, network and cgroup namespaces",
        compared_with="process",
        single_factor=False,
        groups=("default", "ladder"),
    ),
    Native(
        "ns-all-user",
        "all namespaces, as a user",
        Isolation(("user", *NAMESPACES), user_map=True),
        adds="a user namespace",
        compared_with="ns-all",
        groups=("ladder",),
    ),
    Native("ns-all+cgroup", "… and a cgroup", _CGROUP, adds="a fresh cgroup with limits", compared_with="ns-all"),
    Native(
        "ns-all+caps",
        "… and fewer capabilities",
        _CAPS,
        adds="Docker's default capabilities and no_new_privs",
        compared_with="ns-all+cgroup",
    ),
    Native(
        "ns-all+seccomp",
        "… and a seccomp filter",
        _SECCOMP,
        adds="a seccomp filter like Docker's default",
        compared_with="ns-all+caps",
    ),
    Native(
        "ns-all+overlay",
        "… and an overlay root",
        _OVERLAY,
        adds="pivot_root into an overlay mount",
        compared_with="ns-all+seccomp",
    ),
    Native(
        "handmade",
        "container made by hand",
        _HANDMADE,
        adds="the mounts of a container: proc, dev, pts, shm, mqueue, sys, masked paths",
        compared_with="ns-all+overlay",
    ),
)
