"""What holds for every section, from runs whose numbers are known."""

from __future__ import annotations

import re

import pytest

from isobench.layout import html, markdown
from isobench.layout.blocks import Figure, Heading
from isobench.layout.page import Page, Part
from isobench.report import rules
from isobench.report.build import find_sections, page_of
from isobench.report.sections import claims, ladder, startup
from tests.unit.report.made import HOSTILE, context, estimate, overlays, with_differences, with_differences_of_none


def test_sections_come_in_the_order_of_the_report() -> None:
    """Verdict first, host last, no two with one anchor."""
    found = find_sections()
    anchors = [section.anchor for section in found]
    assert anchors[:2] == ["verdict", "trust"] and anchors[-1] == "host"
    assert len(set(anchors)) == len(anchors) == len({section.order for section in found})


def test_no_headline_names_what_tells_of_this_host() -> None:
    """Emulated and nested guests and null kernels are drawn, and named in no title with a number; nor is what cannot
    be what it seems."""
    made = with_differences(context())
    titles = [block.title for section in find_sections()
              for block in section.build(made) if isinstance(block, Figure)]  # fmt: skip
    assert len(titles) >= 8 and not any("tcg" in title and "not a finding" not in title for title in titles), titles
    rows = [estimate("io", "randread-4k", "process", 1.0), estimate("io", "randread-4k", "docker", 0.5)]
    flagged = context(estimates=[row._replace(verdict="faster") for row in rows])
    assert [row.environment for row in rules.nameable(flagged, flagged.estimates)] == ["process"]


def test_sections_without_anything_to_say_are_not_there() -> None:
    """A run of one scenario in two environments has no section of another, no ladder without a cause, no claim."""
    rows = [estimate("syscall", "getppid", name, ratio) for name, ratio in (("process", 1.0), ("docker", 1.2))]
    named = [part.anchor for part in page_of(with_differences_of_none(context(estimates=rows))).sections]
    assert named == ["verdict", "trust", "overview", "syscalls", "claims", "method", "host"]
    rows = [estimate("startup", "ready", name, ratio) for name, ratio in (("process", 1.0), ("docker", 1.2))]
    assert ladder.build(context(estimates=rows)) == []
    rows = [estimate("memory", "rss", "process", 1.0)]
    assert claims.build(with_differences_of_none(context(estimates=rows))) == []


def test_every_section_that_is_there_says_something() -> None:
    """No part of a page is empty, or only a heading."""
    for made in (with_differences(context()), context(estimates=[])):
        for part in page_of(made).sections:
            assert any(not isinstance(block, Heading) for block in part.blocks), part.anchor


@pytest.mark.parametrize("words", [HOSTILE, "x" * 10_000, "\u202e" * 50])
def test_hostile_results_are_neutral_in_every_format(words: str) -> None:
    """Nothing a result says becomes a tag, a link, or an invisible mark in HTML, SVG or Markdown."""
    made = with_differences(context(words))
    parts = [Part(s.anchor, s.title, s.build(made)) for s in find_sections()]
    page = Page(f"T{words}", f"S{words}", f"F{words}", parts)
    outside_code = re.sub(r"(?ms)^(`{3,})text\n.*?^\1$", "", markdown.lay_out(page))
    for text in (html.lay_out(page), outside_code, *_drawings(parts)):
        assert "<script" not in text and "\u202e" not in text and "\u200f" not in text and "\x1b" not in text
    assert 'href="http' not in html.lay_out(page)


def test_every_figure_has_words_and_numbers() -> None:
    """Each figure has a title with a number, an alternative text, a note with n, and data."""
    made = with_differences(context())
    figures = [b for s in find_sections()
               for b in s.build(made) if isinstance(b, Figure)]  # fmt: skip
    assert len(figures) >= 8
    for figure in figures:
        assert len(figure.picture.light) < 200_000, "a drawing that heavy has a pattern made of circles"
        assert any(c.isdigit() for c in figure.title), figure.title
        assert figure.title[:20] in figure.alt and figure.data.rows and "n = " in figure.note


def test_drawings_are_reproducible() -> None:
    """The same data give the same bytes, and the dark variant differs only in colours."""
    first, second = (html.lay_out(Page("t", "s", "f", [Part("a", "A", startup.build(context()))])) for _ in range(2))
    assert first == second


def _drawings(parts: list[Part]) -> list[str]:
    figures = [block for part in parts for block in part.blocks if isinstance(block, Figure)]
    return [text for figure in figures for text in (figure.picture.light, figure.picture.dark)]


def test_no_title_holds_an_absolute_value() -> None:
    """Seconds and bytes are of this host, and a title is what is remembered: ratios and shares only."""
    made = [context(), context(blocks=20), overlays("process", "ns-all", "docker", "docker-volume")]
    figures = [b for one in made for section in find_sections() for b in section.build(one) if isinstance(b, Figure)]
    assert len(figures) > 10
    for figure in figures:
        assert not re.search(r"\d\s?(ns|µs|ms|s|[KMG]i?B|B)\b", figure.title), figure.title
