"""What reaches a terminal can neither move its cursor nor fail for a character; closed and full outputs are told."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import shlex
import struct
import subprocess
import sys
import termios
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isobench.core.text import clean, visible

EXAMPLE = shlex.quote(str(Path(__file__).parents[3] / "reports/example/run"))
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


@pytest.mark.parametrize("words", ["list metrics", "--help", "run --help", f"export {EXAMPLE} --to csv"])
def test_a_full_disk_behind_the_output_is_told(words: str) -> None:
    """One line and the exit code of wrong usage, and nothing from Python at its exit."""
    done = isobench(words, "> /dev/full")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "standard output: No space left on device" in done.stderr


@pytest.mark.parametrize("redirect", [">&-", "2>&-", "<&-", "2> /dev/full", ">&- 2>&-"])
def test_a_stream_that_is_closed_or_full_ends_nothing(redirect: str) -> None:
    """The command does its work where nobody can be told."""
    assert isobench("list metrics", redirect).returncode == 0
    assert isobench("list metric", redirect).returncode == 2


@pytest.mark.parametrize(
    "code",
    [
        "print('x' * 100_000); sys.exit(7)",
        "from isobench import cli; print('half'); sys.exit(cli._failed(cli._Failure('it failed', '', 7), False))",
        "from isobench.core import display; from rich.text import Text;"
        "display.console().print(Text('x' * 100_000)); sys.exit(7)",
        "terminal.say_bytes(b'x' * 100_000); terminal.say_bytes(b'x'); sys.exit(7)",
    ],
)
def test_a_reader_that_has_ended_changes_no_exit_code(code: str) -> None:
    """`isobench compare --fail-on slower | head` is a gate; nor does Python complain at its exit."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-c", SHOW.format(code)], stdout=writer, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (7, "isobench: it failed\n" if "_failed" in code else "")


def on_a_terminal(code: str, columns: int) -> str:
    """What a Python with the program's streams writes on a terminal of so many columns, without colours."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    environ = {key: text for key, text in os.environ.items() if key != "COLUMNS"} | {"TERM": "xterm"}
    command = [sys.executable, "-c", SHOW.format("exec(" + repr(code) + ")")]
    with subprocess.Popen(command, stdin=follower, stdout=follower, stderr=subprocess.PIPE, env=environ) as process:
        os.close(follower)
        said = b""
        with contextlib.suppress(OSError):  # the terminal is closed at the process's end
            while part := os.read(leader, 65536):
                said += part
        assert process.wait(60) == 0, process.stderr and process.stderr.read()
    os.close(leader)
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", said.decode()).replace("\r", "")


def test_sentences_are_broken_between_words_on_a_terminal_only() -> None:
    """A path stays whole, so that it can be copied."""
    path = "/a/very/long/path-to/some-thing/that-is-longer-than-a-line/of-forty"
    code = f"terminal.paragraph('see {path} ' + 'word ' * 9, 4)"
    said = on_a_terminal(code, 50)
    assert path in said
    assert said.splitlines()[-1].startswith("    word")
    assert run(code).stdout.count(b"\n") == 1


def test_a_narrow_list_has_every_word() -> None:
    """`isobench list` on sixty columns: an overview, and each list with a name a line and what it is beneath."""
    lists = [["list"], *(["list", kind] for kind in ("environments", "scenarios", "metrics", "workloads"))]
    said = on_a_terminal(f"from isobench.cli import main; [main(words) for words in {lists}]", 60)
    assert [line for line in said.splitlines() if len(line) > 60] == []
    assert "\ndocker: Docker" in said and "compared with:" in said
