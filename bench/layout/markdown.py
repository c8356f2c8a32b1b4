"""Blocks as GitHub Markdown, for pull requests and job summaries: under 64 kB for any run.

A figure is its title, its picture (a file beside the report, if the report is a file), its note and, folded, its
numbers. If the whole would be too long, it omits first the other folds, then the figures' numbers, then the longest
tables; each omission is noted.
"""

from __future__ import annotations

import re
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from isobench.layout import format
from isobench.layout.blocks import (
    Attachment,
    Banner,
    Code,
    Details,
    Figure,
    Heading,
    Items,
    Paragraph,
    Span,
    Table,
    spans,
)
from isobench.layout.palette import PAPER

if TYPE_CHECKING:
    from isobench.layout.blocks import Block, Text
    from isobench.layout.page import Page

LIMIT = 63_000
"""Bytes of a report; GitHub refuses a comment or a summary step above 64 KiB."""


class _Room(NamedTuple):
    """Rows of a table, rows of a folded table (0: no figure's numbers), characters of a piece of code (0: no fold
    but those of the figures)."""

    rows: int
    folded: int
    code: int
    pictures: str = ""
    """The folder of the drawings."""
    linked: bool = True
    """Whether tables have an anchor; those in a fold do not."""


_ROOMS = (
    _Room(300, 300, 6000), _Room(200, 60, 3000), _Room(200, 30, 1500), _Room(200, 15, 1000), _Room(200, 8, 600),
    _Room(200, 60, 0), _Room(200, 30, 0), _Room(200, 15, 0), _Room(200, 8, 0),
    _Room(100, 0, 0), _Room(50, 0, 0), _Room(20, 0, 0), _Room(5, 0, 0),
)  # fmt: skip
_SPECIAL = re.compile(r"[\\`*_|~#$^]|(?<=\])[(\[:]")
_LINE_START = re.compile(r"^([-+=]|\d+(?=[.)]))")
_SAFE_CODE = re.compile(r"[\w ./:=,%()-]+", re.ASCII)


def lay_out(page: Page, pictures: str = "") -> str:
    """The whole report as text of at most `LIMIT` bytes. `pictures` is the folder beside it that holds the drawings
    (`pictures_of`); without one it has none."""
    for room in _ROOMS:
        text = _page(page, room._replace(pictures=pictures))
        if len(text.encode()) <= LIMIT:
            return text
    note = "\n\n… (cut: the whole is in index.html)\n"
    return text.encode()[: LIMIT - len(note.encode())].decode(errors="ignore").rsplit("\n", 1)[0] + note


def pictures_of(page: Page) -> dict[str, bytes]:
    """The drawings by the names of their files, each on paper of its own: a reader's page may be dark."""
    figures = [block for section in page.sections for block in section.blocks if isinstance(block, Figure)]
    return {_file(figure): _on_paper(figure.picture.light).encode() for figure in figures if figure.anchor}


def _file(figure: Figure) -> str:
    return f"{figure.anchor}.svg"


def _on_paper(svg: str) -> str:
    end = svg.index(">", svg.index("<svg")) + 1
    return f'{svg[:end]}<rect width="100%" height="100%" fill="{PAPER}"/>{svg[end:]}\n'


def escape(text: str) -> str:
    """Words escaped for Markdown and HTML, on one line."""
    return _inactive(_SPECIAL.sub(lambda m: "\\" + m.group(), _as_html(text)))


def _as_html(text: str) -> str:
    """Words on one line with tags and entities escaped."""
    text = format.visible(" ".join(text.split()))
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _inactive(text: str) -> str:
    """Words with links and mentions disabled, which GitHub otherwise finds in plain text, too."""
    return text.replace("@", "&#64;&#8203;").replace("://", "&#58;//").replace("www.", "www&#46;")


def _line(text: str) -> str:
    """An escaped line that cannot begin a list or underline a heading."""
    return _LINE_START.sub(lambda m: f"&#{ord(m.group()[0])};{m.group()[1:]}", text)


