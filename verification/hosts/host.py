"""The hosts of the lab: each is a small TOML file in this folder."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parent


class Host(NamedTuple):
    """Release, packages and commands determine what is built, the kernel's arguments how it is booted."""

    name: str
    about: str
    disk: str
    """The host whose disk it boots; its own name by default."""
    release: str
    """Debian's code name."""
    python: str
    """The release's own Python, for which wheels are fetched: 3.13."""
    packages: tuple[str, ...]
    """In addition to those of every host (verification/hosts/image.py)."""
    without: tuple[str, ...]
    """Requirements of tests, by their names, that have no wheel for this Python yet."""
    commands: tuple[str, ...]
    """Run in the new tree at the end, by root's shell."""
    kernel: tuple[str, ...]
    is_fresh: bool = False
    """It has what Debian's installer leaves, and reaches the mirrors that this machine reaches."""
    architecture: str = "amd64"
    """Debian's name of it (verification/hosts/architecture.py)."""
    checks: tuple[str, ...] = ()
    """What it is asked, unless another check is named: what could come out differently there. Everything by
    default."""

    @property
    def is_foreign(self) -> bool:
        """Whether no program of it runs on the machine that builds it."""
        return self.architecture != "amd64"


def known() -> dict[str, Host]:
    """Every host by name. Raises `KeyError` for a file that lacks something."""
    return {file.stem: read(file) for file in sorted(FOLDER.glob("*.toml"))}


def read(file: Path) -> Host:
    """Read one host. The file says what its disk is made of, or names the host whose disk it boots."""
    values = tomllib.loads(file.read_text())
    disk = values.get("disk", file.stem)
    made = values if disk == file.stem else tomllib.loads((file.parent / f"{disk}.toml").read_text())
    about, release, python = values["about"], made["release"], made["python"]
    packages, without, commands = (tuple(made.get(key, ())) for key in ("packages", "without", "commands"))
    fresh, architecture = made.get("fresh", False), made.get("architecture", "amd64")
    kernel, checks = tuple(values["kernel"]), tuple(values.get("checks", ()))
    return Host(
        file.stem, about, disk, release, python, packages, without, commands, kernel, fresh, architecture, checks
    )  # fmt: skip
