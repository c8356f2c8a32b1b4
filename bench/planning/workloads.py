"""Which workloads are measured: named ones, files, a program, an image's program."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from isobench.core.errors import UsageError, suggestion
from isobench.planning import catalog
from isobench.workloads.file import read_workload
from isobench.workloads.measured import Measured
from isobench.workloads.program import program_workload
from isobench.workloads.root import image_workload
from isobench.workloads.workload import UNCHOSEN, Allotment

if TYPE_CHECKING:
    from collections.abc import Sequence


def chosen(words: str, image: str, program: Sequence[str], cpus: int, memory: int) -> list[Measured]:
    """The workloads of these words, and the program or the image's."""
    allotment = Allotment(cpus, memory)
    if image:
        own = [Measured(image_workload(image, program), allotment)]
    else:
        own = [Measured(program_workload(program), allotment)] if program else []
    return [*own, *(select_workloads(words, allotment) if words else [])]


def select_workloads(words: str, allotment: Allotment = UNCHOSEN) -> list[Measured]:
    """The workloads in a comma-separated list of names and of files (with a slash, or ending in .toml), each once.

    Raises `UsageError` for an unknown name, and for a file with an error.
    """
    found: dict[str, Measured] = {}
    for word in filter(None, (w.strip() for w in words.split(","))):
        path = Path(word) if "/" in word or word.endswith(".toml") else catalog.workloads().get(word)
        if path is None:
            suggested = suggestion(word, catalog.workloads())
            raise UsageError(f"no workload is called {word!r}{suggested}", remedy="isobench list workloads")
        workload = read_workload(path)
        if workload.name in catalog.scenarios():
            raise UsageError(f"{path}: a scenario is called {workload.name!r}", remedy="rename the file")
        if workload.name in found and found[workload.name].origin != path:
            raise UsageError(f"{path} and {found[workload.name].origin} have the same name", remedy="rename one")
        found[workload.name] = Measured(workload, allotment, path)
    if not found:
        raise UsageError("no workload was named", remedy="isobench list workloads")
    return list(found.values())
