"""The Docker SDK, and the libraries whose exceptions it raises. This module can be imported without them.

Signals that arrive during their import are delivered after it. An import that is interrupted by Ctrl-C leaves half a
package in `sys.modules`, which cannot be imported again, and the sweep at the end of the run needs it.
"""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from isobench.core.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def _undisturbed() -> Iterator[None]:
    came: list[int] = []
    here = threading.current_thread() is threading.main_thread()  # only this thread can set and run handlers
    before = {number: signal.getsignal(number) for number in _SIGNALS if here}
    try:
        for number in before:
            signal.signal(number, lambda number, frame: came.append(number))
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    for late in came:
        signal.raise_signal(late)


docker: Any = None
requests: Any = None
urllib3: Any = None
_absent: ImportError | None = None
with _undisturbed():
    try:
        import docker as docker
        import requests as requests
        import urllib3 as urllib3
    except ImportError as error:
        _absent = error


def require() -> None:
    """Raise `Unavailable` if the SDK is not installed."""
    if _absent is not None:
        raise Unavailable("the Docker SDK is not installed", remedy="pip install 'isobench[docker]'") from _absent
