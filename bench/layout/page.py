"""What a report is before it has a format: a title and sections of blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from isobench.layout.blocks import Block

FILES = {"html": "index.html", "md": "report.md"}
"""The formats of a report and the names of their files."""


class Part(NamedTuple):
    """One section of the page, built."""

    anchor: str
    title: str
    blocks: list[Block]
    word: str = ""
    """What the navigation calls it, where the title is long."""


class Page(NamedTuple):
    title: str
    subtitle: str
    footer: str
    sections: list[Part]
