"""libvirt: connecting to it, and deadlines for its answers."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from isobench.core import deadlines
from isobench.core.errors import DeadlineExceeded, Unavailable
from isobench.core.remedies import as_root, to_start
from isobench.processes.programs import find

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_absent: ImportError | SystemError | None = None
try:
    import libvirt as libvirt
except (ImportError, SystemError) as error:  # this module can be imported without it
    libvirt = None
    _absent = error

_Answer = TypeVar("_Answer")

DEFAULT_URI = "qemu:///system"


def connect() -> Any:
    """A connection to libvirt at ISOBENCH_LIBVIRT_URI, or to the system's. Raises `Unavailable` with the reason."""
    _require_library()
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


def _require_library() -> None:
    if isinstance(_absent, SystemError):  # libvirt refuses its own settings in the environment
        remedy = "unset LIBVIRT_LOG_OUTPUTS, LIBVIRT_LOG_FILTERS and LIBVIRT_DEBUG"
        raise Unavailable(f"libvirt-python cannot be loaded: {_absent}", remedy=remedy) from _absent
    if _absent is not None:
        raise Unavailable("libvirt-python is not installed", remedy="pip install 'isobench[libvirt]'") from _absent


def bounded(call: Callable[[], _Answer], seconds: float | None = None) -> _Answer:
    """Call libvirt with a deadline, which it does not have itself. Raises `DeadlineExceeded` if its daemon hangs.

    The calling thread then remains until the daemon answers or ends.
    """
    patience = deadlines.stretched(_ANSWER_SECONDS) if seconds is None else seconds
    try:
        answer = deadlines.within(patience, call)
    except TimeoutError as error:
        _hung[uri()] = time.monotonic() + _REST_SECONDS
        raise DeadlineExceeded(f"libvirt at {uri()} did not answer within {patience:.0f} s", remedy=_HUNG) from error
    _hung.pop(uri(), None)
    return answer


_ANSWER_SECONDS = 60.0
"""How long libvirt may take to answer before its daemon counts as hung."""
_REST_SECONDS = 120.0
"""How long a hung daemon is not asked again. Otherwise a dozen kinds of guests would wait for it in turn."""
_hung: dict[str, float] = {}
"""Address -> when its daemon may be asked again, on the monotonic clock."""
_HUNG = "check the log of libvirt's daemon, and restart it"


def close(connection: Any) -> None:
    """Close a connection, even if its daemon hangs or has ended."""
    with suppress(libvirt.libvirtError, DeadlineExceeded):
        bounded(connection.close, deadlines.stretched(_CLOSE_SECONDS))


_CLOSE_SECONDS = 5.0
"""A connection that is not closed properly loses nothing: its domains end with it."""


def uri() -> str:
    """Which libvirt is used."""
    return os.environ.get("ISOBENCH_LIBVIRT_URI") or DEFAULT_URI


def _refuse_another_machine() -> None:
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
