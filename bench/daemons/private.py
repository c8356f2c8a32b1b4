"""Private daemons as a context manager, for hosts where no init system runs and no daemon answers."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import ExitStack, contextmanager, suppress
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

from isobench.core import deadlines
from isobench.core.errors import IsobenchError, Unavailable
from isobench.core.signals import interruptible, orderly
from isobench.daemons import docker, libvirt, session
from isobench.daemons.address import address
from isobench.filesystem.mounts import remove_tree
from isobench.filesystem.paths import state_dir, variable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from isobench.daemons import Daemon


@contextmanager
def private_daemons() -> Iterator[None]:
    """Private Docker and libvirt daemons within the `with` block, if no init system runs and no daemon answers.

    Their addresses are passed on in DOCKER_HOST and ISOBENCH_LIBVIRT_URI. One that does not start is reported on
    standard error; the rest is measured. A signal ends the block or the start of daemons, but never interrupts their
    end.
    """
    wanted: list[tuple[str, str, str, Callable[[Path], Daemon]]] = []
    if os.geteuid() == 0 and not has_init():
        wanted.append(("docker", "DOCKER_HOST", "/var/run/docker.sock", docker.start))
        wanted.append(("libvirt", "ISOBENCH_LIBVIRT_URI", "/var/run/libvirt/libvirt-sock", libvirt.start))
    before = dict(os.environ)
    with orderly(patience=inf), ExitStack() as stack:
        for name, variable, usual, start in wanted:
            if os.environ.get(variable) or (name == "docker" and _has_context()) or _answers(usual):
                continue
            try:
                daemon = start(daemon_state() / name)
            except IsobenchError as error:
                remedy = f" ({error.remedy})" if error.remedy else ""
                print(f"isobench: no private {name}: {error.reason}{remedy}", file=sys.stderr)
                continue
            stack.callback(daemon.stop)
            os.environ[variable] = daemon.address
        try:
            with interruptible():
                yield
        finally:
            for _, variable, _, _ in wanted:
                if variable not in before:
                    os.environ.pop(variable, None)


def clean(*, dry_run: bool = False) -> list[str]:
    """Undo what daemons of a killed session changed on the host; returns a line for each, as `leftovers.clean` does."""
    done: list[str] = []
    for name in ("docker", "libvirt") if os.geteuid() == 0 else ():
        state = daemon_state() / name
        try:
            held = session.hold(state)
        except (OSError, Unavailable):  # there is none, or its session is alive
            continue
        try:
            done += _clean(name, state, dry_run)
        finally:
            os.close(held)
    return done


def ended(engine: str) -> bool:
    """Whether the variable `engine` names a private daemon whose session has ended, so that it will never answer again.

    If so, its state is removed, including what a dead run left in it: it is only a cache.
    """
    if variable(engine) != addresses()[engine]:
        return False
    state = daemon_state() / ("docker" if engine == "DOCKER_HOST" else "libvirt")
    try:
        held = session.hold(state)
    except FileNotFoundError:  # all of it was removed
        return True
    except (OSError, IsobenchError):
        return False
    try:
        session.end_orphans(state)
        return not remove_tree(state / "data")
    except Unavailable:
        return False
    finally:
        os.close(held)


def _clean(name: str, state: Path, dry_run: bool) -> list[str]:
    """Remove it. The caller holds the lock on the state."""
    try:
        left = [f"process {pid} of a dead session's {name}" for pid in session.orphans(state)]
        done = [f"would kill {one}" for one in left] if dry_run else session.end_orphans(state)
    except Unavailable as error:
        return [f"not cleaned: {error.reason}"]
    if name == "docker":
        return [*done, *docker.clean(state, dry_run=dry_run)]
    if not dry_run:
        libvirt.clean(state)
    return done


def addresses() -> dict[str, str]:
    """The addresses of private daemons when they run, by the environment variable that holds them."""
    state = daemon_state()
    return {"DOCKER_HOST": docker.address(state / "docker"), "ISOBENCH_LIBVIRT_URI": libvirt.address(state / "libvirt")}


def daemon_state() -> Path:
    """The folder of private daemons' data: on a real disk, because an overlay needs one."""
    if variable("ISOBENCH_STATE"):
        return state_dir() / "daemons"
    return Path("/var/lib/isobench")


def has_init() -> bool:
    """Whether an init system runs that would start daemons."""
    return Path("/run/systemd/system").is_dir() or Path("/run/openrc").is_dir()


def _has_context() -> bool:
    """Whether the docker command is configured for another engine, even if its configuration cannot be parsed."""
    try:
        return bool(address().source)
    except Unavailable:
        return True


def _answers(path: str) -> bool:
    with suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(deadlines.stretched(5))
        connection.connect(path)
        return True
    return False
