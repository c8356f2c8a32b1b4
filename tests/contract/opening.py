"""Opening one environment by name, in a work folder of its own, with the deadlines of this host, and which guests boot
here."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from isobench.cells.cell import TimedSandbox
from isobench.contracts.environment import Sandbox
from isobench.core import deadlines, quantities
from isobench.daemons.private import has_init
from isobench.environments.docker._client import connect
from isobench.environments.docker._drivers import engine_version
from isobench.filesystem.paths import RUN_PREFIX, work_root
from isobench.lifecycle.workspace import new_run_id
from isobench.planning import catalog
from isobench.probe.launcher import learn_deadlines

GUEST = os.environ.get("ISOBENCH_TEST_GUEST", "tcg")
"""Which guests the tests boot. Those without KVM boot everywhere; on a slow CPU whose KVM boots Linux, `kvm` takes
seconds instead of minutes."""


def learn_this_host() -> None:
    """Deadlines as in a run: ISOBENCH_RUN_TIMEOUT raises them all, and otherwise they are learned."""
    chosen = os.environ.get("ISOBENCH_RUN_TIMEOUT")
    deadlines.begin(quantities.timeout(chosen) if chosen else None)
    learn_deadlines()


def skip_without_runsc(name: str) -> None:
    """Skip the test if this is gVisor, and the system's own dockerd has not been told of it. Private ones have."""
    if name == "docker-runsc" and has_init():
        client = connect()
        known = client.info()["Runtimes"]
        client.close()
        if "runsc" not in known:
            pytest.skip("the system's dockerd has no runtime runsc")


@contextmanager
def opened(name: str) -> Iterator[Sandbox]:
    workdir = work_root() / f"{RUN_PREFIX}{new_run_id()}" / name
    workdir.mkdir(parents=True, mode=0o711)
    workdir.parent.chmod(0o711)
    learn_this_host()
    try:
        with catalog.environments()[name].open(workdir) as sandbox:
            yield TimedSandbox(sandbox)
    finally:
        shutil.rmtree(workdir.parent)


def inner(sandbox: Sandbox) -> Any:
    """The environment's own sandbox, with the members that only it has: `opened` gives the one that times it."""
    return vars(sandbox)["_sandbox"]


def has_image_store() -> bool:
    """Whether the Docker that is installed can use containerd's image store (`docker-containerd`)."""
    return engine_version() >= 24
