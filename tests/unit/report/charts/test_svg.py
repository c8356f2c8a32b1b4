"""An SVG in half the bytes is the same drawing."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from isobench.report.charts import Interval, Panel, panels
from isobench.report.charts.svg import compact

WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=20)


@given(WORDS, st.floats(-1e4, 1e4, allow_subnormal=False))
def test_words_stay_and_points_move_by_less_than_can_be_seen(words: str, x: float) -> None:
    """The text of a drawing is untouched, even where it looks like a coordinate; coordinates are good to 0.01."""
    text = ElementTree.Element("text", x=f"{x:f}", style="font-size: 8.5px; font-family: Arial; fill: #123456")
    text.text = f"{words} 0.123456 {words}"
    svg = (
        f'<svg><style>*{{}}</style>\n <g id="text_1">\n  {ElementTree.tostring(text, encoding="unicode")}\n </g></svg>'
    )
    short = ElementTree.fromstring(compact(svg))
    found = short.find("g/text")
    assert found is not None
    assert found.text == text.text
    assert abs(float(found.get("x", "")) - x) <= 0.0051
    assert "font-family:Arial" in (short.findtext("style") or "")


def test_what_is_referred_to_is_still_there() -> None:
    """Every marker and clip path that a drawing uses is in it."""
    rows = [Interval(f"e{i}", "", 1 + i, 1 + i, 2 + i, i) for i in range(9)]
    svg = panels([Panel("one", rows, "second"), Panel("two", rows, "byte")]).light
    used = set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', svg))
    assert {a or b for a, b in used} == set(re.findall(r' id="([^"]+)"', svg))
