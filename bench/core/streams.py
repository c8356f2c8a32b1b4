"""Reading from an instance, bounded by its deadline."""

from __future__ import annotations

import io
import os
import select
import time

from isobench.core.errors import DeadlineExceeded


class DeadlineReader(io.RawIOBase):
    """Reads a descriptor (pipe or socket) until its end; raises `DeadlineExceeded` once the deadline has passed.

    `deadline` is a value of `time.monotonic()`. Owns the descriptor.
    """

    def __init__(self, descriptor: int, deadline: float) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._deadline = deadline
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def] # the buffer protocol has no name in 3.11
        left = self._deadline - time.monotonic()
        if left <= 0 or not self._poll.poll(left * 1000):
            raise DeadlineExceeded("the instance sent nothing more before its deadline")
        try:
            return os.readv(self._descriptor, [buffer])
        except ConnectionResetError:  # a peer that is gone sends nothing more
            return 0

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()
