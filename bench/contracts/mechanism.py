"""What an environment uses of the host: programs, packages, and what a dead run of it leaves behind.

`doctor`, `provision`, `clean` and the end of every run go by these records, also for environments of other packages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable


class Need(NamedTuple):
    """Something that runs use."""

    packages: tuple[str, ...]
    """Its names in Debian and Ubuntu, releases old and new: the first that apt knows is taken."""
    present: Callable[[], bool]
    """Whether it is there, whoever brought it."""
    lost: str
    """What cannot be measured without it."""
    everyday: bool = True
    """Whether `isobench provision` installs it; else only with `--for-tests`."""


class Tool(NamedTuple):
    """A program that is started: `isobench doctor` shows its version."""

    name: str
    packages: tuple[str, ...]
    """As in `Need`."""
    version: str = "--version"
    """The option that has it tell its version."""

    @property
    def remedy(self) -> str:
        """What installs it."""
        return f"apt-get install {self.packages[0]}"

    def need(self, lost: str, *, everyday: bool = True) -> Need:
        """The tool as something that `provision` installs."""
        return Need(self.packages, command(self.name), lost, everyday)


def command(*names: str) -> Callable[[], bool]:
    """Whether one of these programs is there, to be asked later."""

    def present() -> bool:
        from isobench.host.programs import find

        return any(find(name) is not None for name in names)

    return present


def leaves_nothing(run: str) -> list[str]:
    """The sweep of a mechanism whose instances are descendants of the launcher and make nothing elsewhere."""
    return []


class Mechanism(NamedTuple):
    """One way to isolate, as the host sees it; several environments may have one, and one environment several."""

    name: str
    sweep: Callable[[str], list[str]] = leaves_nothing
    """Removes what a dead run of this name (`isobench-<run id>`) left behind in the mechanism, and says what it
    removed, a line each. Raises `Unavailable` where it was used and does not answer."""
    programs: tuple[str, ...] = ()
    """Programs that are started with the run's folder or an instance's name on their command line, as patterns
    (fnmatch) that begin with a letter. One of a dead run is killed, if it is of these."""
    tools: tuple[Tool, ...] = ()
    needs: tuple[Need, ...] = ()
