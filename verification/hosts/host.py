"""The hosts of the lab: each is a small TOML file in this folder."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parent


class Host(NamedTuple):
    """Release and packages determine what is built, the kernel's arguments how it is booted."""

    name: str
    about: str
    release: str
    """Debian's code name."""
    python: str
    """The release's own Python, for which wheels are fetched: 3.13."""
    packages: tuple[str, ...]
    """In addition to those of every host (verification/hosts/image.py)."""
    kernel: tuple[str, ...]


def known() -> dict[str, Host]:
    """Every host by name. Raises `KeyError` for a file that lacks something."""
    return {file.stem: read(file) for file in sorted(FOLDER.glob("*.toml"))}


def read(file: Path) -> Host:
    """One host."""
    values = tomllib.loads(file.read_text())
    about, release, python = (values[key] for key in ("about", "release", "python"))
    return Host(file.stem, about, release, python, tuple(values["packages"]), tuple(values["kernel"]))
