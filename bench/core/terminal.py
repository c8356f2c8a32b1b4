"""Standard output and standard error: no text can harm a terminal or fail because of the encoding.

`prepare` sets this up for the whole program, so that code that prints need not care: control characters are made
visible, and what the output's encoding lacks is written in plain letters.
"""

from __future__ import annotations

import codecs
import io
import os
import re
import sys
from typing import TYPE_CHECKING, Any

from isobench.core.errors import UsageError
from isobench.core.text import visible

if TYPE_CHECKING:
    from typing import TextIO

_PLAIN = {
    "µ": "u", "×": "x", "±": "+/-", "−": "-", "–": "-", "—": "-", "…": "...", "→": "->", "≤": "<=", "≥": ">=",
    "⟨": "<", "⟩": ">", "✓": "*", "’": "'", "“": '"', "”": '"', "─": "-", "━": "-", "╸": "-", "╺": " ",
}  # fmt: skip
"""The characters beyond ASCII that isobench prints, and their replacements if the encoding lacks them."""
_ERRORS = "isobench-plain"
_NARROWEST = 40
"""The smallest width that sentences are wrapped to."""


class Stream(io.TextIOWrapper):
    """Standard output. A write error raises `UsageError`. If only the reader has ended, the command goes on without it:
    its exit code may be a gate, and its results are not only what it prints."""

    def write(self, text: str) -> int:
        return self.control(visible(text))

    def control(self, text: str) -> int:
        """Write text that may move the cursor or set a colour: isobench's own, never foreign text."""
        try:
            return super().write(text)
        except OSError as error:
            return self._give_up(error)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            self._give_up(error)

    def data(self, content: bytes) -> None:
        """Write bytes as they are."""
        self.flush()
        try:
            self.buffer.write(content)
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> int:
        self._to_nobody(1)
        if isinstance(error, BrokenPipeError):
            return 0
        raise UsageError(f"cannot write to standard output: {error.strerror}") from error

    def _to_nobody(self, number: int) -> None:
        """The buffer is flushed again at exit: let that succeed."""
        nobody = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nobody, number)
        os.close(nobody)


class ErrorStream(Stream):
    """Standard error: if it cannot be written, nobody can be told, and the work goes on."""

    def _give_up(self, error: OSError) -> int:
        self._to_nobody(2)
        return 0


def prepare() -> None:
    """Replace the standard streams of this process. A closed one is opened on /dev/null."""
    for number in (0, 1, 2):  # otherwise the next file that is opened becomes the stream
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDONLY if number == 0 else os.O_WRONLY)
    sys.stdout = _stream(sys.stdout, 1, Stream)
    sys.stderr = _stream(sys.stderr, 2, ErrorStream)


def say(text: str) -> None:
    """Write text as it is, even without `prepare`: a caller of isobench's functions has its own streams."""
    if not isinstance(sys.stdout, Stream):
        encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
        text = visible(text).encode(encoding, _ERRORS).decode(encoding)
    sys.stdout.write(text)


def say_bytes(content: bytes) -> None:
    """Write bytes as they are, for a file or another program."""
    if isinstance(sys.stdout, Stream):
        sys.stdout.data(content)
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(content)


def is_live(stream: TextIO) -> bool:
    """Whether this stream is a terminal that can move its cursor."""
    return stream.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown")


def width(*, errors: bool = False) -> int:
    """The columns of the terminal behind standard output or error: from COLUMNS, else from the terminal, else 80."""
    value = os.environ.get("COLUMNS", "")
    if value.isdecimal() and int(value) > 0:
        return int(value)
    try:
        return os.get_terminal_size((sys.stderr if errors else sys.stdout).fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def paragraph(text: str, indent: int = 0, *, errors: bool = False) -> None:
    """Sentences on standard output or error: on a terminal broken between words, with `indent` columns before each
    further line; in a pipe one line."""
    stream = sys.stderr if errors else sys.stdout
    if stream.isatty():
        import textwrap

        room = max(width(errors=errors), _NARROWEST)
        lines = textwrap.wrap(
            text, room, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
        )
        text = "\n".join(lines)
    if errors:
        print(text, file=stream)
    else:
        say(f"{text}\n")


def print_json(document: object) -> None:
    """Data on standard output, in ASCII whatever the encoding; a missing number is null."""
    import json

    import msgspec

    text = msgspec.json.format(msgspec.json.encode(document), indent=1).decode()
    print(re.sub("[^\n -~]+", lambda found: json.dumps(found[0])[1:-1], text))


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
