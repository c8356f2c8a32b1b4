"""A number and an address for each figure and table of a page, the same in every format.

An anchor is made from what is shown (the cost, or the caption of the data), never from a finding, so that a link also
works for the next run's report. Figures and tables are numbered separately, in the order of the page; the data of a
figure do not count as a table.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from isobench.layout.blocks import Details, Figure, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from isobench.layout.blocks import Block
    from isobench.layout.page import Part

_NO_LETTER = re.compile(r"[^a-z0-9]+")
_CLAUSE = re.compile(r"[:;,(]|\. ")
"""Where the first words of a caption end."""
_LONGEST = 48
"""The most characters of an anchor after its section's."""


def placed(parts: Sequence[Part]) -> list[Part]:
    """The same parts with a unique number and anchor for each figure and table."""
    places = _Places({part.anchor for part in parts})
    return [part._replace(blocks=[places.give(block, part.anchor) for block in part.blocks]) for part in parts]


class _Places:
    """The numbers and anchors that have been assigned."""

    def __init__(self, taken: set[str]) -> None:
        self._taken = taken
        self._count: Counter[type] = Counter()

    def give(self, block: Block, section: str) -> Block:
        if isinstance(block, Details):
            return replace(block, blocks=[self.give(inner, section) for inner in block.blocks])
        if isinstance(block, Figure):
            anchor = self._address(section, block.data.caption)
            numbers = replace(block.data, anchor=self._address(section, f"{anchor} numbers"))
            return replace(block, number=self._number(Figure), anchor=anchor, data=numbers)
        if isinstance(block, Table):
            address = self._address(section, block.cost or block.caption)
            return replace(block, number=self._number(Table), anchor=address)
        return block

    def _number(self, kind: type) -> int:
        self._count[kind] += 1
        return self._count[kind]

    def _address(self, section: str, words: str) -> str:
        name = _NO_LETTER.sub("-", _CLAUSE.split(words)[0].lower()).strip("-")
        if len(name) > _LONGEST + len(section):
            name = name[:_LONGEST].rpartition("-")[0] or name[:_LONGEST]
        wanted = name if name.startswith(f"{section}-") else f"{section}-{name}".rstrip("-")
        address, again = wanted, 1
        while address in self._taken:
            again += 1
            address = f"{wanted}-{again}"
        self._taken.add(address)
        return address
