"""What reaches a terminal can neither move its cursor nor fail for a character; closed and full outputs are told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isobench.core.text import clean, visible

SHOW = "import sys; from isobench.core import terminal; terminal.prepare(); {}"


def run(code: str, **more: str) -> subprocess.CompletedProcess[bytes]:
    """A new Python that has the program's streams."""
    environ = {**os.environ, **more}
    return subprocess.run([sys.executable, "-c", SHOW.format(code)], capture_output=True, env=environ, check=False)


def isobench(words: str, redirect: str = "", **more: str) -> subprocess.CompletedProcess[str]:
    """The command with its output redirected by a shell."""
    line = f"exec {sys.executable} -m isobench {words} {redirect}"
    environ = {**os.environ, **more}
    return subprocess.run(["sh", "-c", line], capture_output=True, text=True, env=environ, check=False)


@given(st.text())
def test_nothing_that_a_terminal_obeys_is_left(text: str) -> None:
    """No control character, direction mark or lone surrogate passes, and what was harmless is as it was."""
    shown = visible(text)
    assert not any(unicodedata.category(c) in ("Cc", "Cf", "Cs") for c in shown if c not in "\n\t")
    assert "\n" not in clean(text)
    if not any(unicodedata.category(c)[0] == "C" for c in text):
        assert shown == text


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_escape_sequences_are_shown_and_not_obeyed(stream: str) -> None:
    """ESC, OSC and the single C1 characters that start them reach neither stream."""
    done = run(f"print('a\\x1b[31mb\\x9b1mc\\x1b]0;title\\x07d\\udce9', file=sys.{stream})")
    said = getattr(done, stream).decode()
    assert said == "a⟨U+001B⟩[31mb⟨U+009B⟩1mc⟨U+001B⟩]0;title⟨U+0007⟩d⟨U+DCE9⟩\n"


@pytest.mark.parametrize(("encoding", "said"), [("ascii", "711 us, 1.1x +/-5% ?"), ("latin-1", "711 µs, 1.1× ±5% ?")])
def test_every_encoding_can_be_written(encoding: str, said: str) -> None:
    """What an encoding does not have is written in plain letters."""
    done = run("print('711 µs, 1.1× ±5% ü'.replace('ü', 'ぁ'))", PYTHONIOENCODING=encoding)
    assert done.stdout.decode(encoding).strip() == said


def test_json_is_ascii_and_a_number_that_does_not_exist_is_null() -> None:
    """Data can be read whatever the terminal's encoding is, and comes back as it was."""
    done = run("terminal.print_json({'a\\x9b': [float('nan'), 'µ\\x7f\\U0001f40b']})", PYTHONIOENCODING="ascii")
    assert done.stdout.isascii()
    assert json.loads(done.stdout) == {"a\x9b": [None, "µ\x7f\U0001f40b"]}


def test_a_full_disk_behind_the_output_is_told() -> None:
    """One line and the exit code of wrong usage, and nothing from Python at its exit."""
    done = isobench("list metrics", "> /dev/full")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "standard output: No space left on device" in done.stderr


@pytest.mark.parametrize("redirect", [">&-", "2>&-", "<&-", "2> /dev/full", ">&- 2>&-"])
def test_a_stream_that_is_closed_or_full_ends_nothing(redirect: str) -> None:
    """The command does its work where nobody can be told."""
    assert isobench("list metrics", redirect).returncode == 0
    assert isobench("list metric", redirect).returncode == 2


def test_a_table_in_a_pipe_loses_nothing() -> None:
    """Brackets are no markup, and where no terminal sets a width no name is cut."""
    code = (
        "from rich.table import Table; t = Table('m', 'r');"
        "t.add_row(*map(terminal.cell, ('m' * 120, '1.2× [no interval]\\x1b[1m'))); terminal.console().print(t)"
    )
    said = run(code).stdout.decode()
    assert "m" * 120 in said
    assert "1.2× [no interval]⟨U+001B⟩[1m" in said
