"""The SDK's import under signals."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("docker")

PROGRAM = """
import os, signal, sys, threading
from isobench.environments.docker import _client
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has its background jobs ignore it
try:
    threading.Timer(float(sys.argv[1]), os.kill, (os.getpid(), signal.SIGINT)).start()
    _client._sdk()
    signal.pause()
except KeyboardInterrupt:
    import docker, requests
    print(docker.errors.DockerException and requests.exceptions and signal.getsignal(signal.SIGINT).__name__)
"""


@pytest.mark.parametrize("moment", [0.01, 0.03, 0.06, 0.1, 0.2])
def test_an_interrupt_leaves_the_package_whole(moment: float) -> None:
    """Ctrl-C while it is imported is heeded, afterwards; what catches it can use the package."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(moment)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout.strip() == "default_int_handler", done.stderr
