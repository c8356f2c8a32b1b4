"""Redis as a victim: Debian's server and its own load generator in one instance, over a unix socket.

The root file system is that of the workload `redis` (bench/workloads/shipped/redis.toml), from the same cache. No port
is used, because a raw process would use the host's.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from isobench.contracts.launch import commands
from isobench.core.errors import MeasurementError
from isobench.scenarios import _commands

if TYPE_CHECKING:
    from pathlib import Path

    from isobench.contracts.environment import Sandbox
    from isobench.core.errors import IsobenchError

_MEMORY = 256 << 20
_SOCKET = "/run/redis.sock"
_SERVER = ("redis-server", "--port", "0", "--unixsocket", _SOCKET, "--save", "", "--appendonly", "no")
_DRIVER = ("redis-benchmark", "-s", _SOCKET, "--csv", "-c", "20", "-n", "5000", "-t", "get")
_RATE = re.compile(r'^"GET","(\d{1,12}(?:\.\d{1,12})?)"', re.MULTILINE)


def made() -> Path | IsobenchError:
    """The archive of its root file system, or why there is none."""
    return _commands.made(("redis-server", "redis-tools"))


def get(sandbox: Sandbox) -> float:
    """The seconds of a GET in a fresh instance. Raises `MeasurementError`."""
    words = [*_commands.server(_SERVER, "Ready to accept connections"), *_commands.step(_DRIVER), *_commands.STOP]
    launch = commands(_commands.archive(made()), *words, memory_bytes=_MEMORY)
    with sandbox.launch(launch) as instance:
        _commands.do(instance, "redis", "does not begin", first=True)
        said = _commands.do(instance, "redis-benchmark", "failed")
        _commands.do(instance, "redis", "ended before its driver did")
        instance.wait()
    found = _RATE.search(said)
    if found is None or float(found[1]) == 0:
        raise MeasurementError("redis-benchmark told no rate", console=said)
    return 1 / float(found[1])
