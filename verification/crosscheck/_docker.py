"""Docker by hand: its command-line client, and an image of the shared root file system beside isobench's own."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

from isobench.environments.docker._client import LABEL
from isobench.images.rootfs import rootfs_tar

if TYPE_CHECKING:
    from collections.abc import Iterator


def docker(*words: str) -> str:
    """The command-line client; its standard output."""
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=True).stdout.strip()


@contextmanager
def image_by_hand(run: str) -> Iterator[str]:
    """The name of an image that carries the run's name, and is removed at the end."""
    image = f"{run.lower()}:by-hand"
    docker("import", "--change", f"LABEL {LABEL}={run}", str(rootfs_tar()), image)
    try:
        yield image
    finally:
        docker("image", "rm", "--force", image)
