"""The command line: finds the command, runs it, turns errors into one clear line and an exit code.

It uses argparse, because `isobench --help` and `list` have to start within four times `python -c pass`, and importing a
larger toolkit alone would use that up. A command's module is imported only when the command is called.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import importlib
import os
import sys
from typing import TYPE_CHECKING, Any, Protocol, TypedDict

import isobench
from isobench import config
from isobench.core import terminal
from isobench.core.errors import Interrupted, IsobenchError, UsageError, suggestion
from isobench.processes.programs import search_path

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from typing import NoReturn

argparse._ = str  # type: ignore[attr-defined]
"""argparse's messages stay English, like isobench's: looking for a translation takes a tenth of Python's start-up."""

_FIRST = (
    "run", "report", "compare", "trend", "site", "nightly", "fleet", "export", "runs", "prune", "list", "doctor",
    "clean", "provision",
)  # fmt: skip
"""The order of commands in the help; others follow."""


_FOLDER = os.path.join(os.path.dirname(__file__), "commands")  # noqa: PTH118, PTH120 (pathlib would be imported)


def _commands() -> tuple[str, ...]:
    """Every command: a module of `commands/`."""
    found = {file.removesuffix(".py") for file in os.listdir(_FOLDER) if file.endswith(".py") and file[0] != "_"}
    return (*(name for name in _FIRST if name in found), *sorted(found.difference(_FIRST)))


def _summary(command: str) -> str:
    """The first line of its module, read without importing it: help would import everything that any command uses."""
    with open(f"{_FOLDER}/{command}.py", encoding="utf-8") as source:
        return source.readline().strip().strip('"').removeprefix(f"isobench {command}: ").removesuffix(".")


COMMANDS = _commands()
EXAMPLES = """\
examples:
  isobench doctor                              what can be measured here, and why the rest cannot
  isobench run --profile quick                 a first look, in a few minutes
  isobench run -e process,docker -s startup    one question
  isobench run -e ladder -s startup            where the cost of a container comes from

isobench help COMMAND shows the options of one.

exit codes:
  0    success
  1    a gate fired, or a measurement failed
  2    usage error
  3    internal error
  4    an environment named with --require is missing
  5    nothing was measured, or nothing can be concluded
  130  interrupted
"""
LIMITED, INTERNAL_ERROR = 1, 3
ERROR_SCHEMA = 1


class Command(Protocol):
    """What a module of `commands/` has. The first line of its docstring is `isobench NAME: what it does.`"""

    EXAMPLES: str
    """Examples for its help."""

    def documents(self) -> dict[str, object]:
        """The documents that it prints with `--json`, by the names of their schemas (docs/NAME.schema.json)."""
        ...

    def configure(self, parser: argparse.ArgumentParser) -> None: ...
    def run(self, arguments: argparse.Namespace) -> int:
        """Run the command; returns the exit code."""
        ...


class ErrorDocument(TypedDict):
    """What any command prints with `--json` if it ends early; `run` adds these keys to its own document."""

    schema: int
    error: str
    remedy: str
    exit_code: int


def documents() -> dict[str, object]:
    """Every document that `--json` prints, by the names of their schemas (docs/NAME.schema.json)."""
    found: dict[str, object] = {"error": ErrorDocument}
    for name in COMMANDS:
        found |= _module(name).documents()
    return found


def _module(name: str) -> Command:
    """The module of a command. Raises `UsageError` if a member is missing."""
    module: Any = importlib.import_module(f"isobench.commands.{name}")
    missing = [member for member in ("EXAMPLES", "documents", "configure", "run") if not hasattr(module, member)]
    if missing:
        raise UsageError(f"the module of the command {name} has no `{'`, `'.join(missing)}`")
    command: Command = module
    return command


