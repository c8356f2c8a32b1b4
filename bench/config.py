"""Options from outside the command line: `isobench.toml` or `[tool.isobench]` of `pyproject.toml` in the current
folder, and environment variables. The command line comes before the environment, the environment before the file.

    [run]                                # isobench.toml: one table a command, its long options as keys
    environments = ["process", "docker"]
    blocks = 10

    ISOBENCH_RUN_BLOCKS=10               # the same as an environment variable
"""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from isobench.core.errors import UsageError, suggestion
from isobench.filesystem.files import read_regular

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FILE, PROJECT = "isobench.toml", "pyproject.toml"
_MOST_BYTES = 1 << 20
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off", "")


def apply(command: str, parser: argparse.ArgumentParser, commands: Iterable[str]) -> None:
    """Make what the file and the environment say the defaults of this command's options.

    Raises `UsageError` naming the place for a table, key or variable that is unknown, with a suggestion, and for a
    value that the option does not take.
    """
    options = _options(parser)
    for place, key, value in (*_from_file(command, commands), *_from_environment(command)):
        action = options.get(key)
        if action is None:
            raise UsageError(f"{place}: isobench {command} has no option {key!r}{suggestion(key, options)}")
        parser.set_defaults(**{action.dest: _converted(place, action, value)})


def _options(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    """Long option without its dashes -> the action behind it."""
    return {
        name.removeprefix("--"): action
        for action in parser._actions
        for name in action.option_strings
        if name.startswith("--") and name != "--help"
    }


def _from_file(command: str, commands: Iterable[str]) -> list[tuple[str, str, object]]:
    path, tables = _tables()
    for name in tables:
        if name not in commands:
            raise UsageError(f"{path}: isobench has no command {name!r}{suggestion(name, commands)}")
    table = tables.get(command, {})
    if not isinstance(table, dict):
        raise UsageError(f"{path}: {command} is not a table", remedy=f"[{command}]")
    return [(f"{path}: [{command}] {key}", key.replace("_", "-"), value) for key, value in table.items()]


def _tables() -> tuple[str, Mapping[str, object]]:
    """The file that is there, and its tables by command. isobench.toml comes before pyproject.toml."""
    if not (os.path.isfile(FILE) or os.path.isfile(PROJECT)):  # noqa: PTH113 - pathlib takes a while to import
        return FILE, {}
    if os.path.isfile(FILE):  # noqa: PTH113
        return FILE, _read(FILE, _bytes(FILE))
    text = _bytes(PROJECT)
    if b"[tool.isobench" in text:
        tool = _read(PROJECT, text).get("tool")
        found = tool.get("isobench") if isinstance(tool, dict) else None
        return f"{PROJECT} [tool.isobench]", found if isinstance(found, dict) else {}
    return FILE, {}


def _bytes(path: str) -> bytes:
    try:
        return read_regular(path, _MOST_BYTES)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error


def _read(path: str, text: bytes) -> Mapping[str, object]:
    import tomllib
    from pathlib import Path

    from isobench.filesystem.ownership import strangers

    problem = strangers(Path(path))  # options say what is written where, and anybody may put a file into /tmp
    if problem:
        raise UsageError(
            f"{path} {problem}: it is refused",
            remedy="change its owner or permissions, or use another folder",
        )
    try:
        return tomllib.loads(text.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{path}: not TOML: {error}") from error


def _from_environment(command: str) -> list[tuple[str, str, object]]:
    prefix = f"ISOBENCH_{command.upper()}_"
    return [
        (name, name.removeprefix(prefix).lower().replace("_", "-"), value)
        for name, value in os.environ.items()
        if name.startswith(prefix)
    ]


def _converted(place: str, action: argparse.Action, value: object) -> object:
    """The value as the option would have made it of a word on the command line."""
    if action.nargs == 0:
        return _switch(place, value)
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        value = ",".join(value)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise UsageError(f"{place}: {value!r} is neither text nor a number")
    kind = action.type if callable(action.type) else str
    try:
        converted = kind(str(value))
    except UsageError as error:
        raise UsageError(f"{place}: {error.reason}", remedy=error.remedy) from error
    except (ValueError, TypeError, argparse.ArgumentTypeError) as error:
        raise UsageError(f"{place}: {value!r} is not {_article(kind)}") from error
    if action.choices is not None and converted not in action.choices:
        raise UsageError(f"{place}: {value!r} is none of {', '.join(map(str, action.choices))}")
    return converted


def _switch(place: str, value: object) -> bool:
    word = str(value).lower()
    if word not in (*_TRUE, *_FALSE):
        raise UsageError(f"{place}: {value!r} is neither true nor false")
    return word in _TRUE


def _article(kind: object) -> str:
    return {"int": "a whole number", "float": "a number"}.get(getattr(kind, "__name__", ""), "a valid value")
