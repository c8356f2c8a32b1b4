"""Using containerd through its client `ctr`: running an instance, and cleaning up after a run."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from isobench.contracts.capabilities import Part
from isobench.core import deadlines
from isobench.core.errors import IsobenchError, MeasurementError, Unavailable
from isobench.core.remedies import to_start
from isobench.daemons.private import daemon_state, ended
from isobench.daemons.shims import TASKS, remove_socket
from isobench.environments._signatures import by_image_verifiers
from isobench.environments.docker._daemons import (
    CONTAINERD,
    containerd_address,
    containerd_file,
    containerd_settings,
)
from isobench.environments.runtimes._bundle import cgroup_of, configuration
from isobench.environments.runtimes._ctr_images import CtrImages, environ
from isobench.environments.runtimes._runtime import Driver
from isobench.filesystem.mounts import remove_tree
from isobench.filesystem.paths import opened, work_folder
from isobench.processes.accounting import descendants, peer_pid, pids_with, process_name
from isobench.processes.programs import output
from isobench.processes.serving import server_of
from isobench.resources.cgroups import remove

if TYPE_CHECKING:
    from collections.abc import Mapping

    from isobench.contracts.environment import Role
    from isobench.environments.runtimes._sandbox import RuntimeSandbox


def sweep(run: str) -> list[str]:
    """Remove the containers of a dead run, its containerd namespace, and the folders that containerd leaves of it.

    Raises `Unavailable` if containerd does not answer and the run had used it, `MeasurementError` if something remains.
    """
    where = containerd_address()
    if not peer_pid(where):
        if opened(run, "containerd") and not _ended_with_its_docker(where):
            raise Unavailable(f"no containerd answers at {where}", remedy="start it, then isobench clean")
        return []
    try:
        known = run in _said(run, where, "namespaces", "list", "--quiet").split()
    except Unavailable:
        if opened(run, "containerd"):
            raise
        return []
    removed = _remove_all(run, where) if known else []
    if known and run in _said(run, where, "namespaces", "list", "--quiet").split():
        left = _said(run, where, "containers", "list", "--quiet").split()
        raise MeasurementError(f"cleaning up containerd: {', '.join(left) or f'the namespace {run}'} remains")
    return [*removed, *_remove_folders(run, where)]


def _ended_with_its_docker(where: str) -> bool:
    """Whether this is the containerd of a private dockerd whose session has ended: nobody will answer there again."""
    return where.startswith(f"{daemon_state()}/") and ended("DOCKER_HOST")


def _remove_all(run: str, where: str) -> list[str]:
    """Remove the run's containers, then its namespace; returns the containers."""
    removed: dict[str, None] = {}
    for _ in range(_SWEEPS):
        there = _said(run, where, "containers", "list", "--quiet").split()
        if not there:
            break
        for container in there:
            _remove(run, container, where)
        removed |= dict.fromkeys(f"container {container}" for container in there)
    removed |= dict.fromkeys(_remove_images(run, where))
    _try(run, where, "namespaces", "remove", run)
    return list(removed)


def _remove_images(run: str, where: str) -> list[str]:
    """Remove the run's images, and the leases that keep for a day what a killed client was fetching."""
    for kind, command in (("leases", ("leases", "delete", "--sync")), ("images", ("images", "rm", "--sync"))):
        there = _said(run, where, kind, "list", "--quiet").split()
        if there:
            _try(run, where, *command, *there)
    return [f"image {image}" for image in there]


_SWEEPS = 3
"""A task that has just been killed may linger, and its container cannot be removed while it does."""


def _remove_folders(run: str, where: str) -> list[str]:
    """Remove the folders that containerd, runc and `ctr` keep of a namespace, even of one that is gone.

    Every run leaves them, so only their contents are reported.
    """
    fixed = Path("/run/containerd")  # the shim and the client use it, whatever containerd's own folders are
    folders = [place / TASKS / run for place in _own_folders(where)]
    folders += [fixed / "runc" / run]
    folders += {path.parent for path in (fixed / "fifo").glob(f"*/{run}-*")}
    said = []
    for folder in filter(Path.is_dir, folders):
        said += [f"folder {path}" for path in folder.iterdir() if path.is_dir()]
        said += [f"not cleaned: {point} is still mounted" for point in remove_tree(folder)]
    work, listens = work_folder(run), containerd_settings(where)["address"]
    for file in work.glob(f"containerd/{run}-*.json") if work is not None else ():  # one for each instance
        remove_socket(listens, run, file.stem)
    return said