def main(words: Sequence[str]) -> int:
    """Run one command line; returns the exit code."""
    os.umask(0o022)  # nobody else can write what is created, and QEMU, which has its own user, can read what it needs
    os.environ["PATH"] = search_path()  # a user's PATH may lack /usr/sbin, and some tools are started by name
    as_data = any(len(word) > 3 and "--json".startswith(word) for word in _own(words))  # argparse takes --js, too
    try:
        try:
            arguments = _parse(words)
            as_data = getattr(arguments, "json", False)
            module = _module(arguments.command)
            code = int(module.run(arguments))
        except SystemExit as end:  # argparse, for --help and --version
            code = end.code if isinstance(end.code, int) else 2
        sys.stdout.flush()  # a write error is reported here, not by Python at its exit
        return code
    except (IsobenchError, Interrupted) as error:
        return _failed(error, as_data)
    except KeyboardInterrupt:
        return _failed(Interrupted("interrupted"), as_data)
    except Exception as error:
        failure = _host_failure(error)
        if failure is None and os.environ.get("ISOBENCH_DEBUG"):
            raise
        return _failed(failure or _unforeseen(error), as_data)


class _Failure(IsobenchError):
    """Why a command ended early, if isobench did not anticipate it."""

    def __init__(self, reason: str, remedy: str, exit_code: int) -> None:
        super().__init__(reason, remedy=remedy)
        self.exit_code = exit_code


def _failed(failure: IsobenchError | Interrupted, as_data: bool) -> int:
    """Report it in one line, and as data if requested (docs/error.schema.json); returns the exit code."""
    remedy = f" ({failure.remedy})" if failure.remedy else ""
    terminal.paragraph(f"isobench: {failure.reason}{remedy}", errors=True)
    with contextlib.suppress(IsobenchError, OSError):  # standard output itself may have failed
        if as_data:
            ending = {"error": failure.reason, "remedy": failure.remedy, "exit_code": failure.exit_code}
            terminal.print_json({"schema": ERROR_SCHEMA, **failure.document, **ending})
        sys.stdout.flush()
    return failure.exit_code


def _host_failure(error: Exception) -> _Failure | None:
    """The failure if it lies in this host, process or Python, which is not an error of isobench."""
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        return _Failure("too many open files for this host's limit", "ulimit -n 1024", LIMITED)
    if _is_short_of_memory(error):
        return _Failure("too little memory for this process", "ulimit -v, or this host's", LIMITED)
    if isinstance(error, FileNotFoundError) and _is_gone():
        return _Failure("the folder that it was started in is gone", "cd elsewhere", UsageError.exit_code)
    if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("isobench"):
        missing = error.name.partition(".")[0]  # in a checkout the dependencies may not be installed
        return _Failure(f"the Python package {missing} is not installed", "pip install .", UsageError.exit_code)
    return None


def _unforeseen(error: Exception) -> _Failure:
    if isinstance(error, OSError) and error.strerror:  # a folder, a disk or a limit of this host
        where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, (str, bytes)) else ""
        return _Failure(f"{where}{error.strerror}", _DEBUG, UsageError.exit_code)
    return _Failure(f"internal error: {type(error).__name__}: {error}", _DEBUG, INTERNAL_ERROR)


_DEBUG = "ISOBENCH_DEBUG=1 shows where"


def _is_short_of_memory(error: Exception) -> bool:
    """Python has an exception for it, the kernel an errno, and the loader of a library its own messages."""
    if isinstance(error, ImportError):
        return any(words in str(error) for words in ("failed to map segment", "cannot allocate", "Cannot allocate"))
    return isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM)


def _is_gone() -> bool:
    """Whether the working folder has been removed, so that no relative path has a meaning."""
    try:
        os.getcwd()  # noqa: PTH109 (pathlib would have to be imported)
    except FileNotFoundError:
        return True
    return False


