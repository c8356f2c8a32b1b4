"""The SDK's import under signals, and what is said where there is none."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("docker")

PROGRAM = """
import os, signal, sys, threading
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has its background jobs ignore it
try:
    threading.Timer(float(sys.argv[1]), os.kill, (os.getpid(), signal.SIGINT)).start()
    from isobench.environments.docker import _sdk
    signal.pause()
except KeyboardInterrupt:
    from isobench.environments.docker._sdk import docker, requests
    print(docker.errors.DockerException and requests.exceptions and signal.getsignal(signal.SIGINT).__name__)
"""


@pytest.mark.parametrize("moment", [0.01, 0.03, 0.06, 0.1, 0.2])
def test_an_interrupt_leaves_the_package_whole(moment: float) -> None:
    """Ctrl-C while it is imported is heeded, afterwards; what catches it can use the package."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(moment)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout.strip() == "default_int_handler", done.stderr


ABSENT = """
import sys
sys.modules["docker"] = None  # as where it is not installed
from isobench.core.errors import Unavailable
from isobench.environments.docker import _client, _leftovers
try:
    _client.connect()
except Unavailable as error:
    print(f"{error.reason}, {error.remedy}, {_leftovers.sweep('isobench-20260101T000000Z-abcdef')}")
"""


def test_without_it_nothing_is_asked() -> None:
    """How it is installed is told, and a run that has not used the engine needs no sweep of it."""
    done = subprocess.run([sys.executable, "-c", ABSENT], capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout == "the Docker SDK is not installed, pip install 'isobench[docker]', []\n", done.stderr