def _own_folders(where: str) -> list[Path]:
    """containerd's `root` and `state`."""
    return [Path(containerd_settings(where)[name]) for name in ("root", "state")]


def _remove(run: str, container: str, where: str) -> None:
    _try(run, where, "tasks", "delete", "--force", container)
    _try(run, where, "containers", "delete", container)
    remove_socket(containerd_settings(where)["address"], run, container)


def _ctr(run: str, where: str = "") -> list[str]:
    return ["ctr", f"--address={where or containerd_address()}", f"--namespace={run}"]


def _said(run: str, where: str, *words: str) -> str:
    """The output of `ctr`. Raises `Unavailable` if containerd does not answer."""
    try:
        return output([*_ctr(run, where), *words], deadlines.stretched(60), environ=environ())
    except MeasurementError as error:
        raise Unavailable(f"containerd does not answer: {error.reason}") from error


def _try(run: str, where: str, *words: str) -> None:
    """Try something that may already have been done; the caller checks the result."""
    with suppress(Unavailable):
        _said(run, where, *words)


def _shim(name: str) -> int:
    """The shim of an instance; 0 if there is none."""
    return next(iter(pids_with(f"\0-id\0{name}\0")), 0)


class CtrDriver(Driver):
    """`ctr run` with the OCI configuration of the runc rung, in a containerd namespace named after the run."""

    def __init__(self) -> None:
        self._images: CtrImages | None = None

    def images(self, sandbox: RuntimeSandbox) -> CtrImages:
        if self._images is None:
            root, _ = _own_folders(containerd_address())
            self._images = CtrImages(sandbox.workdir, _ctr(sandbox.run), root)
        return self._images

    def require(self) -> None:
        try:
            _said("default", containerd_address(), "version")
        except Unavailable as error:
            absent = not os.path.exists(containerd_address())  # noqa: PTH110
            raise Unavailable(
                error.reason, remedy=to_start("containerd", "containerd or dockerd") if absent else ""
            ) from None

    def command(self, sandbox: RuntimeSandbox, name: str, probe_args: tuple[str, ...]) -> list[str]:
        if sandbox.image:
            there = f"--cgroup=/{cgroup_of(sandbox.run)}/{name}"
            return [*_ctr(sandbox.run), "run", "--rm", there, sandbox.image, name, "/probe", *probe_args]
        file = sandbox.workdir / f"{name}.json"
        if name != "NAME":
            file.write_text(json.dumps(configuration(sandbox, name, probe_args)))
        return [*_ctr(sandbox.run), "run", "--rm", f"--config={file}", name]

    def elsewhere(self, name: str) -> Mapping[int, Role]:
        """Its shim, identified by the instance's name on its command line, and the program. A runc that is ending is
        neither."""
        shim = _shim(name)
        payload = [pid for pid in descendants(shim) if process_name(pid) == "probe"]
        return {shim: "helper", **dict.fromkeys(payload, "payload")} if shim else {}

    def destroy(self, sandbox: RuntimeSandbox, name: str) -> None:
        """Its shim is not a descendant of the client that the launcher has killed."""
        _remove(sandbox.run, name, containerd_address())

    def engine(self) -> list[int]:
        pid = server_of(containerd_address(), CONTAINERD).pid
        return [pid] if pid else []

    def unseen(self) -> Mapping[Part, str]:
        server = server_of(containerd_address(), CONTAINERD)
        elsewhere: dict[Part, str] = dict.fromkeys(
            (Part.DAEMONS, Part.PROCESSES, Part.MEMORY, Part.END), server.why_not
        )
        return {} if server.pid else elsewhere

    def facts(self, sandbox: RuntimeSandbox) -> Mapping[str, str]:
        return {"signatures": by_image_verifiers(containerd_file(containerd_address()))}

    def dispose(self, sandbox: RuntimeSandbox) -> None:
        if self._images is not None:
            self._images.close()
        with suppress(IsobenchError):  # the run's sweep reports it
            sweep(sandbox.run)
        remove(cgroup_of(sandbox.run))
