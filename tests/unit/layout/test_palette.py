"""Marks that can be seen: contrast computed from the colours themselves."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path

import pytest

from isobench.layout import palette
from isobench.report import charts

CSS = (Path(palette.__file__).parent / "style.css").read_text(encoding="utf-8")


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2.1 defines it."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """Contrast ratio as WCAG 2.1 defines it: 1 to 21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_that_of_the_standard() -> None:
    """Black on white is 21, and the grey that everybody knows to be just enough for words is 4.5."""
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("dark", [False, True])
def test_every_mark_stands_out_from_its_card(dark: bool) -> None:
    """At least 3:1, on both pages; what is written at least 4.5:1."""
    shown = palette.DARK if dark else {colour: colour for colour in palette.DARK}
    card = shown[palette.PAPER]
    for colour in palette.CYCLE:
        assert contrast(shown[colour], card) >= 3, (shown[colour], card)
    for colour in (palette.INK, palette.FAINT):
        assert contrast(shown[colour], card) >= 4.5


def test_the_card_of_the_palette_is_the_pages() -> None:
    """The style sheet has the same card, light first."""
    assert re.findall(r"--card: (#\w+)", CSS) == [palette.PAPER, palette.DARK[palette.PAPER]]


def test_every_colour_has_a_dark_one_and_none_is_replaced_twice() -> None:
    assert set(palette.CYCLE) < set(palette.DARK)
    assert not set(palette.DARK) & set(palette.DARK.values())
    for colours in (palette.CYCLE, tuple(palette.DARK[colour] for colour in palette.CYCLE)):
        assert len(set(colours)) == len(colours) and all(a != b for a, b in combinations(colours, 2))


def test_no_mark_is_drawn_half_through() -> None:
    """A mark that lets the paper through has less contrast than its colour: no drawing has one."""
    svg = charts.points([charts.Series("a", [1, 2, 3], [1, 2, 3], 6, [1, 1, 1], [3, 3, 3])], "x", "second", lines=True)
    assert palette.CYCLE[6] in svg.light and palette.DARK[palette.CYCLE[6]] in svg.dark
    assert "opacity" not in svg.light
