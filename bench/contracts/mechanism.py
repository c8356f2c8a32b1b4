"""What an environment uses of the host: programs, packages, and what removes the leftovers of a dead run.

`doctor`, `provision`, `clean` and the end of every run go by these records, also for environments of other packages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from isobench.host.programs import find

if TYPE_CHECKING:
    from collections.abc import Callable


class Need(NamedTuple):
    """A dependency of runs."""

    packages: tuple[str, ...]
    """Its package names over the releases of Debian and Ubuntu; the first that apt knows is installed."""
    present: Callable[[], bool]
    """Whether it is present, however it was installed."""
    lost: str
    """What cannot be measured without it."""
    everyday: bool = True
    """Whether `isobench provision` installs it without `--for-tests`."""


class Tool(NamedTuple):
    """A program that isobench starts; `isobench doctor` shows its version."""

    name: str
    packages: tuple[str, ...]
    """As in `Need`."""
    version: str = "--version"
    """The option that prints its version."""

    @property
    def remedy(self) -> str:
        """The command that installs it."""
        return f"apt-get install {self.packages[0]}"

    def need(self, lost: str, *, everyday: bool = True) -> Need:
        """The tool as a dependency for `provision`."""
        return Need(self.packages, command(self.name), lost, everyday)


class Engine(NamedTuple):
    """A daemon that instances are asked of, chosen by an environment variable.

    A run records which one it used, and `clean` goes only to one that it knows without the record: the system's, a
    private one of isobench's, or the one that is used from here.
    """

    variable: str
    """What chooses it."""
    usual: tuple[str, ...]
    """The addresses of the system's own."""
    chosen: Callable[[], str] | None = None
    """Tells the address that is used from here, where more than the variable tells it. Raises `Unavailable` where it
    cannot be known: nothing is made there."""


class Keeper(NamedTuple):
    """A process that keeps an instance, whoever started it: other people's disturb a measurement."""

    process: str
    """What it is called in /proc/PID/comm, which has fifteen letters."""
    kind: str
    """What it keeps: "container", "virtual machine"."""


def command(*names: str) -> Callable[[], bool]:
    """A function that tells whether one of these programs is present."""

    def present() -> bool:
        return any(find(name) is not None for name in names)

    return present


def leaves_nothing(run: str) -> list[str]:
    """The sweep of a mechanism whose instances are descendants of the launcher and create nothing elsewhere."""
    return []


class Mechanism(NamedTuple):
    """One way to isolate, as the host sees it. Several environments may share one, and one may have several."""

    name: str
    sweep: Callable[[str], list[str]] = leaves_nothing
    """Removes what a dead run of this name (`isobench-<run id>`) left behind in the mechanism, and returns what it
    removed, one line each. Raises `Unavailable` if the mechanism was used and does not answer."""
    programs: tuple[str, ...] = ()
    """Programs that are started with the run's folder or an instance's name on their command line, as patterns
    (fnmatch) that begin with a letter. One of a dead run is killed, if it is of these."""
    tools: tuple[Tool, ...] = ()
    needs: tuple[Need, ...] = ()
    engine: Engine | None = None
    keepers: tuple[Keeper, ...] = ()
    cgroups: tuple[str, ...] = ()
    """Cgroups below the root in which instances are put: where one is throttled by its CPU quota, so are they."""
    daemons: tuple[str, ...] = ()
    """Daemons of the host that work for instances, as patterns (fnmatch) of their names in /proc/PID/comm: their CPU
    time disturbs no measurement."""
