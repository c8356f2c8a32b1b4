"""What rich draws: tables, colours, live lines at the bottom of a terminal. Untrusted text is cleaned; a pipe gets all
of it."""

from __future__ import annotations

import io
import re
import sys
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.constrain import Constrain
from rich.live import Live
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from isobench.core import terminal
from isobench.core.text import clean, visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import ConsoleOptions, RenderableType, RenderResult

_ENDLESS = 10**6
"""Columns of a file or a pipe."""
_ECHO = 3
"""Columns that stay free at the end of a redrawn line: the terminal shows ^C there, which must not wrap."""


def console(*, errors: bool = False) -> Console:
    """Rich's console on standard output or standard error. Give it only `rich.text.Text`, as from `cell`.

    In a file or a pipe it is as wide as its text, so that nothing is cut off or wrapped.
    """
    stream = sys.stderr if errors else sys.stdout
    out = _Raw(stream) if isinstance(stream, terminal.Stream) else stream
    width = None if stream.isatty() else _ENDLESS
    return Console(file=out, width=width, markup=False, emoji=False, highlight=False)  # type: ignore[arg-type]


def show(what: RenderableType) -> None:
    """Print it on standard output; in a pipe as `text` gives it."""
    if sys.stdout.isatty():
        console().print(what)
    else:
        terminal.say(text(what))


def tell(*words: RenderableType) -> None:
    """Print them on standard output, sentences as paragraphs."""
    for one in words:
        terminal.paragraph(one) if isinstance(one, str) else show(one)


def text(*words: RenderableType) -> str:
    """The same for a file: nothing is cut or wrapped, without colours and padding."""
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


class Column(NamedTuple):
    """A column of `table`. One that wraps holds sentences or intervals: it may be broken between words."""

    name: str
    justify: Literal["left", "right"] = "left"
    wraps: bool = False


class Listing(NamedTuple):
    """A table. Rows with the same first cell form a group.

    In a pipe every row is one line. On a terminal the table fits the width: sentences wrap, names stay whole, and if
    there is no room for all columns, the first one becomes a line above its group. Intervals wrap only if that is not
    enough.
    """

    columns: Sequence[Column]
    rows: Sequence[Sequence[object]]
    title: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
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
    """Untrusted text as rich may print it: no markup, nothing that moves the cursor."""
    return Text(clean(str(words), 1000), style=style)


class Foot:
    """Lines at the bottom of a terminal on standard error, redrawn only on request; messages stay above them."""

    def __init__(self) -> None:
        self._live = Live(
            console=console(errors=True),
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def draw(self, *lines: RenderableType) -> None:
        """Replace the lines by these, each cut to the terminal's width."""
        for line in lines:
            if isinstance(line, Text):
                line.no_wrap, line.overflow = True, "ellipsis"
        if not self._live.is_started:
            self._live.start()
        room = self._live.console.width - _ECHO
        self._live.update(Constrain(Group(*lines), room), refresh=True)

    def say(self, text: str) -> None:
        """Print a line above, which stays."""
        self._live.console.print(Text(visible(text)))

    def close(self) -> None:
        """Remove the lines."""
        self._live.stop()


class _Raw:
    """A stream for rich: its text is already cleaned, and its colours must pass."""

    def __init__(self, stream: terminal.Stream) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        self._stream.control(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
