"""BuildKit, which engines have inside, by a docker command that can use it.

The engine's API offers it to nobody but clients with BuildKit's own protocol (moby/moby, issue 41711), so its times
include a command. It keeps its cache in the engine. Therefore it is used only in an engine that ends with the run.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING

from isobench.core import deadlines
from isobench.core.errors import MeasurementError
from isobench.processes.programs import find_all, major_version, output, search_path

if TYPE_CHECKING:
    from pathlib import Path

LACKING = "no docker command here has BuildKit (apt-get install docker-buildx)"
SAYS = "Docker version "
"""Docker's own programs say so before their version; Podman under the name docker does not."""
_WITH_PLUGIN = 23
"""Since this version, the command itself has no BuildKit, but its plugin buildx has."""


@cache
def docker_command(*, plugin: bool = False) -> str:
    """The docker command that can use BuildKit; empty if there is none. `plugin`: only by its plugin."""
    for program in find_all("docker"):
        if 0 < major_version(program, SAYS) < _WITH_PLUGIN:
            if not plugin:
                return program
            continue
        with suppress(MeasurementError):
            output([program, "buildx", "version"], deadlines.stretched(30), environ=_environ("/nonexistent"))
            return program
    return ""


def _environ(folder: str) -> dict[str, str]:
    """With nothing of the user's: neither settings nor a plugin of the user's own."""
    return {"PATH": search_path(), **dict.fromkeys(("HOME", "DOCKER_CONFIG"), folder)}


def build(command: str, engine: str, folder: Path, context: Path, image: str, *, cached: bool) -> None:
    """Build an image from an archive with a Dockerfile, in the engine at this address. `folder` gets the command's own
    files. Raises `MeasurementError`."""
    words = [command, "build", "--quiet", *(() if cached else ("--no-cache",)), f"--tag={image}", "-"]
    environ = {
        **_environ(str(folder)),
        "DOCKER_HOST": engine,
        "DOCKER_BUILDKIT": "1",
        "BUILDX_NO_DEFAULT_ATTESTATIONS": "1",  # an image with one has an index, which no other builder makes
    }
    with context.open("rb") as file:
        try:
            output(words, deadlines.stretched(300), stdin=file.fileno(), environ=environ)
        except MeasurementError as error:
            raise MeasurementError(f"building the image with BuildKit: {error.reason.partition(': ')[2]}") from error
