"""libvirt: connecting to it, its daemons and QEMU's processes, and cleaning up after a dead run."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from isobench.core import deadlines
from isobench.core.remedies import as_root, to_start
from isobench.environments.libvirt._traces import remove_traces
from isobench.host.accounting import pids_with
from isobench.host.programs import find
from isobench.host.serving import Server, connected_paths, connected_to, server_of, serving_pid, writes_to

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

_Answer = TypeVar("_Answer")

DEFAULT_URI = "qemu:///system"


def connect() -> Any:
    """A connection to libvirt at ISOBENCH_LIBVIRT_URI, or to the system's. Raises `Unavailable` with the reason."""
    from isobench.core.errors import DeadlineExceeded, Unavailable

    try:
        import libvirt
    except ImportError as error:
        raise Unavailable("libvirt-python is not installed", remedy="pip install 'isobench[libvirt]'") from error
    libvirt.registerErrorHandler(lambda *_: None, None)  # it prints every error to stderr otherwise
    _refuse_another_machine()
    if time.monotonic() < _hung.get(uri(), 0.0):
        raise Unavailable(f"libvirt at {uri()} did not answer in an earlier attempt", remedy=_HUNG)
    try:
        return bounded(lambda: libvirt.open(uri()))
    except DeadlineExceeded as error:
        raise Unavailable(error.reason, remedy=_HUNG) from error
    except libvirt.libvirtError as error:
        raise Unavailable(f"no libvirt answers at {uri()}: {error}", remedy=_remedy(str(error))) from error


def bounded(call: Callable[[], _Answer], seconds: float | None = None) -> _Answer:
    """Call libvirt with a deadline, which it does not have itself. Raises `DeadlineExceeded` if its daemon hangs.

    The calling thread then remains until the daemon answers or ends.
    """
    from isobench.core.errors import DeadlineExceeded

    given: list[_Answer] = []
    failed: list[Exception] = []

    def ask() -> None:
        try:
            given.append(call())
        except Exception as error:
            failed.append(error)

    patience = deadlines.stretched(_ANSWER_SECONDS) if seconds is None else seconds
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(patience)
    if failed:
        raise failed[0]
    if not given:
        _hung[uri()] = time.monotonic() + _REST_SECONDS
        raise DeadlineExceeded(f"libvirt at {uri()} did not answer within {patience:.0f} s", remedy=_HUNG)
    _hung.pop(uri(), None)
    return given[0]


_ANSWER_SECONDS = 60.0
"""How long libvirt may take to answer before its daemon counts as hung."""
_REST_SECONDS = 120.0
"""How long a hung daemon is not asked again. Otherwise a dozen kinds of guests would wait for it in turn."""
_hung: dict[str, float] = {}
"""Address -> when its daemon may be asked again, on the monotonic clock."""
_HUNG = "check the log of libvirt's daemon, and restart it"


def close(connection: Any) -> None:
    """Close a connection, even if its daemon hangs or has ended."""
    import libvirt

    from isobench.core.errors import DeadlineExceeded

    with suppress(libvirt.libvirtError, DeadlineExceeded):
        bounded(connection.close, _CLOSE_SECONDS)


_CLOSE_SECONDS = 5.0
"""A connection that is not closed properly loses nothing: its domains end with it."""


def uri() -> str:
    """Which libvirt is used."""
    return os.environ.get("ISOBENCH_LIBVIRT_URI") or DEFAULT_URI


def _refuse_another_machine() -> None:
    from urllib.parse import urlsplit

    from isobench.core.errors import Unavailable

    parts = urlsplit(uri())
    driver, _, transport = parts.scheme.partition("+")
    if driver != "qemu":
        raise Unavailable(f"guests are run by QEMU here, not by {uri()}", remedy="unset ISOBENCH_LIBVIRT_URI")
    if transport not in ("", "unix") or parts.netloc:
        reason = f"the guests of {uri()} run on another machine, and their output cannot be read here"
        raise Unavailable(reason, remedy="run isobench on that machine, or unset ISOBENCH_LIBVIRT_URI")


def _remedy(words: str) -> str:
    """The remedy if libvirt cannot be reached, by its error message."""
    lower = words.lower()
    if any(word in lower for word in ("permission denied", "authenticat", "polkit", "system bus")):
        return as_root("check the log of libvirt's daemon: it refuses root", "join the group libvirt")
    if "failed to connect socket" in lower:
        modular = find("virtqemud") and not find("libvirtd")
        return to_start("virtqemud", "virtqemud") if modular else to_start("libvirtd", "libvirtd and virtlogd")
    return ""