class _Help(argparse.RawDescriptionHelpFormatter):
    """Help as wide as the terminal. An example that does not fit has its comment on the next line."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=min(terminal.width(), _WIDEST_HELP))
        indented = 2 * self._indent_increment  # as commands are, of which argparse forgets it
        self._action_max_length = indented + max(map(len, COMMANDS))

    def _set_color(self, *_asked: object, **_more: object) -> None:
        """No colours: isobench makes control characters visible, which would show their codes. Python's own switch
        (since 3.14) takes as long as a start of Python."""
        self._theme, self._decolor = _NoColours(), str

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        import textwrap

        lines = []
        for line in text.splitlines():
            command, _, comment = line.lstrip().partition("  ")
            if len(line) <= width:
                lines.append(line)
            elif line.startswith(" ") and comment:
                lines += [f"  {command}", *textwrap.wrap(comment.strip(), width - 6, initial_indent=" " * 6,
                                                         subsequent_indent=" " * 6)]  # fmt: skip
            else:
                lines += [line] if line.startswith(" ") else textwrap.wrap(line, width)
        return "\n".join(lines)


_WIDEST_HELP = 120


class _NoColours:
    """A theme of argparse in which nothing has a colour."""

    def __getattr__(self, part: str) -> str:
        return ""


class _Parser(argparse.ArgumentParser):
    """Reports usage errors in one line, like every other error."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, remedy=f"{self.prog} --help")


def _parse(words: Sequence[str]) -> argparse.Namespace:
    line = os.environ.get("COMP_LINE")  # a shell asks for completions of this line
    words = words if line is None else line.split()[1:]
    if line is None:
        words = _asked_for_help(words)
    chosen = next((word for word in words if not word.startswith("-")), None)
    if line is None and chosen is not None and chosen not in COMMANDS:
        raise UsageError(f"no command is called {chosen!r}{suggestion(chosen, COMMANDS)}", remedy="isobench --help")
    is_first = line is None and chosen == words[0]
    parser = _parser([] if chosen is None else [chosen], [words[0]] if is_first else COMMANDS)
    if line is not None:
        import argcomplete

        argcomplete.autocomplete(parser)
    own = _own(words)
    arguments, rest = parser.parse_known_args(own)
    if hasattr(arguments, "words") and not any(word.startswith("-") for word in rest):
        arguments.words += rest  # argparse has already consumed its words if an option is between them
        rest = []
    if not rest and len(own) < len(words):
        program = list(words[len(own) + 1 :])
        if program and hasattr(arguments, "program"):
            arguments.program = program
        else:
            rest = ["--", *program]
    if rest:
        raise UsageError(f"unrecognized arguments: {' '.join(rest)}", remedy=f"isobench {arguments.command} --help")
    return arguments


def _own(words: Sequence[str]) -> Sequence[str]:
    """The words before `--`: what follows is another program's command line, for a command that runs one."""
    return words[: words.index("--")] if "--" in words else words


def _asked_for_help(words: Sequence[str]) -> Sequence[str]:
    """`isobench` alone and `isobench help [COMMAND]` as the option `--help`."""
    if not words:
        return ["--help"]
    if words[0] != "help":
        return words
    return [*(word for word in words[1:2] if word != "help"), "--help"]


def whole_parser() -> argparse.ArgumentParser:
    """The parser with the options of every command, from which the man page is built."""
    return _parser(COMMANDS, COMMANDS)


def _parser(chosen: Collection[str], known: Iterable[str]) -> argparse.ArgumentParser:
    """The parser of these commands. Only the chosen ones have their options: importing a module and making its parser
    take too long to do for every command."""
    parser = _Parser(
        prog="isobench",
        description="Measures what isolation costs: processes, chroot, namespaces, containers, virtual machines.",
        epilog=EXAMPLES,
        formatter_class=_Help,
    )
    parser.add_argument("--version", action="version", version=f"isobench {isobench.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", prog="isobench")
    for name in known:
        text = _summary(name)
        sub = commands.add_parser(
            name,
            help=text,
            description=text[0].upper() + text[1:] + ".",
            formatter_class=_Help,
        )
        if name in chosen:
            module = _module(name)
            module.configure(sub)
            if "COMP_LINE" in os.environ:
                importlib.import_module("isobench.commands.completion").complete_names(sub)
            sub.epilog = f"examples:\n{module.EXAMPLES}"
            config.apply(name, sub, COMMANDS)
    return parser
