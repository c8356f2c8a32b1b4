"""The neutral pieces a section is made of. The back ends (`html`, `markdown`) only lay them out.

Every number reaches a block as text, formatted once (`isobench.layout.format`), so that all formats show the same
numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Style = Literal["plain", "strong", "code", "small", "good", "bad", "neutral", "best"]
Align = Literal["left", "right"]


@dataclass(frozen=True)
class Span:
    """Words of one style. "small" is on a line of its own if the format supports that; good, bad and neutral are
    verdicts; "best" marks the cheapest of a column."""

    text: str
    style: Style = "plain"


Text: TypeAlias = str | Span | tuple[Span, ...]


def spans(text: Text) -> tuple[Span, ...]:
    """Any text as a tuple of spans."""
    if isinstance(text, str):
        return (Span(text),)
    return (text,) if isinstance(text, Span) else text


def plain(text: Text) -> str:
    """The plain words, with the spans joined by spaces."""
    return " ".join(span.text for span in spans(text) if span.text)


@dataclass(frozen=True)
class Heading:
    kind: ClassVar[str] = "heading"
    text: str


@dataclass(frozen=True)
class Paragraph:
    kind: ClassVar[str] = "paragraph"
    text: Text


@dataclass(frozen=True)
class Items:
    """A bullet list."""

    kind: ClassVar[str] = "items"
    entries: list[Text]


@dataclass(frozen=True)
class Column:
    title: str
    align: Align = "right"


@dataclass(frozen=True)
class Cell:
    """A table cell; `shade` 1 to 5 colours it by how much more it costs than the baseline, 0 not at all."""

    text: Text
    shade: int = 0


@dataclass(frozen=True)
class Table:
    """Rows under columns. The first column names the row. `cost` is the cost that all rows describe ("startup.ready"),
    or empty. `number` and `anchor` are given by the page (`isobench.layout.places`)."""

    kind: ClassVar[str] = "table"
    caption: str
    columns: list[Column]
    rows: list[list[Cell]]
    cost: str = ""
    number: int = 0
    anchor: str = ""


class Picture:
    """One drawing as SVG, for a light and for a dark page; drawn when a format first needs it."""

    def __init__(self, draw: Callable[[], tuple[str, str]]) -> None:
        self._draw = draw

    @cached_property
    def _drawn(self) -> tuple[str, str]:
        return self._draw()

    @property
    def light(self) -> str:
        return self._drawn[0]

    @property
    def dark(self) -> str:
        return self._drawn[1]


@dataclass(frozen=True)
class Figure:
    """A drawing. `title` states the finding, `note` the unit and n, `alt` the content for those who cannot see it;
    `data` is what was drawn. `number` and `anchor` are given by the page (`isobench.layout.places`)."""

    kind: ClassVar[str] = "figure"
    title: str
    picture: Picture
    alt: str
    note: str
    data: Table
    number: int = 0
    anchor: str = ""


@dataclass(frozen=True)
class Details:
    """Blocks that are folded away until asked for."""

    kind: ClassVar[str] = "details"
    summary: str
    blocks: list[Block]


@dataclass(frozen=True)
class Banner:
    """A prominent warning."""

    kind: ClassVar[str] = "banner"
    text: Text


@dataclass(frozen=True)
class Code:
    """Preformatted text, or commands."""

    kind: ClassVar[str] = "code"
    text: str


@dataclass(frozen=True)
class Attachment:
    """A file that is embedded in the page and can be saved from it."""

    kind: ClassVar[str] = "attachment"
    name: str
    data: bytes


Block: TypeAlias = Heading | Paragraph | Items | Table | Figure | Details | Banner | Code | Attachment


def costs_shown(blocks: Sequence[Block]) -> set[str]:
    """The costs that have a table of their own among these blocks."""
    found: set[str] = set()
    for block in blocks:
        if isinstance(block, Table) and block.cost:
            found.add(block.cost)
        elif isinstance(block, Details):
            found |= costs_shown(block.blocks)
    return found


MOST_ROWS = 1000
"""The most rows of a table, for readers and browsers. Every value is in the run's folder."""


def table(caption: str, columns: Sequence[str], rows: Sequence[Sequence[Cell | Text]], left: int = 1) -> Table:
    """A table out of titles and cells; the first `left` columns are set left, the others right."""
    if len(rows) > MOST_ROWS:
        caption, rows = f"{caption} (the first {MOST_ROWS} of {len(rows)} rows)", rows[:MOST_ROWS]
    heads = [Column(title, "left" if index < left else "right") for index, title in enumerate(columns)]
    return Table(caption, heads, [[c if isinstance(c, Cell) else Cell(c) for c in row] for row in rows])
