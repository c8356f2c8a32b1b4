"""isobench completion: print shell completions."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from argcomplete.shell_integration import shellcode

from isobench.core import terminal
from isobench.planning import catalog
from isobench.results import runs

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

SCHEMA = 1
SHELLS = ("bash", "zsh", "fish")
EXAMPLES = """\
  source <(isobench completion bash)              in ~/.bashrc; the same with zsh in ~/.zshrc
  isobench completion fish | source               in ~/.config/fish/config.fish
"""


class Document(TypedDict):
    """What `isobench completion --json` prints: the shell's code as a text."""

    schema: int
    shell: str
    code: str


def documents() -> dict[str, object]:
    return {"completion": Document}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS, help="bash, zsh or fish")
    parser.add_argument("--json", action="store_true", help="as JSON (docs/completion.schema.json)")


def run(arguments: argparse.Namespace) -> int:
    code = shellcode(["isobench"], True, arguments.shell)
    if arguments.json:
        terminal.print_json(Document(schema=SCHEMA, shell=arguments.shell, code=code))
    else:
        print(code)
    return 0


def complete_names(parser: argparse.ArgumentParser) -> None:
    """Complete arguments that take runs, environments or scenarios, separated by commas."""
    for action in parser._actions:
        if action.metavar in (runs.METAVAR, "A[,A2…]", "B[,B2…]"):
            action.completer = _runs  # type: ignore[attr-defined]
        if action.metavar in ("ENV,..", "ENV", "SCENARIO,.."):
            action.completer = _scenarios if action.metavar == "SCENARIO,.." else _environments  # type: ignore[attr-defined]


def _runs(prefix: str, **context: object) -> list[str]:
    return _after_comma(prefix, runs.names())


def _environments(prefix: str, **context: object) -> list[str]:
    return _after_comma(prefix, (*catalog.GROUPS, "all", *catalog.environments()))


def _scenarios(prefix: str, **context: object) -> list[str]:
    return _after_comma(prefix, ("default", "all", *catalog.scenarios()))


def _after_comma(prefix: str, names: Iterable[str]) -> list[str]:
    head, comma, _ = prefix.rpartition(",")
    return [f"{head}{comma}{name}" for name in names]
