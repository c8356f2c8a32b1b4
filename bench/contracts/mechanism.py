"""What an environment uses of the host: programs, packages, and what removes the leftovers of a dead run.

`doctor`, `provision`, `clean` and the end of every run use these records, also for environments of other packages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from isobench.processes.programs import find

if TYPE_CHECKING:
    from collections.abc import Callable


class Need(NamedTuple):
    """A dependency of runs."""

    packages: tuple[str, ...]
    """Its package's names in different releases of Debian and Ubuntu; the first that apt knows is installed."""
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
    """A daemon that creates instances. An environment variable chooses which one.

    A run records which one it used. `clean` contacts that one only if it also knows it from elsewhere: as the system's,
    a private one of isobench's, or the one that is chosen now.
    """

    variable: str
    """The name of that variable."""
    usual: tuple[str, ...]
    """The addresses of the system's daemon."""
    chosen: Callable[[], str] | None = None
    """Returns the address that is chosen now, if more than the variable decides. Raises `Unavailable` if it cannot be
    determined: nothing was created there then."""


class Keeper(NamedTuple):
    """A process that holds an instance. Those of other people disturb a measurement."""

    process: str
    """Its name in /proc/PID/comm, which has at most fifteen characters."""
    kind: str
    """What it holds: "container", "virtual machine"."""


def command(*names: str) -> Callable[[], bool]:
    """A function that returns whether one of these programs is present."""

    def present() -> bool:
        return any(find(name) is not None for name in names)

    return present


def leaves_nothing(run: str) -> list[str]:
    """The `sweep` of a mechanism whose instances are descendants of the launcher and create nothing elsewhere."""
    return []


def leaves_no_orphans(dry_run: bool) -> list[str]:
    """The `orphans` of a mechanism in which every user owns what is created for them."""
    return []


class Mechanism(NamedTuple):
    """One way to isolate, as the host sees it. Environments may share one, and an environment may use several."""

    name: str
    sweep: Callable[[str], list[str]] = leaves_nothing
    """Removes what a dead run of this name (`isobench-<run id>`) left behind in the mechanism, and returns what it
    removed, one line each. Raises `Unavailable` if the mechanism was used and does not answer."""
    programs: tuple[str, ...] = ()
    """Programs that have the run's folder or an instance's name on their command line, as patterns (fnmatch) that begin
    with a letter. Of a dead run, only processes of these programs are killed."""
    tools: tuple[Tool, ...] = ()
    needs: tuple[Need, ...] = ()
    engine: Engine | None = None
    keepers: tuple[Keeper, ...] = ()
    cgroups: tuple[str, ...] = ()
    """Cgroups below the root that contain the instances: if one is throttled by its CPU quota, so are the instances."""
    daemons: tuple[str, ...] = ()
    """Daemons of the host that work for instances, as patterns (fnmatch) of their names in /proc/PID/comm: their CPU
    time does not count as a disturbance."""
    orphans: Callable[[bool], list[str]] = leaves_no_orphans
    """Removes what dead runs of other users left behind and only root may remove, and returns what it removed, one line
    each; or, if its argument (`dry_run`) is true, only what it would remove. `isobench clean` calls it as root."""
