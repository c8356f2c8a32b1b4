"""Images in Podman, each call a command of its client: `podman pull`, `load`, `push` and `rmi`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isobench.contracts.images import Pulled
from isobench.core import deadlines
from isobench.core.errors import MeasurementError
from isobench.environments._offers import LABEL, Offers, allocated

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from isobench.environments.runtimes._sandbox import RuntimeSandbox

_SECONDS = 300.0


class PodmanImages(Offers):
    """What `isobench.contracts.images.Images` says, of one storage of the sandbox's own: there is nobody else whose
    layers could be reused."""

    def __init__(self, sandbox: RuntimeSandbox, podman: Sequence[str]) -> None:
        """`podman` is its command line up to the command."""
        super().__init__(sandbox.workdir, {})
        self._sandbox = sandbox
        self._podman = podman

    def clear(self, name: str) -> None:
        known = self._said("images", "--quiet", "--no-trunc", f"--filter=label={LABEL}={name}").split()
        if known:
            self._said("rmi", "--force", *dict.fromkeys(known))

    def pull(self, image: str) -> Pulled:
        """Podman says neither when all has come nor what it had."""
        self._said("pull", "--quiet", "--tls-verify=false", image)
        return Pulled()

    def load(self, archive: Path) -> None:
        self._said("load", "--quiet", f"--input={archive}")

    def push(self, image: str, elsewhere: str) -> None:
        self._said("push", "--quiet", "--tls-verify=false", image, f"docker://{elsewhere}")

    def remove(self, image: str) -> None:
        self._said("rmi", image)

    def disk_bytes(self, image: str) -> int | None:
        form = "{{.GraphDriver.Data.UpperDir}}:{{.GraphDriver.Data.LowerDir}}"
        folders = self._said("image", "inspect", "--format", form, image).strip().split(":")
        return allocated([folder for folder in folders if folder.startswith("/")])

    def _said(self, *words: str) -> str:
        try:
            return self._sandbox.tool(*self._podman, *words, timeout=deadlines.stretched(_SECONDS))
        except MeasurementError as error:  # which names the first of its many options
            raise MeasurementError(f"podman {words[0]}: {error.reason.partition(': ')[2]}") from error
