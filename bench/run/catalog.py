"""Finds the plug-ins: environments and scenarios, by scanning the folders and by entry points."""

from __future__ import annotations

import importlib
import os
import sys
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

from isobench.core.errors import IsobenchError, UsageError, suggestion

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import ModuleType

    from isobench.contracts.environment import Environment
    from isobench.contracts.scenario import Scenario

GROUPS = {
    "default": "what a plain run takes",
    "ladder": "every rung from fork+exec to a full VM",
    "containers": "engines and runtimes",
    "vms": "virtual machines",
    "storage": "the same with other storage paths",
    "network": "the same with other paths from the host to the instance",
}
"""Sets of environments that can be named like an environment."""


@cache
def environments() -> Mapping[str, Environment]:
    """Every environment by name, in the order of the ladder's layers. Raises `UsageError` for a name that is twice."""
    import isobench.environments

    layers = ("process", "chroot", "namespace", "runtime", "engine", "vmm", "vm")
    found = _collect(isobench.environments, "ENVIRONMENTS", "isobench.environments")
    ordered = sorted(found.values(), key=lambda e: layers.index(e.layer) if e.layer in layers else len(layers))
    return {e.name: e for e in ordered}


@cache
def scenarios() -> Mapping[str, Scenario]:
    """Every scenario by name. Raises `UsageError` for a name that is twice."""
    import isobench.scenarios as package

    return _collect(package, "SCENARIOS", "isobench.scenarios")


def select_environments(words: str) -> list[Environment]:
    """The environments named in a comma-separated list of names and groups, each once, in the catalogue's order.

    Raises `UsageError` with a suggestion for a name that is unknown.
    """
    return _select("environment", words, environments(), GROUPS)


def beneath(chosen: Sequence[Environment]) -> list[Environment]:
    """The rungs between the chosen ones and the bottom of the ladder that were not chosen."""
    known, names = environments(), {e.name for e in chosen}
    between: set[str] = set()
    for one in chosen:
        lower = one.compared_with
        while lower is not None and lower in known and lower not in between:
            between.add(lower)
            lower = known[lower].compared_with
    return [e for name, e in known.items() if name in between - names]


def select_scenarios(words: str) -> list[Scenario]:
    """The same for scenarios ("default", "all" or names)."""
    return _select("scenario", words, scenarios(), {"default": ""})


def sweep(run: str) -> list[str]:
    """Let every mechanism remove what a dead run of this name left behind; says what was removed or could not be."""
    import isobench.environments

    done: list[str] = []
    for module in _modules(isobench.environments):
        one = getattr(module, "sweep", None)
        if one is not None:
            try:
                done += one(run)
            except Exception as error:  # whatever it is, the other mechanisms are swept, and the run is kept in mind
                done.append(f"not cleaned: {error.reason if isinstance(error, IsobenchError) else repr(error)}")
    return done


def _select(kind: str, words: str, known: Mapping[str, Any], groups: Mapping[str, str]) -> list[Any]:
    chosen: set[str] = set()
    for word in filter(None, (w.strip() for w in words.split(","))):
        members = [name for name, one in known.items() if word == "all" or word in one.groups]
        if word in known:
            chosen.add(word)
        elif word in groups or word == "all":
            chosen.update(members)
        else:
            raise UsageError(
                f"no {kind} is called {word!r}{suggestion(word, [*known, *groups])}", remedy=f"isobench list {kind}s"
            )
    if not chosen:
        raise UsageError(f"no {kind} was named", remedy=f"isobench list {kind}s")
    return [one for name, one in known.items() if name in chosen]


def _collect(package: ModuleType, attribute: str, group: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for origin, one in (*_scanned(package, attribute), *_from_entry_points(group, attribute)):
        if one.name in found:
            raise UsageError(f"two plug-ins are called {one.name!r}: {origins[one.name]} and {origin}")
        found[one.name] = one
        origins[one.name] = origin
    return found


def _scanned(package: ModuleType, attribute: str) -> Iterator[tuple[str, Any]]:
    for module in _modules(package):
        for one in getattr(module, attribute, ()):
            yield module.__name__, one


def _modules(package: ModuleType) -> Iterator[ModuleType]:
    """The package's modules, and those of the packages in it (families of environments).

    Not by pkgutil, which imports `inspect`: a tenth of what `isobench list` may take.
    """
    for folder in package.__path__:
        for name in sorted(os.listdir(folder)):
            stem = name.removesuffix(".py")
            if not stem.isidentifier() or stem.startswith("_"):
                continue
            if stem != name:
                yield importlib.import_module(f"{package.__name__}.{stem}")
            elif os.path.exists(f"{folder}/{name}/__init__.py"):  # noqa: PTH110 (pathlib would have to be imported)
                yield from _modules(importlib.import_module(f"{package.__name__}.{name}"))


def _from_entry_points(group: str, attribute: str) -> Iterator[tuple[str, Any]]:
    """Plug-ins of other packages: an entry point names a module with the same tuple, or one object."""
    if not _anybody_names(group):
        return
    from importlib.metadata import entry_points

    for point in entry_points(group=group):
        try:
            loaded = point.load()
        except Exception as error:
            raise UsageError(f"the plug-in {point.value} of group {group} does not load: {error}") from error
        for one in getattr(loaded, attribute, (loaded,)):
            yield point.value, one


def _anybody_names(group: str) -> bool:
    """Whether any installed package has entry points of this group, found without the machinery that reads them.

    Importing `importlib.metadata` takes longer than starting Python.
    """
    header = f"[{group}]".encode()
    for place in sys.path:
        try:
            installed = [name for name in os.listdir(place or ".") if name.endswith((".dist-info", ".egg-info"))]
        except NotADirectoryError:
            return True  # an archive: let the machinery look
        except OSError:
            continue
        for name in installed:
            with suppress(OSError), open(os.path.join(place, name, "entry_points.txt"), "rb") as file:  # noqa: PTH118
                if header in file.read():
                    return True
    return False
