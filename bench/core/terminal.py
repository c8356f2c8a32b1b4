"""Standard output and standard error: no text can harm a terminal or fail because of the encoding.

`prepare` puts this in place for the whole program, so that no place that prints has to think of it: control characters
in what is printed are made visible, and what the output's encoding does not have is written in plain letters.
"""

from __future__ import annotations

import codecs
import io
import os
import re
import sys
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from isobench.core.errors import UsageError
from isobench.core.text import clean, visible

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TextIO

    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
    from rich.table import Table
    from rich.text import Text

_PLAIN = {
    "µ": "u", "×": "x", "±": "+/-", "−": "-", "–": "-", "—": "-", "…": "...", "→": "->", "≤": "<=", "≥": ">=",
    "⟨": "<", "⟩": ">", "✓": "*", "’": "'", "“": '"', "”": '"', "─": "-", "━": "-", "╸": "-", "╺": " ",
}  # fmt: skip
"""The characters beyond ASCII that isobench prints, and their replacements if the encoding lacks them."""
_ERRORS = "isobench-plain"
_ENDLESS = 10**6
"""Columns of a file or a pipe."""
_ECHO = 3
"""Columns that stay free at the end of a redrawn line: the terminal shows ^C there, which must not wrap."""
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
    """Replace the standard streams of this process. A stream that is closed becomes one that nobody reads."""
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


def console(*, errors: bool = False) -> Console:
    """Rich's console on standard output or standard error. It is only given `rich.text.Text`, as from `cell`.

    Where nobody looks (a file, a pipe) it is as wide as its words, so that nothing is cut off or wrapped.
    """
    from rich.console import Console

    stream = sys.stderr if errors else sys.stdout
    out = _Raw(stream) if isinstance(stream, Stream) else stream
    width = None if stream.isatty() else _ENDLESS
    return Console(file=out, width=width, markup=False, emoji=False, highlight=False)  # type: ignore[arg-type]


def show(what: RenderableType) -> None:
    """Print it on standard output; in a pipe as `text` gives it."""
    if sys.stdout.isatty():
        console().print(what)
    else:
        say(text(what))


def tell(*words: RenderableType) -> None:
    """Print them on standard output, sentences as paragraphs."""
    for one in words:
        paragraph(one) if isinstance(one, str) else show(one)


def text(*words: RenderableType) -> str:
    """The same for a file: nothing is cut or wrapped, without colours and padding."""
    from rich.console import Console

    parts = []
    for one in words:
        if isinstance(one, str):
            parts.append(f"{visible(one)}\n")
            continue
        out = Console(file=io.StringIO(), width=_ENDLESS, markup=False, emoji=False, highlight=False, color_system=None)
        with out.capture() as caught:
            out.print(one)
        parts += [f"{line.rstrip()}\n" for line in caught.get().splitlines()]
    return "".join(parts)


def is_live(stream: TextIO) -> bool:
    """Whether this stream is a terminal that can move its cursor."""
    return stream.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown")


def width(*, errors: bool = False) -> int:
    """The columns of the terminal behind standard output or error: as COLUMNS says, as the terminal does, or eighty."""
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


class Column(NamedTuple):
    """A column of `table`. One that wraps holds sentences or intervals: it may be broken between words."""

    name: str
    justify: Literal["left", "right"] = "left"
    wraps: bool = False


class Listing(NamedTuple):
    """A table. Rows with the same first word belong together.

    In a pipe every row is on one line. A terminal's width is kept: sentences wrap, names stay whole, and if there is no
    room for all columns, the first one becomes a line above its rows. Intervals wrap only if that is not enough.
    """

    columns: Sequence[Column]
    rows: Sequence[Sequence[object]]
    title: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.measure import Measurement

        if self.title:
            yield cell(self.title, "italic")

        def fits(table: Table) -> bool:
            return Measurement.get(console, options.update(max_width=_ENDLESS), table).minimum <= options.max_width

        whole = _rich_table(self.columns, self.rows, gap=1)
        if fits(whole):
            yield whole
            return
        unbroken = _INTERVAL if fits(_rich_table(self.columns[1:], [row[1:] for row in self.rows], gap=0)) else _WORD
        for first in dict.fromkeys(row[0] for row in self.rows):
            yield cell(first, "bold")
            rows = [row[1:] for row in self.rows if row[0] == first]
            yield _rich_table(self.columns[1:], rows, gap=0, unbroken=unbroken)


def table(columns: Sequence[Column], rows: Sequence[Sequence[object]], title: str = "") -> None:
    """A table on standard output."""
    show(Listing(columns, rows, title))


_INTERVAL = r"(?:\S+ )?\[[^\]]*\]|\S+"
"""What stays on one line: a number with its interval, or a word."""
_WORD = r"\S+"


def _rich_table(
    columns: Sequence[Column], rows: Sequence[Sequence[object]], gap: int, unbroken: str = _INTERVAL
) -> Table:
    """`gap` is the space between two columns, in addition to the frame's; 0 is for narrow terminals. `unbroken` matches
    what wrapping columns keep on one line."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    made = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, gap, 0, 0), collapse_padding=True, show_edge=False)
    for column, *words in zip(columns, *rows, strict=True):
        parts = [part for text in words for part in re.findall(unbroken, str(text))]
        longest = max(map(len, parts), default=0) if column.wraps else None
        made.add_column(
            cell(column.name), justify=column.justify, no_wrap=not column.wraps, overflow="fold", min_width=longest
        )
    grouped = bool(gap) and len({row[0] for row in rows}) < len(rows)
    for above, row in zip([None, *rows], rows, strict=False):
        if above is not None and above[0] != row[0] and grouped:
            made.add_section()
        made.add_row(*map(cell, row))
    return made


def cell(words: object, style: str = "") -> Text:
    """Foreign text as rich may print it: no markup, nothing that moves the cursor."""
    from rich.text import Text

    return Text(clean(str(words), 1000), style=style)


class Foot:
    """Lines at the foot of a terminal on standard error, which are only redrawn on request; messages stay above
    them."""

    def __init__(self) -> None:
        from rich.live import Live

        self._live = Live(
            console=console(errors=True),
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def draw(self, *lines: RenderableType) -> None:
        """Replace the lines by these; words are cut to the width."""
        from rich.console import Group
        from rich.constrain import Constrain
        from rich.text import Text

        for line in lines:
            if isinstance(line, Text):
                line.no_wrap, line.overflow = True, "ellipsis"
        if not self._live.is_started:
            self._live.start()
        room = self._live.console.width - _ECHO
        self._live.update(Constrain(Group(*lines), room), refresh=True)

    def say(self, text: str) -> None:
        """Print a line above, which stays."""
        from rich.text import Text

        self._live.console.print(Text(visible(text)))

    def close(self) -> None:
        """Remove the lines."""
        self._live.stop()


def print_json(document: object) -> None:
    """Data on standard output, in ASCII whatever the encoding; a missing number is null."""
    import json

    import msgspec

    text = msgspec.json.format(msgspec.json.encode(document), indent=1).decode()
    print(re.sub("[^\n -~]+", lambda found: json.dumps(found[0])[1:-1], text))


class _Raw:
    """A stream for rich, whose text has been made visible already and whose colours must pass."""

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
