"""A program of this host as a workload: the program, its loader and its libraries are the whole root file system."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from isobench.core.errors import UsageError
from isobench.core.text import clean
from isobench.images.archive import archive_of
from isobench.images.closure import closure_of, inside, is_program
from isobench.processes.programs import find
from isobench.workloads.workload import Command, Root, Workload

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


_OWN = ("dev", "proc", "run", "sys")
"""Folders that a container does not take from its image."""
_IF_IT_FAILS = "it finds only itself and its libraries there; if it needs other files, use --image or -w FILE.toml"


def program_workload(words: Sequence[str]) -> Workload:
    """The workload that runs this command line. Raises `UsageError` if it is not a compiled program that runs by
    itself."""
    path = _found(words[0])
    program = path.resolve()
    if not is_program(program):
        reason = f"{path} is not a compiled program: which files a script's interpreter needs is not known"
        raise UsageError(reason, remedy="name a compiled program")
    needed = closure_of(program)
    if needed.missing:
        raise UsageError(f"{path} needs {needed.missing[0]}, which is missing")
    if not needed.is_known:
        raise UsageError(f"{path} does not run on this machine", remedy="is it built for another one?")
    hidden = next((path for path in (program, *map(Path, needed.libraries.values())) if _is_hidden(path)), None)
    if hidden is not None:
        reason = f"{hidden} is in a folder that every container has of its own (/{hidden.parts[1]})"
        raise UsageError(reason, remedy="copy it to another folder")
    path = program if _is_hidden(path) else path
    files = {inside(str(program)): program}
    files |= {inside(library): Path(library) for library in needed.libraries.values()}
    if needed.loader is not None:
        files[inside(needed.loader)] = Path(needed.loader)
    links = {} if inside(str(path)) in files else {inside(str(path)): str(program)}
    command = Command((str(path), *words[1:]), _shown(needed.libraries[name] for name in needed.odd))
    title = clean(shlex.join([path.name, *words[1:]]), 80)
    return Workload(scenario_name("program", path.name), title, lambda: Root(archive_of(files, links)), command,
                    if_it_fails=_IF_IT_FAILS)  # fmt: skip


def _is_hidden(path: Path) -> bool:
    return path.parts[1] in _OWN


def _found(word: str) -> Path:
    """The absolute path of a program that is named by its path, or is in PATH."""
    if "/" not in word:
        found = find(word)
        if found is None:
            here = Path(word).is_file()
            raise UsageError(f"no program is called {word!r}", remedy=f"./{word}" if here else "give its path")
        return Path(os.path.normpath(os.path.abspath(found)))  # noqa: PTH100 (links are kept)
    path = Path(os.path.normpath(os.path.abspath(word)))  # noqa: PTH100
    if not path.is_file():
        raise UsageError(f"there is no program {word}")
    if not os.access(path, os.X_OK):
        raise UsageError(f"{word} is not executable", remedy=f"chmod +x {shlex.quote(word)}")
    return path


def _shown(libraries: Iterable[str]) -> dict[str, str]:
    """The variable that tells the loader where the libraries are."""
    folders = dict.fromkeys(os.path.dirname(path) for path in libraries)  # noqa: PTH120
    return {"LD_LIBRARY_PATH": ":".join(folders)} if folders else {}


def scenario_name(kind: str, word: str) -> str:
    """A name for the scenario that no other scenario has."""
    plain = re.sub(r"[^a-z0-9+._-]+", "-", word.lower()).strip("-.")
    return f"{kind}-{plain[:40] or 'nameless'}"
