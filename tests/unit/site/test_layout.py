"""Whatever results say, it is words on a page: no element, no attribute, no address."""

from __future__ import annotations

import math
import re
from hashlib import sha256
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from isobench.layout import format
from isobench.nights.history import Night, Point
from isobench.site import changes, cost, costs, host, index, layout, summary
from isobench.site.machine import examine
from tests.unit.analysis.made import night
from tests.unit.report.made import HOSTILE
from tests.unit.site.made import STEP, Page

WORDS = st.one_of(
    st.text(min_size=1, max_size=40),
    st.sampled_from([HOSTILE, "</script>", "{{ 7 * 7 }}", "'\"><svg onload=x>", "&lt;"]),
)


def rendered(words: str, problem: str) -> list[Page]:
    """The four kinds of page of a machine that has these words wherever a history has text."""
    nights = []
    name = words.replace("/", "")  # which no name has
    for number in range(STEP + 6):
        level = 1.5 if number >= STEP else 1.0
        facts = {"cpu": f"CPU {words}", "kernel": f"{number // STEP} {words}"}
        points = [
            Point("a", f"b{name}", f"process{name}", 0.1, math.nan),
            Point("a", f"b{name}", f"docker{name}", 0.2, level * (1 + 0.001 * (number % 3))),
        ]
        baseline, path = f"process{name}", f"host{words}/{number}"
        nights.append(Night(path, words, f"host{words}", night(number), baseline, facts, points, words, words, 9, 8))
    machine = examine(Path("nowhere"), nights, None, [""] * len(nights), [problem])
    assert machine.alerts
    rows = changes.rows(machine.alerts, "")
    (metric,) = machine.courses
    texts = [
        index.render([summary.of(machine)], [problem]),
        costs.render([summary.of(machine)]),
        host.render(machine, rows),
        cost.render(machine, metric, rows),
    ]
    return [Page(text) for text in texts]


PLAIN = rendered("x", "host/1: damaged")


@settings(max_examples=60)
@given(WORDS, WORDS)
def test_any_words_make_the_same_page(words: str, problem: str) -> None:
    """The same elements and attributes as plain words, and only addresses of the site's own."""
    for page, plain in zip(rendered(words, problem), PLAIN, strict=True):
        assert page.tags == plain.tags and page.attributes == plain.attributes
        assert len(page.links) == len(plain.links) and len(page.ids) == len(plain.ids)
        assert not any(":" in link for link in page.links)
        assert format.visible(page.words) == page.words


def test_the_script_and_the_style_need_nothing_else() -> None:
    """None names another address, but for a name space and, in a comment, where uPlot is from; the style knows both
    colours of a dot."""
    found = layout.files()
    assert found.keys() == {layout.STYLE, layout.SCRIPT, layout.CHARTS_STYLE, layout.CHARTS_SCRIPT}
    for text in found.values():
        assert "url(" not in text and "@import" not in text and "import(" not in text
        for known in ("http://www.w3.org/2000/svg", "/*! https://github.com/leeoniya/uPlot"):
            text = text.replace(known, "")
        assert "http" not in text
    assert found[layout.STYLE].count("--dots:") == 2


def test_the_library_is_the_one_that_its_note_names() -> None:
    """Version and digests are those of the note; every copy has the licence."""
    folder = Path(layout.__file__).parent / "uplot"
    note = (folder / "README.md").read_text()
    for file in folder.iterdir():
        assert file.name == "README.md" or f"| `{file.name}` | `{sha256(file.read_bytes()).hexdigest()}` |" in note
    (version,) = re.findall(r"uPlot (\d+\.\d+\.\d+),", note)
    assert f"(v{version})" in (folder / "uPlot.iife.min.js").read_text()
    for name in (layout.CHARTS_STYLE, layout.CHARTS_SCRIPT):
        assert (folder / "LICENSE").read_text() in layout.files()[name]
