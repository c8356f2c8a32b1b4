"""Finds plug-ins, in the package's own folders and by entry points, and checks that they keep their contract.

A module exports one plug-in, or a tuple of them, under a fixed name. Nothing here imports `inspect` or
`importlib.metadata` unless it has to: `isobench list` may take only four times as long as `python -c pass`.
"""

from __future__ import annotations

import importlib
import os
import sys
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from isobench.core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from types import ModuleType


class Kind(NamedTuple):
    """One kind of plug-in."""

    word: str
    """Its name in messages, with the article."""
    attribute: str
    """The name under which a module exports it."""
    group: str
    """The group of entry points; "" where other packages cannot add any."""
    wrong: Callable[[Any], list[str]]
    """The clauses of the contract that an object breaks; none if it keeps the contract."""
    called: str = "name"
    """The attribute that identifies it and must be unique."""


@cache
def members(contract: type) -> list[str]:
    """The public members that a protocol requires."""
    return [name for name in vars(contract) if not name.startswith("_")]


def wrong_members(one: object, contract: type, types: Mapping[str, type | tuple[type, ...]]) -> list[str]:
    """Members of a contract that are missing, and data that is not of its type (a method's is `object`)."""
    found = [f"it has no `{name}`" for name in members(contract) if not hasattr(one, name)]
    for name, kind in types.items():
        value = getattr(one, name, None)
        if hasattr(one, name) and not isinstance(value, kind):
            kinds = " or ".join(k.__name__ for k in (kind if isinstance(kind, tuple) else (kind,)))
            found.append(f"its `{name}` is of type {type(value).__name__}, not {kinds}")
    found += [
        f"its `{name}` cannot be called"
        for name in members(contract)
        if name not in types and hasattr(one, name) and not callable(getattr(one, name))
    ]
    return found


def find(kind: Kind, package: ModuleType, broken: list[str] | None = None) -> dict[str, Any]:
    """Every plug-in of a kind by its name.

    Raises `UsageError` for a plug-in that does not load or does not keep its contract, and for a name that is used
    twice. With `broken` these are left out, and the messages are added there.
    """
    found: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for origin, load in (*_own(kind, package), *_others(kind)):
        try:
            for one in load():
                name = _name(kind, origin, one)
                if name in found:
                    raise UsageError(f"two plug-ins are called {name!r}: {origins[name]} and {origin}")
                found[name] = one
                origins[name] = origin
        except UsageError as error:
            if broken is None:
                raise
            broken.append(error.reason)
    return found


def exported(module: object, kind: Kind) -> tuple[Any, ...]:
    """The plug-ins of this kind in a module, or in an object that an entry point names."""
    found = getattr(module, kind.attribute, module)
    return tuple(found) if isinstance(found, (tuple, list)) and not hasattr(found, "_fields") else (found,)


def _name(kind: Kind, origin: str, one: Any) -> str:
    wrong = kind.wrong(one)
    if wrong:
        raise UsageError(
            f"the plug-in {origin} is not {kind.word}: {', and '.join(wrong)}",
            remedy=f"isobench plugin check {origin.partition(':')[0]}",
        )
    return str(getattr(one, kind.called))


def modules(package: ModuleType) -> Iterator[ModuleType]:
    """The package's modules, and those of the packages in it, except names that begin with `_`.

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
                yield from modules(importlib.import_module(f"{package.__name__}.{name}"))


_Loads = tuple[str, "Callable[[], Iterable[Any]]"]


def _own(kind: Kind, package: ModuleType) -> Iterator[_Loads]:
    for module in modules(package):
        if hasattr(module, kind.attribute):
            yield module.__name__, lambda module=module: exported(module, kind)  # type: ignore[misc]


def _others(kind: Kind) -> Iterator[_Loads]:
    """Plug-ins of other packages: an entry point names a module that exports them, or one object."""
    if not kind.group or not _anybody_names(kind.group):
        return
    from importlib.metadata import entry_points

    for point in entry_points(group=kind.group):

        def load(point: Any = point) -> Iterable[Any]:
            try:
                return exported(point.load(), kind)
            except Exception as error:
                reason = f"the plug-in {point.value} of group {kind.group} does not load: {error}"
                raise UsageError(reason, remedy=f"isobench plugin check {point.module}") from error

        yield point.value, load


def _anybody_names(group: str) -> bool:
    """Whether any installed package has entry points of this group, found without the machinery that reads them.

    Importing `importlib.metadata` takes longer than starting Python.
    """
    declared = _declared(tuple(sys.path))
    return declared is None or f"[{group}]".encode() in declared


@cache
def _declared(path: tuple[str, ...]) -> bytes | None:
    """The entry points of all packages that are installed there, read once; None if an archive may have more."""
    found: list[bytes] = []
    for place in path:
        try:
            installed = [name for name in os.listdir(place or ".") if name.endswith((".dist-info", ".egg-info"))]
        except NotADirectoryError:
            return None
        except OSError:
            continue
        for name in installed:
            with suppress(OSError), open(f"{place or '.'}/{name}/entry_points.txt", "rb") as file:
                found.append(file.read())
    return b"\n".join(found)
