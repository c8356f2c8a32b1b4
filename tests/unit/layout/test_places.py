"""Numbers and addresses of figures and tables."""

from __future__ import annotations

import re

from isobench.layout import html, markdown
from isobench.layout.blocks import Details, Figure, Picture, Table, table
from isobench.layout.page import Page, Part
from isobench.layout.places import placed
from isobench.report.build import page_of
from tests.unit.report.made import HOSTILE, context, estimate


def figure(title: str, caption: str) -> Figure:
    """A figure of one row."""
    return Figure(
        title, Picture(lambda: ("<svg></svg>", "<svg></svg>")), "alt", "n = 1", table(caption, ["a"], [["1"]])
    )


def test_numbers_run_through_the_page_and_folds_count() -> None:
    """Figures and tables apart; the numbers beneath a figure are no table of their own."""
    first = Part("a", "A", [figure("Now 3×", "Ratios [95 %]"), table("What, where", ["x"], [["1"]])])
    second = Part(
        "b", "B", [Details("more", [table("What, where", ["x"], [["1"]])]), figure("Now 4×", "Ratios [95 %]")]
    )
    one, two = placed([first, second])
    drawn, shown = one.blocks
    assert isinstance(drawn, Figure) and isinstance(shown, Table)
    assert (drawn.number, drawn.anchor, drawn.data.anchor) == (1, "a-ratios-95", "a-ratios-95-numbers")
    assert (shown.number, shown.anchor) == (1, "a-what")
    fold, last = two.blocks
    assert isinstance(fold, Details) and isinstance(last, Figure)
    assert [(b.number, b.anchor) for b in fold.blocks if isinstance(b, Table)] == [(2, "b-what")]
    assert (last.number, last.anchor) == (2, "b-ratios-95")


def test_an_address_does_not_hang_on_what_was_found() -> None:
    """The same figures of two runs have the same addresses, whatever their titles say."""
    ratios = (2.0, 3.0)
    found = []
    for ratio in ratios:
        rows = [estimate("startup", m, n, r) for m in ("ready", "gone", "created")
                for n, r in (("process", 1.0), ("docker", ratio))]  # fmt: skip
        found.append(re.findall(r'id="([^"]+)"', html.lay_out(page_of(context(estimates=rows)))))
    assert found[0] == found[1] and len(found[0]) > 10


def test_addresses_are_the_pages_own_and_each_is_there_once() -> None:
    """Same captions are numbered; foreign words give nothing but letters, digits and hyphens."""
    captions = (HOSTILE, HOSTILE, "\u0416" * 90, "y" * 900)
    parts = placed([Part("one", "One", [table(caption, ["x"], [["1"]]) for caption in captions])])
    anchors = [block.anchor for block in parts[0].blocks if isinstance(block, Table)]
    assert len(set(anchors)) == 4 and all(re.fullmatch(r"one(-[a-z0-9]+)*", name) for name in anchors)
    assert max(map(len, anchors)) < 70


def test_both_formats_show_the_number_as_a_link() -> None:
    """What can be copied is what the reader sees."""
    parts = placed([Part("a", "A", [figure("Now 3×", "Ratios"), table("What", ["x"], [["1"]])])])
    page = Page("t", "s", "f", parts)
    web, text = html.lay_out(page), markdown.lay_out(page, "pictures")
    assert '<figure id="a-ratios">' in web and '<a class="place" href="#a-ratios">Figure 1</a>' in web
    assert '<p class="caption" id="a-what"><a class="place" href="#a-what">Table 1</a>' in web
    assert '<a id="a-ratios" href="#a-ratios">Figure 1</a>: **Now 3×**' in text
    assert "![Now 3×](pictures/a-ratios.svg)" in text
    assert "![" not in markdown.lay_out(page)