def _page(page: Page, room: _Room) -> str:
    parts = [f"# {escape(page.title)}", _line(escape(page.subtitle))]
    for section in page.sections:
        parts.append(f"## {escape(section.title)}")
        parts += _blocks(section.blocks, room)
    return "\n\n".join([*parts, "---", _line(escape(page.footer))]) + "\n"


def _blocks(blocks: list[Block], room: _Room) -> list[str]:
    """Each block. Folds for which there is no room are only named, consecutive ones on one line."""
    parts: list[str] = []
    for left_out, found in groupby(blocks, lambda block: isinstance(block, Details) and not room.code):
        if left_out:
            names = [block.summary for block in found if isinstance(block, Details)]
            parts.append(_line(escape(f"In index.html: {format.listing(names, 5)}.")))
        else:
            parts += [_block(block, room) for block in found]
    return parts


def _block(block: Block, room: _Room) -> str:
    match block:
        case Heading():
            return f"### {escape(block.text)}"
        case Paragraph():
            return _line(_words(block.text))
        case Items():
            return "\n".join(f"- {_line(_words(entry))}" for entry in block.entries)
        case Banner():
            return f"> **Note:** {_words(block.text)}"
        case Code():
            return _fence(format.clip(block.text, room.code or 300))
        case Attachment():
            return f"{escape(block.name)} is attached to index.html."
        case Table():
            return f"{_line(_place('Table', block, room) + escape(block.caption))}\n\n{_table(block, room.rows)}"
        case Details():
            return _fold(block.summary, block.blocks, room)
        case Figure():
            return _figure(block, room)


def _figure(figure: Figure, room: _Room) -> str:
    text = f"{_place('Figure', figure, room)}**{escape(figure.title)}**\n\n"
    if room.pictures and figure.anchor:
        text += f"![{escape(figure.title)}]({room.pictures}/{_file(figure)})\n\n"
    text += _line(escape(figure.note))
    if not room.folded:
        return f"{text} Its numbers are in index.html."
    return f"{text}\n\n{_fold('The numbers in this figure', [figure.data], room)}"


def _place(what: str, block: Figure | Table, room: _Room) -> str:
    """The name of a figure or a table, as a link to itself unless it is folded."""
    if not block.number:
        return ""
    name = f"{what} {block.number}"
    return f'<a id="{block.anchor}" href="#{block.anchor}">{name}</a>: ' if room.linked else f"{name}: "


def _fold(summary: str, blocks: list[Block], room: _Room) -> str:
    inside = "\n\n".join(_blocks(blocks, room._replace(rows=room.folded, linked=False)))
    return f"<details><summary>{_inactive(_as_html(summary))}</summary>\n\n{inside}\n\n</details>"


def _table(table: Table, limit: int) -> str:
    head = " | ".join(escape(column.title) for column in table.columns)
    rule = " | ".join("---" if column.align == "left" else "---:" for column in table.columns)
    lines = [f"| {head} |", f"| {rule} |"]
    lines += ["| " + " | ".join(_words(cell.text) for cell in row) + " |" for row in table.rows[:limit]]
    left_out = len(table.rows) - limit
    if left_out > 0:
        lines += ["", f"… {format.count(left_out, 'more row')} in index.html"]
    return "\n".join(lines)


def _words(text: Text) -> str:
    found = [span for span in spans(text) if span.text]
    marks = [" · " if span.style == "small" and index else " " for index, span in enumerate(found)]
    return "".join(mark + _span(span) for mark, span in zip(marks, found, strict=True)).strip()


def _span(span: Span) -> str:
    words = escape(span.text)
    if span.style == "code":
        return f"`{span.text}`" if _SAFE_CODE.fullmatch(span.text) else f"<code>{words}</code>"
    if span.style in ("strong", "best", "bad"):
        return f"**{words}**" if words.strip() else words
    return words


def _fence(text: str) -> str:
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{format.visible(text)}\n{fence}"
