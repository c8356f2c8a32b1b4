"""A TLS connection as a plain socket, which can be polled, peeked at and read by its descriptor."""

from __future__ import annotations

import select
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ssl import SSLSocket


def plain(secured: SSLSocket) -> socket.socket:
    """One end of a socket pair. A thread forwards data in both directions, and ends with either side."""
    here, there = socket.socketpair()
    threading.Thread(target=_pass_on, args=(secured, there), daemon=True).start()
    return here


def _pass_on(secured: SSLSocket, there: socket.socket) -> None:
    """In a single thread: an OpenSSL connection must not be used by two threads at once."""
    with there, suppress(OSError, ValueError):  # either side was closed
        while True:
            ready = [secured] if secured.pending() else select.select([secured, there], [], [])[0]
            if secured in ready:
                data = secured.recv(1 << 16)
                if not data:
                    return
                there.sendall(data)
            if there in ready:
                data = there.recv(1 << 16)
                if not data:
                    return
                secured.sendall(data)
