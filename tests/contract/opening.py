"""Opening one environment by name, in a work folder of its own, with the deadlines of this host."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from isobench.cells.cell import TimedSandbox
from isobench.contracts.environment import Sandbox
from isobench.environments.docker._drivers import engine_version
from isobench.filesystem.paths import RUN_PREFIX, work_root
from isobench.lifecycle.workspace import new_run_id
from isobench.planning import catalog
from isobench.probe.launcher import learn_deadlines


@contextmanager
def opened(name: str) -> Iterator[Sandbox]:
    workdir = work_root() / f"{RUN_PREFIX}{new_run_id()}" / name
    workdir.mkdir(parents=True, mode=0o711)
    workdir.parent.chmod(0o711)
    learn_deadlines()
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
