"""Other people's programs: finding them in one way, so that what `provision` finds the rest finds, too; asking them."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from isobench.core.errors import MeasurementError

if TYPE_CHECKING:
    from collections.abc import Sequence

_ALSO = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
"""Searched after PATH: a user's often lacks the folders of the system's daemons and tools."""


def find(name: str) -> str | None:
    """The path of a program in PATH or in the system's own folders; None where there is none."""
    return shutil.which(name, path=search_path())


def find_all(name: str) -> list[str]:
    """Every program of that name, in the order in which they would be found."""
    places = (shutil.which(name, path=folder) for folder in search_path().split(os.pathsep))
    return list(dict.fromkeys(place for place in places if place is not None))


def search_path() -> str:
    """PATH with the system's folders behind, for what is started."""
    own = [folder for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    return os.pathsep.join([*own, *(folder for folder in _ALSO if folder not in own)])


def output(words: Sequence[str], seconds: float) -> str:
    """What a tool prints that sets something up or takes it away. A terminal's Ctrl-C is not for it.

    Raises `MeasurementError` with the end of what it complained of.
    """
    import subprocess

    try:
        return subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=True,
            process_group=0,
        ).stdout
    except subprocess.CalledProcessError as error:
        said = error.stderr.strip()[-400:] or f"it exited with status {error.returncode}"
    except subprocess.TimeoutExpired:
        said = f"it did not end within {seconds:.0f} s"
    except OSError as error:
        said = error.strerror or str(error)
    raise MeasurementError(f"{' '.join(words[:2])}: {said}")
