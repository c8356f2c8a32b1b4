"""The command line's last resort: what comes up from below is one line and an exit code."""

from __future__ import annotations

import errno
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from isobench import cli
from isobench.core.errors import UsageError


@pytest.mark.parametrize("columns", [60, 100])
@pytest.mark.parametrize("command", ["", *cli.COMMANDS])
def test_help_fits_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str, columns: int
) -> None:
    """Only what cannot be broken may be wider: a command, so that it can be copied, and a list of choices. No word is
    lost."""
    monkeypatch.setenv("COLUMNS", str(columns))
    assert cli.main([*([command] if command else []), "--help"]) == 0
    said = capsys.readouterr().out
    wide = [line.strip() for line in said.splitlines() if len(line) > columns and "{" not in line]
    assert all(line.startswith(("isobench ", "source ")) and "  " not in line for line in wide)
    monkeypatch.setenv("COLUMNS", "1000")
    cli.main([*([command] if command else []), "--help"])
    assert said.split() and set(capsys.readouterr().out.split()) <= set(said.split())


def test_a_longer_command_has_its_summary_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A command is one file: nothing else says how long its name is."""
    for name in ("run", "longer-than-any"):
        (tmp_path / f"{name}.py").write_text(f'"""isobench {name}: do it."""\n')
    monkeypatch.setattr(cli, "_FOLDER", str(tmp_path))
    monkeypatch.setattr(cli, "COMMANDS", cli._commands())
    assert cli.main(["--help"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert {"    run              do it", "    longer-than-any  do it"} <= set(said)


def test_help_has_no_colours(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Python 3.14 has colours for it. What keeps control characters from the terminal would show their codes."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert cli.main(["list", "--help"]) == 0
    assert "usage: isobench list" in (said := capsys.readouterr().out) and "[0m" not in said and "\33" not in said


@pytest.mark.parametrize("word", ["list", "--help"])
def test_a_parser_costs_no_colours(word: str) -> None:
    """What makes them in Python 3.14 imports `dataclasses`, for which neither has time."""
    words = (sys.executable, "-c", f"import sys; from isobench import cli; cli.main(['{word}']); "
             "sys.exit('_colorize' in sys.modules or 'dataclasses' in sys.modules)")  # fmt: skip
    assert subprocess.run(words, check=False, stdout=subprocess.DEVNULL).returncode == 0


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (OSError(errno.EMFILE, "Too many open files", "/proc"), 1, "too many open files"),
        (OSError(errno.EIO, "Input/output error"), 2, "isobench: Input/output error"),
        (PermissionError(errno.EACCES, "Permission denied", "/secret"), 2, "isobench: /secret: Permission denied"),
        (MemoryError(), 1, "too little memory"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), 1, "too little memory"),
        (ImportError("x.so: failed to map segment from shared object"), 1, "too little memory"),
        (ImportError("cannot import name 'x'"), 3, "internal error: ImportError"),
        (ModuleNotFoundError("No module named 'rich.text'", name="rich.text"), 2, "the Python package rich is not"),
        (ModuleNotFoundError("No module named 'x'", name="isobench.x"), 3, "internal error: ModuleNotFoundError"),
        (OSError("no number"), 3, "internal error: OSError"),
        (ZeroDivisionError("division by zero"), 3, "internal error: ZeroDivisionError"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_no_command_foresaw(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, code: int, said: str
) -> None:
    """A limit of the host is not an error of isobench's own."""

    def fail(arguments: object) -> int:
        raise error

    monkeypatch.delenv("ISOBENCH_DEBUG", raising=False)
    monkeypatch.setattr(importlib.import_module("isobench.commands.list"), "run", fail)
    assert cli.main(["list", "environments"]) == code
    told = capsys.readouterr().err
    assert said in told and told.count("\n") == 1


def test_the_words_after_two_dashes_are_another_programs() -> None:
    """Whatever they look like; only a command that runs a program takes them."""
    arguments = cli._parse(["run", "-e", "process", "--", "ls", "--json", "--", "-e"])
    assert arguments.program == ["ls", "--json", "--", "-e"]
    assert (arguments.environments, arguments.json) == ("process", False)
    assert cli._parse(["run"]).program == []
    for words in (["run", "--"], ["list", "--", "x"], ["run", "ls"]):
        with pytest.raises(UsageError, match="unrecognized arguments"):
            cli._parse(words)
