"""A report before formatting: a title and sections of blocks."""

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
    """Its name in the navigation, if the title is long."""


class Page(NamedTuple):
    title: str
    subtitle: str
    footer: str
    sections: list[Part]
    explorer: str = ""
    """What the page's script draws block by block, in JSON (`report/explore.py`)."""
