"""A mount namespace of a sandbox's own. A process holds it, which ends with this one."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from isobench.core.errors import Unavailable
from isobench.filesystem.paths import RUN_VARIABLE
from isobench.probe.launcher import ENVIRON
from isobench.processes.programs import telling_line

if TYPE_CHECKING:
    from collections.abc import Sequence

_HOLDING = "echo ready\nexec sleep infinity\n"


class MountNamespace:
    """It is made once, so that a command in it costs no more than an `nsenter`."""

    def __init__(
        self, script: str, words: Sequence[str], run: str, *, whose: str, propagation: str = "private"
    ) -> None:
        """`script` mounts what is to be there, with these words as its arguments; `propagation` is that of the host's
        mounts (unshare(1)). Raises `Unavailable` with `whose` it was to be."""
        held = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", f"--propagation={propagation}"]
        self._holder = subprocess.Popen(
            [*held, "sh", "-c", f"set -e\n{script}{_HOLDING}", "sh", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**ENVIRON, RUN_VARIABLE: run},
            start_new_session=True,
        )
        said = [self._holder.stdout.readline()] if self._holder.stdout is not None else []
        if said != ["ready\n"]:
            said += self._holder.communicate()[0].splitlines()
            raise Unavailable(f"{whose} cannot be made: {telling_line([*filter(None, said)]).strip()}")

    def words(self) -> list[str]:
        """The words before a command that runs in it, with its root as the current folder."""
        return ["nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt"]

    @property
    def root(self) -> str:
        """Its root folder, as root reaches it from here."""
        return f"/proc/{self._holder.pid}/root"

    def close(self) -> None:
        """End the holder; the namespace ends with its last process."""
        self._holder.kill()
        self._holder.communicate()