def sweep(run: str) -> list[str]:
    """Destroy the domains of a dead run, whose names begin with the run's and a dash, and remove their traces.

    Raises `Unavailable` if libvirt does not answer and the run had used it, `MeasurementError` if a domain remains.
    """
    from isobench.core.errors import MeasurementError, Unavailable
    from isobench.daemons.private import ended
    from isobench.filesystem.paths import opened

    try:
        connection = connect()
    except Unavailable:
        if not (opened(run, "tcg") or opened(run, "kvm")):
            return []
        remove_traces(run, root_of_daemon())
        if ended("ISOBENCH_LIBVIRT_URI"):
            return []
        raise
    import libvirt

    try:
        removed = bounded(lambda: _destroy_all(connection, f"{run}-"), 2 * deadlines.stretched(_SWEEP_SECONDS))
    except libvirt.libvirtError as error:
        raise MeasurementError(f"cleaning up domains: {error}") from error
    finally:
        close(connection)
    return [*(f"domain {name}" for name in removed), *remove_traces(run, root_of_daemon())]


_SWEEP_SECONDS = 20.0
"""libvirt waits up to 15 seconds for a QEMU that does not end at once."""


def _destroy_all(connection: Any, prefix: str) -> list[str]:
    """Destroy the domains whose names have this prefix until none are left; returns their names. Raises
    `MeasurementError`."""
    import libvirt

    from isobench.core.errors import MeasurementError

    destroyed: dict[str, str] = {}
    deadline = time.monotonic() + deadlines.stretched(_SWEEP_SECONDS)
    while there := [domain for domain in connection.listAllDomains() if domain.name().startswith(prefix)]:
        if time.monotonic() > deadline:
            left = ", ".join(f"{domain.name()} ({destroyed.get(domain.name()) or 'still there'})" for domain in there)
            raise MeasurementError(f"cleaning up domains: {left}")
        for domain in there:
            destroyed[domain.name()] = ""
            try:
                domain.destroy()
            except libvirt.libvirtError as error:  # it may be ending just now
                destroyed[domain.name()] = str(error)
        time.sleep(0.05)
    return list(destroyed)


def root_of_daemon() -> Path:
    """The root folder as libvirt's daemon sees it: a private daemon sees folders of its own in the usual places."""
    from pathlib import Path

    pid = libvirtd_pid()
    return Path(f"/proc/{pid}/root" if pid else "/")


_DAEMONS = frozenset({"libvirtd", "virtqemud", "virtproxyd"})
_BEHIND = frozenset(
    {"virtqemud", "virtlogd", "virtlockd", "virtnetworkd", "virtstoraged", "virtsecretd", "virtnodedevd"}
)
"""The names of libvirt's daemons: those that clients connect to, and those that these connect to."""

_SOCKETS = ("virtqemud-sock", "libvirt-sock")
"""The names of their sockets, in the order in which libvirt's own client tries them."""


def libvirtd_pid() -> int:
    """The process that serves libvirt's socket, whatever its name; 0 if none is visible."""
    return serving_pid(_socket_path())


def daemon() -> Server:
    """libvirt's daemon, verified: monolithic or modular, whoever created its socket."""
    return server_of(_socket_path(), _DAEMONS)


def daemons_behind(daemon: int, qemu: int) -> list[int]:
    """The other daemons that work for a guest: those that libvirt's is connected to, and the one that writes QEMU's
    log."""
    return sorted({*connected_to(daemon, _BEHIND), *writes_to(qemu, _BEHIND)})


def _socket_path() -> str:
    """The socket of libvirt's daemon: the one named in the address, or the one that this process is connected to."""
    from urllib.parse import parse_qs, urlsplit

    named = parse_qs(urlsplit(uri()).query).get("socket")
    if named:
        return named[0]
    ours = [name for name in connected_paths() if os.path.basename(name) in _SOCKETS]  # noqa: PTH119
    folder = "/run/libvirt"
    if urlsplit(uri()).path == "/session":
        usual = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        folder = os.path.expanduser(f"{os.environ.get('XDG_RUNTIME_DIR') or usual}/libvirt")  # noqa: PTH111
    return (ours or [f"{folder}/{name}" for name in _SOCKETS if os.path.exists(f"{folder}/{name}")] or [""])[0]  # noqa: PTH110


def qemu_pid(name: str) -> int:
    """QEMU's process, identified by the domain's name on its command line."""
    return next(iter(pids_with(f"guest={name},")), 0)


def virtiofsd_pids(folder: Path) -> list[int]:
    """virtiofsd's processes (it forks into its sandbox), identified by the folder they share; none without it."""
    return pids_with(f"{folder}", "virtiofsd") if folder.is_dir() else []


def give_to_qemu(path: Path) -> None:
    """Give this file to the user as whom a system's libvirt runs QEMU; nobody else can open it."""
    import pwd

    if os.geteuid() != 0:
        return
    path.chmod(0o700 if path.is_dir() else 0o600)
    for user in ("libvirt-qemu", "qemu"):
        with suppress(KeyError):
            os.chown(path, pwd.getpwnam(user).pw_uid, -1)
            return
