"""The command line: finds the command, runs it, turns errors into one clear line and an exit code.

argparse, because `isobench --help` and `list` have to start in a few Python start-ups' time, which the import of a
larger toolkit alone would use up. A command's module is imported when it is called, what it needs when it runs.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import sys
from typing import TYPE_CHECKING

import bench
from bench.errors import IsobenchError, UsageError, suggestion
from bench.programs import search_path

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from typing import NoReturn

COMMANDS = {
    "run": "measure, and write the report",
    "report": "write the report of a run again",
    "compare": "what got slower or faster from one run to another",
    "trend": "what changed in the nights of a host",
    "nightly": "doctor, run, trend, report and exports into one folder",
    "export": "a run in other tools' formats",
    "list": "the environments, scenarios or metrics there are",
    "doctor": "prove each environment by launching it; what disturbs measurements here",
    "clean": "remove what dead runs left behind",
    "provision": "install what is missing (Debian, Ubuntu)",
    "completion": "what a shell needs to complete isobench's words",
}
EXAMPLES = """\
examples:
  isobench doctor                              what can be measured here, and why the rest cannot
  isobench run --profile quick                 a first look, in a few minutes
  isobench run -e process,docker -s startup    one question
  isobench run -e ladder -s startup            where the cost of a container comes from

exit codes: 0 fine, 1 a gate or a measurement failed, 2 wrong usage, 3 internal error, 4 a required environment is
missing, 5 nothing was measured, 130 interrupted
"""
LIMITED, INTERNAL_ERROR, INTERRUPTED = 1, 3, 130


def main(words: Sequence[str]) -> int:
    """Run one command line; gives the exit code."""
    os.umask(0o022)  # what is made can be written by nobody else, and read by a QEMU of another user where it has to
    os.environ["PATH"] = search_path()  # for whoever's is without /usr/sbin: the tools that are started by name
    try:
        arguments = _parse(words)
        module = importlib.import_module(f"bench.commands.{arguments.command}")
        code = int(module.run(arguments))
        sys.stdout.flush()  # what cannot be written is told here, not by Python at its exit
        return code
    except SystemExit as end:  # argparse, for --help and wrong usage
        return end.code if isinstance(end.code, int) else 2
    except IsobenchError as error:
        remedy = f" ({error.remedy})" if error.remedy else ""
        print(f"isobench: {error.reason}{remedy}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt as stop:
        print(f"isobench: {str(stop) or 'interrupted'}", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # whoever read the output has gone
        return 0
    except Exception as error:
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            print("isobench: too many open files for this host's limit (ulimit -n 1024)", file=sys.stderr)
            return LIMITED
        if _is_short_of_memory(error):
            print("isobench: too little memory for this process (ulimit -v, or this host's)", file=sys.stderr)
            return LIMITED
        if isinstance(error, FileNotFoundError) and _is_gone():
            print("isobench: the folder that it was started in is gone (cd elsewhere)", file=sys.stderr)
            return UsageError.exit_code
        if os.environ.get("ISOBENCH_DEBUG"):
            raise
        if isinstance(error, OSError) and error.strerror:  # a folder, a disk or a limit of this host
            where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, (str, bytes)) else ""
            print(f"isobench: {where}{error.strerror} (ISOBENCH_DEBUG=1 shows where)", file=sys.stderr)
            return UsageError.exit_code
        print(
            f"isobench: internal error: {type(error).__name__}: {error} (ISOBENCH_DEBUG=1 shows where)", file=sys.stderr
        )
        return INTERNAL_ERROR


def _is_short_of_memory(error: Exception) -> bool:
    """Python says so itself, the kernel by a number, the loader of a module's library in words of its own."""
    if isinstance(error, ImportError):
        return any(words in str(error) for words in ("failed to map segment", "cannot allocate", "Cannot allocate"))
    return isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM)


def _is_gone() -> bool:
    """Whether the working folder has been removed: no relative path means anything any more."""
    try:
        os.getcwd()  # noqa: PTH109 (pathlib would have to be imported)
    except FileNotFoundError:
        return True
    return False


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, as every other error is said."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, remedy=f"{self.prog} --help")


def _parse(words: Sequence[str]) -> argparse.Namespace:
    line = os.environ.get("COMP_LINE")  # a shell wants to know how this line could go on
    words = words if line is None else line.split()[1:]
    chosen = next((word for word in words if not word.startswith("-")), None)
    if line is None and chosen is not None and chosen not in COMMANDS:
        raise UsageError(f"no command is called {chosen!r}{suggestion(chosen, COMMANDS)}", remedy="isobench --help")
    parser = _parser([] if chosen is None else [chosen])
    if line is not None:
        import argcomplete

        argcomplete.autocomplete(parser)
    arguments, rest = parser.parse_known_args(words)
    if rest:
        raise UsageError(f"unrecognized arguments: {' '.join(rest)}", remedy=f"isobench {arguments.command} --help")
    return arguments


def whole_parser() -> argparse.ArgumentParser:
    """The parser with the options of every command: what the man page is made from."""
    return _parser(COMMANDS)


def _parser(chosen: Collection[str]) -> argparse.ArgumentParser:
    """The parser of all commands, the chosen ones with their options: the others' modules are not wanted."""
    parser = _Parser(
        prog="isobench",
        description="Measures what isolation costs: processes, chroot, namespaces, containers, virtual machines.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"isobench {bench.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", prog="isobench")
    for name, text in COMMANDS.items():
        sub = commands.add_parser(
            name,
            help=text,
            description=text[0].upper() + text[1:] + ".",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if name in chosen:
            module = importlib.import_module(f"bench.commands.{name}")
            module.configure(sub)
            if "COMP_LINE" in os.environ:
                importlib.import_module("bench.commands.completion").complete_names(sub)
            sub.epilog = f"examples:\n{module.EXAMPLES}"
            from bench import config

            config.apply(name, sub, COMMANDS)
    return parser
