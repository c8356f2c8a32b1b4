"""Blocks as Markdown: nothing foreign is obeyed, and the whole stays under 64 kB."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isobench.layout import format, markdown
from isobench.layout.blocks import Banner, Block, Code, Details, Heading, Items, Paragraph, Span, table
from isobench.layout.page import Page, Part
from tests.unit.report.made import HOSTILE


def page(*blocks: object) -> Page:
    """A page of one section."""
    return Page("Title", "subtitle", "footer", [Part("one", "One", list(blocks))])  # type: ignore[arg-type]


def test_hostile_words_are_only_words() -> None:
    """No tag, link, code, table bar, heading or mention comes through."""
    text = markdown.escape(HOSTILE + " @someone #1 www.evil.example")
    assert "<" not in text and "\n" not in text and "\u202e" not in text and "@" not in text
    assert "://" not in text and "www." not in text
    assert not re.search(r"(?<![\\&])[|`*#~]", text) and "](" not in text


@given(st.text(max_size=200))
def test_a_table_row_keeps_its_columns(words: str) -> None:
    """Whatever a cell holds, its row has as many columns as the head."""
    text = markdown.lay_out(page(table("caption", ["a", "b"], [[words, (Span(words, "code"),)]])))
    row = text.split("| --- | ---: |\n")[1].split("\n\n")[0]
    assert len(re.findall(r"(?<!\\)\|", row.replace("\\\\", ""))) == 3


@given(st.text(alphabet="`~ab\n", max_size=60))
def test_code_cannot_leave_its_fence(words: str) -> None:
    """The fence is longer than any run of backticks inside it."""
    lines = markdown.lay_out(page(Code(words))).split("\n")
    fence = next(line for line in lines if line.startswith("```"))
    width = len(fence) - len(fence.lstrip("`"))
    closing = [line for line in lines if re.fullmatch(f"`{{{width},}}", line)]
    assert len(closing) == 1


def test_a_line_cannot_begin_a_list_or_a_heading() -> None:
    """Words that begin a paragraph with a list or heading mark lose its meaning."""
    for words in ("- a", "+ a", "1. a", "# a", "> a", "=== a"):
        first = markdown.lay_out(page(Paragraph(words))).split("## One\n\n")[1]
        assert not re.match(r"[-+=>#]|\d+[.)]", first)


def test_a_huge_report_stays_under_the_limit_and_says_what_is_missing() -> None:
    """Tables are cut before the report gets too long for a job summary, and the rest is counted."""
    rows = [[f"row {i}", "x" * 200] for i in range(5000)]
    text = markdown.lay_out(page(*[table("many", ["a", "b"], rows) for _ in range(10)]))
    assert len(text.encode()) < 64_000
    assert re.search(r"… \d+ more rows in index.html", text)


def test_even_words_alone_stay_under_the_limit() -> None:
    """Where cutting tables does not help, the report ends early and says so."""
    text = markdown.lay_out(page(*[Paragraph("ü" * 1000) for _ in range(200)]))
    assert len(text.encode()) < 64_000
    assert "the whole is in index.html" in text


def test_every_block_has_a_form() -> None:
    """Headings, banners and folds come out as Markdown."""
    text = markdown.lay_out(page(Heading("Head"), Banner("Careful"), Details("More", [Paragraph("inside")])))
    assert "### Head" in text and "> **Note:** Careful" in text and "<summary>More</summary>\n\ninside" in text


ATTACKS = (
    "![x](http://evil.example/x.png)", "![x][r]", "[r]: javascript:alert(1)", "[a][r] [r]", "[a](javascript:alert(1))",
    "<http://evil.example>", "<!-- hidden", "--> <img src=x onerror=alert(1)>", "]]> <![CDATA[", "<?php ?>",
    "</details></summary><script>alert(1)</script>", "&lt;script&gt;", "&#60;b&#62;", "\\<b>",
    "a\n\n# b\n\n- c\n\n    code",
    "`` ` ``", "```\nfence", "~~~", "a | b | c", "\\| x", "$$x$$", "~~s~~", "_e_ *e* **s**", "[^1]: note", "- [ ] task",
    "===", "---", "user@evil.example", "@someone", "https://evil.example",
    "www.evil.example", "\u202e\u2066\u200b\x00\x1b",
)  # fmt: skip
"""What a result may be called by someone who means harm."""

HARMLESS = {
    *("h1", "h2", "h3", "p", "strong", "code", "pre", "ul", "li", "hr", "blockquote", "details", "summary"),
    *("table", "thead", "tbody", "tr", "th", "td"),
}
"""All that a report is made of."""


def rendered(text: str) -> str:
    """The page that a Markdown processor makes of it, with tables and with tags let through."""
    from markdown_it import MarkdownIt

    return str(MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(text))


@pytest.mark.parametrize("words", ATTACKS)
def test_no_attack_becomes_an_element(words: str) -> None:
    """In every kind of block, the words come out of a Markdown processor as words, and nothing else does."""
    blocks: list[Block] = [
        Heading(words),
        Paragraph(words),
        Paragraph((Span(words, "strong"), Span(words, "small"), Span(words, "code"), Span(words, "best"))),
        Items([words, (Span(words, "bad"),)]),
        Banner(words),
        table(words, [words, "b"], [[words, (Span(words, "code"), Span(words, "strong"))]]),
        Details(words, [Paragraph(words), Code(words)]),
        Code(words),
    ]
    page_of = Page(words, words, words, [Part("one", words, blocks)])
    text = rendered(markdown.lay_out(page_of))
    tags = set(re.findall(r"<[/!?]?([a-zA-Z0-9-]*)", text))
    assert tags <= HARMLESS, (tags - HARMLESS, text)
    assert not re.search(r"<[a-z][^>]* (href|src|on\w+)=|<!--|<s>", text)
    assert text.count("<table>") == 1 and text.count("<details>") == text.count("</details>") == 1
    assert text.count("<h2>") == 1 and text.count("<li>") == 2 and text.count("<pre>") == 2
    said = html.unescape(re.sub(r"<[^>]*>", "", text)).replace("\u200b", "")
    shown = format.visible(" ".join(words.split()))
    assert said.count(shown.replace("\u200b", "")) >= 10


def test_a_fold_is_named_without_backslashes() -> None:
    """What stands inside a tag is HTML, where a backslash would be shown."""
    assert "<summary>a_b | *c*</summary>" in markdown.lay_out(page(Details("a_b | *c*", [Paragraph("x")])))
