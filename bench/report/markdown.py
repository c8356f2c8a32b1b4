"""Blocks as GitHub Markdown, for pull requests and job summaries: under 64 kB whatever the run holds.

A figure is its title, its note and, folded away, its numbers. Where the whole would be too long, tables are cut, the
longest first, and say how many rows are left out.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bench.report import format
from bench.report.blocks import Banner, Code, Details, Figure, Heading, Items, Paragraph, Span, Table, spans

if TYPE_CHECKING:
    from bench.report.blocks import Block, Text
    from bench.report.page import Page

LIMIT = 63_000
"""Bytes of a report; GitHub refuses a comment or a summary step above 64 KiB."""

_ROW_STEPS = (200, 60, 30, 15, 8, 4, 2, 1)
_CODE_STEPS = (6000, 3000, 1500, 800, 400, 200, 100, 60)
_SPECIAL = re.compile(r"[\\`*_\[\]|~#$^]")
_LINE_START = re.compile(r"^(\s*)([-+=]|\d+(?=[.)]))")
_SAFE_CODE = re.compile(r"[\w ./:=,%()-]+", re.ASCII)


def lay_out(page: Page) -> str:
    """The whole report as text of at most `LIMIT` bytes."""
    for rows, code in zip(_ROW_STEPS, _CODE_STEPS, strict=True):
        text = _page(page, rows, code)
        if len(text.encode()) <= LIMIT:
            return text
    note = "\n\n… (cut: the whole is in index.html)\n"
    return text.encode()[: LIMIT - len(note.encode())].decode(errors="ignore").rsplit("\n", 1)[0] + note


def escape(text: str) -> str:
    """Words that Markdown and HTML take for nothing but words, on one line."""
    text = format.visible(" ".join(text.split()))
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = _SPECIAL.sub(lambda m: "\\" + m.group(), text)
    text = text.replace("@", "&#64;").replace("://", "&#58;//").replace("www.", "www&#46;")
    return _LINE_START.sub(lambda m: f"{m.group(1)}&#{ord(m.group(2)[0])};{m.group(2)[1:]}", text)


def _page(page: Page, rows: int, code: int) -> str:
    parts = [f"# {escape(page.title)}", escape(page.subtitle)]
    for section in page.sections:
        parts.append(f"## {escape(section.title)}")
        parts += [_block(block, rows, code) for block in section.blocks]
    return "\n\n".join([*parts, "---", escape(page.footer)]) + "\n"


def _block(block: Block, rows: int, code: int) -> str:
    match block:
        case Heading():
            return f"### {escape(block.text)}"
        case Paragraph():
            return _words(block.text)
        case Items():
            return "\n".join(f"- {_words(entry)}" for entry in block.entries)
        case Banner():
            return f"> **Note:** {_words(block.text)}"
        case Code():
            return _fence(format.clip(block.text, code))
        case Table():
            return f"{escape(block.caption)}\n\n{_table(block, rows)}"
        case Details():
            inside = "\n\n".join(_block(b, rows, code) for b in block.blocks)
            return _fold(block.summary, inside)
        case Figure():
            folded = _fold("The numbers in this figure", f"{escape(block.data.caption)}\n\n{_table(block.data, rows)}")
            return f"**{escape(block.title)}**\n\n{escape(block.note)}\n\n{folded}"


def _fold(summary: str, inside: str) -> str:
    return f"<details><summary>{escape(summary)}</summary>\n\n{inside}\n\n</details>"


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
    return " ".join(_span(span) for span in spans(text) if span.text)


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
