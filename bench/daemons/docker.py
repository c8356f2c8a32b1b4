"""A private Docker Engine: dockerd with its own state, on a private socket."""

from __future__ import annotations

import hashlib
import os
import shlex
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

from isobench import daemons
from isobench.core import deadlines
from isobench.core.errors import IsobenchError, Unavailable
from isobench.core.text import NOT_UTF8
from isobench.daemons import Daemon, network, session
from isobench.daemons.shims import TASKS, remove_sockets
from isobench.filesystem.mounts import remove_tree, unmount_below
from isobench.filesystem.paths import check_name
from isobench.processes.programs import find
from isobench.resources.cgroups import remove as remove_cgroups

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


REFUSED = rf"{NOT_UTF8}|[:,\\%?#\n]"
"""Matches characters with a special meaning in overlay options, addresses or Go's format strings."""


def address(state: Path) -> str:
    """Where the dockerd with this state answers."""
    return f"unix://{state}/run/docker.sock"


def start(state: Path) -> Daemon:
    """Start dockerd with everything it keeps under `state` (0700). Raises `Unavailable`."""
    dockerd = find("dockerd")
    if dockerd is None:
        raise Unavailable("dockerd is not installed", remedy="apt-get install docker.io")
    check_name(state, "dockerd", REFUSED, "ISOBENCH_STATE")
    held = session.hold(session.made(state))
    lock = -1
    run = state / "run"

    def clean_up() -> None:
        nonlocal held, lock
        remove_cgroups(_cgroup_of(state))
        if lock >= 0:
            own, lock = lock, -1
            with suppress(OSError):  # the whole state was removed
                network.put_back(state, own)
        _forget(state)
        if held >= 0:
            os.close(held)
            held = -1

    try:
        session.end_orphans(state)
        network.forget_dead(state)
        lock = network.keep(state)  # while the data of a killed dockerd still show which interfaces it made
        _forget(state)  # before a new containerd finds the data of a dead one, and keeps part of them
        return _start(dockerd, state, run, clean_up)
    except BaseException:
        clean_up()
        raise


def _start(dockerd: str, state: Path, run: Path, clean_up: Callable[[], None]) -> Daemon:
    run.mkdir(mode=0o700, exist_ok=True)
    socket_path = run / "docker.sock"
    for leftover in ("docker.pid", "docker.sock"):
        (run / leftover).unlink(missing_ok=True)
    command = [dockerd, f"--data-root={state}/data", f"--exec-root={run}/exec", f"--pidfile={run}/docker.pid"]
    command += [f"--host=unix://{socket_path}", "--group=root", "--log-level=warn", *_runtimes(state)]
    command.append(f"--cgroup-parent=/{_cgroup_of(state)}")  # so that its leftovers can be identified if it is killed
    return daemons.start(
        "dockerd",
        command,
        state=state,
        address=address(state),
        answers=lambda: answers(socket_path),
        after=clean_up,
    )


def clean(state: Path, *, dry_run: bool = False) -> list[str]:
    """Clean up after a killed session's dockerd: processes, the host's network, mounts; returns a line for each."""
    changed = network.left_behind(state)
    dead = network.forget_dead(state, dry_run=dry_run)
    if dry_run:
        would = [f"would remove {file}: that network is gone" for file in dead]
        return [*would, *([f"would restore the host's network as recorded in {state}"] if changed else [])]
    done = [*(f"{file}: that network is gone" for file in dead), *remove_cgroups(_cgroup_of(state))]
    if changed:
        try:
            remains = network.put_back(state) is not None
        except IsobenchError as error:
            return [*done, f"not cleaned: {error.reason}"]
        done += [
            f"{'not cleaned: ' if remains else ''}restored the host's network as it was before the Docker in {state}"
        ]
    return [*done, *(f"unmounted {mount}" for mount in _forget(state))]


def _forget(state: Path) -> list[str]:
    """Remove the runtime files of a dockerd that has ended; returns the mounts removed.

    A killed one (its pid file still exists) also leaves unfinished data that no later dockerd cleans up. Its data are
    only a cache, and are discarded.
    """
    killed = (state / "run/docker.pid").exists()
    containerd = state / "run/exec/containerd"
    remove_sockets(f"{containerd}/containerd.sock", containerd / "daemon")
    unmounted = unmount_below(state)
    remove_tree(state / "run")
    for folder in (state / "data/containerd/daemon" / TASKS).glob("*/*"):  # if only containerd was killed
        remove_tree(folder)
    if killed:
        remove_tree(state / "data")
    return unmounted


def _cgroup_of(state: Path) -> str:
    """The parent cgroup of all its containers."""
    return f"isobench-docker-{hashlib.sha256(os.fsencode(state)).hexdigest()[:12]}"


def _runtimes(state: Path) -> list[str]:
    """gVisor as a runtime if it is installed, with the options that it needs on hosts without its own network."""
    runsc = find("runsc")
    if runsc is None:
        return []
    wrapper = state / "runsc-ptrace"
    # Its sandbox runs as nobody and mounts over its temporary folder: the daemon's own is for root alone.
    command = f'exec {shlex.quote(runsc)} --platform=ptrace --ignore-cgroups --network=none "$@"'
    wrapper.write_text(f"#!/bin/sh\nTMPDIR=/tmp {command}\n")
    wrapper.chmod(0o700)
    return [f"--add-runtime=runsc={wrapper}"]


def answers(path: Path) -> bool:
    """Whether a dockerd answers at this socket. Raises `OSError` if nobody does."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(deadlines.stretched(5))
        connection.connect(str(path))
        connection.sendall(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
        return b"200 OK" in connection.recv(256)
