"""Standard output and standard error: what is written there can neither harm a terminal nor fail for a character.

`prepare` puts this in place for the whole program, so that no place that prints has to think of it: control characters
in what is printed are made visible, and what the output's encoding does not have is written in plain letters.
"""

from __future__ import annotations

import codecs
import io
import json
import os
import re
import sys
from typing import TYPE_CHECKING, Any

from bench.errors import UsageError
from bench.text import clean, visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_PLAIN = {
    "µ": "u", "×": "x", "±": "+/-", "−": "-", "–": "-", "—": "-", "…": "...", "→": "->", "≤": "<=", "≥": ">=",
    "⟨": "<", "⟩": ">", "✓": "*", "’": "'", "“": '"', "”": '"',
}  # fmt: skip
"""What isobench's own words use beyond ASCII, and how it reads where an encoding does not have it."""
_ERRORS = "isobench-plain"
_BEYOND_ASCII = re.compile("[^\n -~]+")


class Stream(io.TextIOWrapper):
    """Standard output. What cannot be written raises `UsageError`, or BrokenPipeError where nobody reads any more."""

    def write(self, text: str) -> int:
        return self.control(visible(text))

    def control(self, text: str) -> int:
        """Write what may move the cursor or set a colour: isobench's own, never words from outside."""
        try:
            return super().write(text)
        except OSError as error:
            return self._give_up(error)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> int:
        self._to_nobody(1)
        if isinstance(error, BrokenPipeError):
            raise error
        raise UsageError(f"cannot write to standard output: {error.strerror}") from error

    def _to_nobody(self, number: int) -> None:
        """What is still in the buffer is tried again at exit: let that succeed."""
        nobody = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nobody, number)
        os.close(nobody)


class ErrorStream(Stream):
    """Standard error: where it cannot be written there is nobody to be told, and the work goes on."""

    def _give_up(self, error: OSError) -> int:
        self._to_nobody(2)
        return 0


def prepare() -> None:
    """Replace the standard streams of this process. A stream that is closed becomes one that nobody reads."""
    for number in (0, 1, 2):  # else the next file that is opened is taken for the stream
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDONLY if number == 0 else os.O_WRONLY)
    sys.stdout = _stream(sys.stdout, 1, Stream)
    sys.stderr = _stream(sys.stderr, 2, ErrorStream)


def say(text: str) -> None:
    """Write text as it is, also where nothing was prepared: a caller of isobench's functions has its own streams."""
    if not isinstance(sys.stdout, Stream):
        encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
        text = visible(text).encode(encoding, _ERRORS).decode(encoding)
    sys.stdout.write(text)


def console(*, wide: int = 1000) -> Console:
    """Rich's console on standard output. What is given to it has to be `rich.text.Text` or a cell of `cell`.

    Where nobody looks (a file, a pipe) it is `wide` columns, so that nothing is cut off.
    """
    from rich.console import Console

    out = _Raw(sys.stdout) if isinstance(sys.stdout, Stream) else sys.stdout
    width = None if sys.stdout.isatty() else wide
    return Console(file=out, width=width, markup=False, emoji=False, highlight=False)  # type: ignore[arg-type]


def cell(words: object, style: str = "") -> Text:
    """Words from outside as rich may print them: no markup, nothing that moves the cursor."""
    from rich.text import Text

    return Text(clean(str(words), 1000), style=style)


def print_json(document: object) -> None:
    """Data on standard output, in ASCII whatever the encoding is; a number that does not exist is null."""
    import msgspec

    text = msgspec.json.format(msgspec.json.encode(document), indent=1).decode()
    print(_BEYOND_ASCII.sub(lambda found: json.dumps(found[0])[1:-1], text))


def live(text: str) -> None:
    """Replace the line that the cursor is in on standard error by this one, cut to the terminal's width."""
    width = os.get_terminal_size(sys.stderr.fileno()).columns
    _control("\r\x1b[K" + visible(text)[: max(width - 1, 0)])
    sys.stderr.flush()


def clear_line() -> None:
    """Empty the line that the cursor is in on standard error."""
    _control("\r\x1b[K")


def _control(text: str) -> None:
    if isinstance(sys.stderr, Stream):
        sys.stderr.control(text)
    else:
        sys.stderr.write(text)


class _Raw:
    """A stream for rich, whose words were made visible before and whose colours have to pass."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        self._stream.control(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _stream(before: Any, number: int, kind: type[Stream]) -> Any:
    encoding = getattr(before, "encoding", None) or "utf-8"
    if before is not None:
        before.flush()
        before.detach()
    raw = io.FileIO(number, "w", closefd=False)
    terminal = raw.isatty()
    return kind(
        io.BufferedWriter(raw),
        encoding=encoding,
        errors=_ERRORS,
        line_buffering=terminal or number == 2,
        write_through=False,
    )


def _in_plain_letters(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    words = error.object[error.start : error.end]
    return "".join(_PLAIN.get(c, "?") for c in words), error.end


codecs.register_error(_ERRORS, _in_plain_letters)
