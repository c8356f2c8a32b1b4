"""How systemd-nspawn runs an instance, and cleaning up after a dead run."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from isobench.environments.runtimes._runtime import Driver
from isobench.environments.runtimes._sandbox import cgroup_files
from isobench.filesystem.mounts import remove_tree
from isobench.filesystem.paths import work_folder
from isobench.images.rootfs import link_rootfs
from isobench.resources.cgroups import is_version_2, limited, make_own, remove

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from isobench.environments.runtimes._sandbox import RuntimeSandbox


def _own_tree(sandbox: RuntimeSandbox, name: str) -> Path:
    """A tree of hard links for each instance: nspawn refuses a second instance in the same tree as busy. A given root
    file system has only one instance at a time."""
    if sandbox.given is not None:
        return sandbox.root
    tree = sandbox.workdir / f"root-{name}"
    if name != "NAME":
        link_rootfs(tree)
    return tree


def _cgroup_of(run: str) -> str:
    """The cgroup in which all instances of a run are started."""
    return f"{run}-nspawn"


def _limits_of(run: str) -> str:
    """The parent of the cgroups that limit one instance each. In version 2 it cannot itself contain processes."""
    return f"{run}-nspawn-limits"


_STATE = "/run/systemd/nspawn"
"""Where nspawn keeps a lock for each tree, and for each container a folder for later mounts; since systemd 256 also a
tmpfs for its sockets, in a folder `unix-export` or, in newer versions, in one named like the container."""


def sweep(run: str) -> list[str]:
    """Remove what a dead run's containers left: their cgroups, and the files of those whose nspawn was killed."""
    removed = [*remove(_cgroup_of(run)), *remove(_limits_of(run))]
    for left in filter(os.path.lexists, _kept(run)):
        remove_tree(left) if left.is_dir() else left.unlink()
        removed.append(f"nspawn's {left.name}")
    return removed


def _kept(run: str) -> Iterator[Path]:
    """The run's files: a lock is named after its tree's inode, a folder after its container."""
    for folder in (".", "propagate", "unix-export"):
        yield from Path(_STATE, folder).glob(f"{run.lower()}-*")
    work = work_folder(run)
    for tree in (*work.glob("nspawn/root-*"), *work.glob("nspawn/*/root")) if work is not None else ():
        status = tree.lstat()
        yield Path(_STATE, "locks", f"inode-{status.st_dev}:{status.st_ino}")


class NspawnDriver(Driver):
    """systemd's container tool.

    It creates cgroups with fixed names (`payload`, `supervisor`) in the one in which it is started, and leaves them
    there. So it is started in a cgroup of the run's own.
    """

    @contextmanager
    def started_in(self, sandbox: RuntimeSandbox, name: str) -> Iterator[Sequence[Path]]:
        """With limits, a cgroup that has them (with version 1 one per hierarchy), as a systemd unit limits the
        container that it starts. So the limits include nspawn's own processes."""
        own, files = make_own(_cgroup_of(sandbox.run)), cgroup_files(sandbox)
        if not files:
            yield own
            return
        with limited(_limits_of(sandbox.run), name, files) as folders:
            yield folders if is_version_2() else (*own, *folders)

    def environ(self, sandbox: RuntimeSandbox) -> Mapping[str, str]:
        """Keep nspawn from mounting over /tmp, where a given root file system may have its program."""
        return {"SYSTEMD_NSPAWN_TMPFS_TMP": "0"} if sandbox.given is not None else {}

    def dispose(self, sandbox: RuntimeSandbox) -> None:
        sweep(sandbox.run)

    def command(self, sandbox: RuntimeSandbox, name: str, probe_args: tuple[str, ...]) -> list[str]:
        options = ["--quiet", "--register=no", "--keep-unit", "--private-network", "--pipe", "--link-journal=no"]
        tree = _own_tree(sandbox, name)
        where = [f"--directory={tree}", f"--machine={name[-60:].lstrip('-').lower()}", "--volatile=no"]
        most = sandbox.limits.open_files
        options += [f"--rlimit=RLIMIT_NOFILE={most}"] if most else []
        return ["systemd-nspawn", *options, *where, "/probe", *probe_args]
