"""A private libvirt daemon: libvirtd in its own mount namespace, with its own state and configuration.

libvirtd's folders are fixed at build time, so in its mount namespace each is replaced by one under `state`. QEMU runs
as root there, so that the owner of /dev/kvm and the disks need not change, and writes its consoles itself (no
virtlogd).
"""

from __future__ import annotations

import os
import shlex
import shutil
import socket
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import quote

from isobench import daemons
from isobench.core import deadlines
from isobench.core.errors import Unavailable
from isobench.core.text import NOT_UTF8
from isobench.daemons import Daemon, session
from isobench.filesystem.paths import check_name
from isobench.processes.programs import find
from isobench.resources.cgroups import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_COVERED = ("/run/libvirt", "/var/lib/libvirt", "/var/cache/libvirt", "/var/log/libvirt", "/etc/libvirt")
_QEMU_CONFIGURATION = """\
user = "root"
group = "root"
dynamic_ownership = 0
security_driver = "none"
stdio_handler = "file"
remember_owner = 0
namespaces = []
"""


def address(state: Path) -> str:
    """The address of the libvirtd with this state."""
    return f"qemu+unix:///system?socket={quote(os.fsencode(state))}/sockets/libvirt-sock"


def start(state: Path) -> Daemon:
    """Start libvirtd with everything it keeps under `state` (0700). Raises `Unavailable`."""
    libvirtd = find("libvirtd")
    if libvirtd is None:
        raise Unavailable("libvirtd is not installed", remedy="apt-get install libvirt-daemon-system")
    check_name(state, "libvirtd", NOT_UTF8, "ISOBENCH_STATE")
    held = session.hold(session.made(state))

    def clean_up() -> None:
        nonlocal held
        clean(state)
        if held >= 0:
            os.close(held)
            held = -1

    try:
        session.end_orphans(state)
        clean(state)
        return _start(libvirtd, state, clean_up)
    except BaseException:
        clean_up()
        raise


def clean(state: Path) -> None:
    """Remove what an ended libvirtd leaves: its files about domains, and their parent cgroup if it is empty.

    Also its sockets and its pid file, which remain if it is ended while it starts.
    """
    for folder in (state / "run", state / "sockets"):
        shutil.rmtree(folder, ignore_errors=True)
    for folder in (state / "var/lib/libvirt/qemu").rglob("domain-*"):
        shutil.rmtree(folder, ignore_errors=True)
    for folder in (*ROOT.glob("machine"), *ROOT.glob("*/machine")):
        with suppress(OSError):
            folder.rmdir()


def _start(libvirtd: str, state: Path, clean_up: Callable[[], None]) -> Daemon:
    sockets = state / "sockets"
    for folder in (sockets, *(state / name.lstrip("/") for name in _COVERED)):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (state / "etc/libvirt/qemu.conf").write_text(_QEMU_CONFIGURATION)
    configuration = state / "etc/libvirt/libvirtd.conf"
    configuration.write_text(
        f'unix_sock_dir = """{sockets}"""\nunix_sock_rw_perms = "0600"\nunix_sock_ro_perms = "0600"\n'
        'auth_unix_rw = "none"\nauth_unix_ro = "none"\nmdns_adv = 0\nlog_outputs = "3:stderr"\n'
    )
    binds = "".join(
        f"mkdir -p {name} && mount --bind {shlex.quote(str(state / name.lstrip('/')))} {name} && " for name in _COVERED
    )
    script = f"{binds}exec {shlex.join([libvirtd, '-f', str(configuration), '-p', f'{sockets}/libvirtd.pid'])}"
    path = sockets / "libvirt-sock"
    return daemons.start(
        "libvirtd",
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", script],
        state=state,
        address=address(state),
        answers=lambda: _answers(path),
        after=clean_up,
    )


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(deadlines.stretched(5))
        connection.connect(str(path))
        return True
