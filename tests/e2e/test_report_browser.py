"""The report in a real browser: wide and narrow, light and dark, printed, read aloud, and fed with hostile results."""

from __future__ import annotations

import base64
import gzip
import json
from typing import TYPE_CHECKING, Any

import pytest

from isobench.layout import format
from isobench.report.build import make_context, render
from tests.unit.report.made import HOSTILE, write_run

if TYPE_CHECKING:
    from pathlib import Path

    from selenium.webdriver import Chrome

pytestmark = pytest.mark.browser

WIDTHS = (1280, 390)
SCHEMES = ("light", "dark")
PAPER = 718
"""CSS pixels between the margins of an A4 page."""

# Elements that reach beyond the right edge and are not inside a box that scrolls by itself.
OVERFLOWING = """
const wide = document.documentElement.clientWidth + 1;
return [...document.querySelectorAll('body *')]
  .filter(e => !e.closest('.scroll, .drawing, pre') || e.matches('.scroll, .drawing, pre'))
  .filter(e => e.getBoundingClientRect().right > wide && e.getBoundingClientRect().width > 0)
  .map(e => e.tagName + '.' + e.className + ': ' + e.textContent.slice(0, 80));
"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The report of an ordinary run, and of one whose every free text is hostile or very long."""
    made = {}
    for name, words in (("ordinary", ""), ("hostile", HOSTILE), ("long", " " + "x" * 10_000)):
        folder = tmp_path_factory.mktemp(name)
        made[name] = render(write_run(folder / "results", words, blocks=8), folder / "out")["html"]
    return made


def show(browser: Chrome, page: Path, width: int, scheme: str = "light", media: str = "") -> None:
    """Open a page in a window of this width, with every fold open."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})
    for log in ("browser", "performance"):
        browser.get_log(log)  # type: ignore[no-untyped-call]
    browser.get(page.as_uri())


def open_folds(browser: Chrome) -> None:
    """Unfold everything that is folded."""
    browser.execute_script("document.querySelectorAll('details').forEach(d => d.open = true)")


@pytest.mark.parametrize("name", ["ordinary", "hostile", "long"])
@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_overflows(browser: Chrome, pages: dict[str, Path], name: str, width: int) -> None:
    """The page is as wide as the window, folded and unfolded; what is wider scrolls inside its own box."""
    show(browser, pages[name], width)
    for _ in ("folded", "unfolded"):
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        assert browser.execute_script(OVERFLOWING) == []
        open_folds(browser)


@pytest.mark.parametrize("name", ["ordinary", "hostile"])
def test_the_console_is_silent_and_nothing_leaves_the_page(browser: Chrome, pages: dict[str, Path], name: str) -> None:
    """No error, no warning, and no request but for the page itself and the data inside it."""
    for scheme in SCHEMES:
        show(browser, pages[name], 1280, scheme)
        open_folds(browser)
        assert browser.get_log("browser") == []  # type: ignore[no-untyped-call]
        log = browser.get_log("performance")  # type: ignore[no-untyped-call]
        messages = [json.loads(entry["message"])["message"] for entry in log]
        asked = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
        assert [url for url in asked if not url.startswith("data:")] == [pages[name].as_uri()]


def test_every_figure_is_drawn_and_has_words(browser: Chrome, pages: dict[str, Path]) -> None:
    """Each drawing decodes, has an alternative text of its own, and its numbers beneath."""
    for scheme in SCHEMES:
        show(browser, pages["ordinary"], 1280, scheme)
        figures = browser.execute_script(
            "return [...document.querySelectorAll('figure')].map(f => ({alt: f.querySelector('img').alt,"
            " drawn: f.querySelector('img').naturalWidth, rows: f.querySelectorAll('details tbody tr').length}))"
        )
        assert len(figures) >= 8
        assert all(f["drawn"] > 100 and len(f["alt"]) > 40 and f["rows"] > 0 for f in figures)
        assert len({f["alt"] for f in figures}) == len(figures)


def test_dark_pages_have_dark_figures(browser: Chrome, pages: dict[str, Path]) -> None:
    """A reader who prefers dark gets the dark drawing, and print the light one."""
    source = "return document.querySelector('figure img').currentSrc"
    show(browser, pages["ordinary"], 1280)
    light = browser.execute_script(source)
    show(browser, pages["ordinary"], 1280, "dark")
    dark = browser.execute_script(source)
    show(browser, pages["ordinary"], 1280, "dark", media="print")
    assert light != dark and browser.execute_script(source) == light


def test_every_link_leads_somewhere(browser: Chrome, pages: dict[str, Path]) -> None:
    """All links stay on the page and have a target; the contents name every section; the run's files are inside."""
    show(browser, pages["ordinary"], 1280)
    links = browser.execute_script("return [...document.querySelectorAll('a')].map(a => a.getAttribute('href'))")
    targets = browser.execute_script("return [...document.querySelectorAll('[id]')].map(e => '#' + e.id)")
    inside = [link for link in links if link.startswith("#")]
    assert inside and set(inside) <= set(targets)
    contents = "return [...document.querySelectorAll('nav a')].map(a => a.getAttribute('href'))"
    named = browser.execute_script("return [...document.querySelectorAll('section')].map(s => '#' + s.id)")
    assert browser.execute_script(contents) == named
    files = [gzip.decompress(base64.b64decode(link.partition("base64,")[2])) for link in links if link not in inside]
    run = next((pages["ordinary"].parents[1] / "results").glob("*/*"))
    assert files == [(run / name).read_bytes() for name in ("suite.json", "session.json")]


def test_every_figure_and_table_has_a_link_of_its_own(browser: Chrome, pages: dict[str, Path]) -> None:
    """Seen, with a number, leading to itself; no two elements of the page have one address."""
    show(browser, pages["ordinary"], 1280)
    open_folds(browser)
    places = browser.execute_script(
        "return [...document.querySelectorAll('figure, .caption')].map(e => {const a = e.querySelector('a.place');"
        " return [e.id, a && a.getAttribute('href'), a && a.innerText, a && a.getBoundingClientRect().width > 20]})"
    )
    assert len(places) > 30
    assert all(
        name and link == f"#{name}" and words[-1] in "0123456789s" and seen for name, link, words, seen in places
    )
    ids = browser.execute_script("return [...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("width", WIDTHS)
def test_the_contents_stay_in_sight_and_hide_nothing(browser: Chrome, pages: dict[str, Path], width: int) -> None:
    """However far the page is scrolled, they are one line at its top; what a link leads to lies beneath them."""
    show(browser, pages["ordinary"], width)
    browser.execute_script("document.documentElement.style.scrollBehavior = 'auto'")
    edges = "const n = document.querySelector('nav').getBoundingClientRect(); return [n.top, n.bottom]"
    for name in browser.execute_script("return [...document.querySelectorAll('figure, section')].map(e => e.id)"):
        browser.execute_script("location.hash = arguments[0]", name)
        top, bottom = browser.execute_script(edges)
        begins = browser.execute_script(
            "return document.getElementById(arguments[0]).getBoundingClientRect().top", name
        )
        assert begins >= bottom - 1, name
    assert abs(top) <= 1 and bottom - top < 60


@pytest.mark.parametrize("width", WIDTHS)
def test_the_first_screen_warns_and_decides(browser: Chrome, pages: dict[str, Path], width: int) -> None:
    """Without scrolling: what has to be known first, and the first decision."""
    show(browser, pages["ordinary"], width)
    height = browser.execute_script("return window.innerHeight")
    bottoms = "return [...document.querySelectorAll(arguments[0])].map(e => e.getBoundingClientRect().bottom)"
    (banner,) = browser.execute_script(bottoms, "#verdict .banner")
    decided = browser.execute_script(bottoms, "#verdict li")
    assert banner < decided[0] < height and len(decided) >= 5


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_axe_finds_no_serious_violation(browser: Chrome, pages: dict[str, Path], width: int, scheme: str) -> None:
    """Contrast, names, roles and keyboard access hold, folded and unfolded."""
    from axe_core_python.selenium import Axe

    for name in ("ordinary", "hostile"):
        show(browser, pages[name], width, scheme)
        for _ in ("folded", "unfolded"):
            found: dict[str, Any] = Axe().run(browser)
            serious = [v for v in found["violations"] if v["impact"] in ("serious", "critical")]
            assert [(v["id"], [node["html"][:120] for node in v["nodes"][:3]]) for v in serious] == []
            assert len(found["passes"]) > 10
            open_folds(browser)


def drawn(browser: Chrome, what: str) -> int:
    """How many of these the drawing of single blocks has."""
    return len(browser.find_elements("css selector", f"#explore svg {what}"))


def told(browser: Chrome) -> str:
    return browser.find_element("css selector", "#explore .readout").text


def test_one_cost_block_by_block(browser: Chrome, pages: dict[str, Path]) -> None:
    """A cost, some environments, either axis, with or without single blocks, each value told;
    whoever opens the address sees the same."""
    from selenium.webdriver import Keys
    from selenium.webdriver.support.ui import Select

    run = next((pages["ordinary"].parents[1] / "results").glob("*/*"))
    context = make_context(run)
    blocks, values = context.values("startup", "gone", "docker")
    show(browser, pages["ordinary"], 1280)
    assert drawn(browser, ".level") == len(context.order) > 6
    Select(browser.find_element("css selector", "#explore select")).select_by_visible_text("startup.gone")
    browser.find_element("css selector", "#explore input").send_keys("docker kvm")
    assert browser.find_element("css selector", "#explore .count").text.startswith("1 of ")
    figure = browser.find_element("css selector", "#explore .drawing")
    figure.send_keys(Keys.ARROW_DOWN)
    estimate = context.find("startup", "gone", "docker")
    assert estimate is not None and f"median {format.quantity(estimate.median, 'second')}" in told(browser)
    figure.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert f"block {blocks[1]}: {format.quantity(values[1], 'second')}, " in told(browser)
    assert told(browser).endswith("× process in that block")
    dots = "return document.querySelector('#explore svg .dots').getAttribute('d')"
    assert browser.execute_script(dots).count("M") == len(blocks)
    ticks = "return [...document.querySelectorAll('#explore svg .date')].map(e => e.textContent)"
    before = browser.execute_script(ticks)
    for name in ("linear", "all"):
        button = f"#explore button[data-{'axis' if name == 'linear' else 'blocks'}={name}]"
        browser.find_element("css selector", button).send_keys(Keys.ENTER)
    assert browser.execute_script(dots) == ""
    after = browser.execute_script(ticks)
    assert after != before and len(after) >= 3
    address = browser.current_url
    assert "explore.cost=startup.gone" in address and "explore.q=docker+kvm" in address
    browser.get("about:blank")
    browser.get(address)
    assert browser.execute_script(ticks) == after and drawn(browser, ".level") == 1
    pressed = "return [...document.querySelectorAll('#explore button')].map(b => b.ariaPressed)"
    assert browser.execute_script(pressed) == ["false", "true", "false"]
    browser.find_element("css selector", "#explore input").send_keys(" nothing-has-this")
    assert drawn(browser, ".level") == 1  # any word is enough
    browser.find_element("css selector", "#explore input").clear()
    browser.find_element("css selector", "#explore input").send_keys("nothing-has-this")
    assert drawn(browser, "*") == 0 and told(browser) == "No environment has these words."


def test_the_pointer_tells_a_block(browser: Chrome, pages: dict[str, Path]) -> None:
    """That whose dot is beneath it, and a stroke shows which."""
    show(browser, pages["ordinary"], 1280)
    place = r"""
    const svg = document.querySelector('#explore svg'), box = svg.getBoundingClientRect();
    const [, x, y] = /M([\d.]+) ([\d.]+)h0$/.exec(svg.querySelectorAll('.dots')[arguments[0]].getAttribute('d'));
    const at = {clientX: box.left + x * box.width / 920, clientY: box.top + y * box.width / 920, bubbles: true};
    svg.dispatchEvent(new PointerEvent('pointermove', at));
    """
    browser.execute_script(place, 1)
    (path,) = (pages["ordinary"].parents[1] / "results").glob("*/*")
    blocks, values = make_context(path).values("startup", "ready", "chroot")
    assert f", block {blocks[-1]}: {format.quantity(values[-1], 'second')}" in told(browser)
    assert drawn(browser, ".cursor") == 1


def test_a_page_is_complete_without_scripts(browser: Chrome, pages: dict[str, Path]) -> None:
    """What only a script could fill is not there; all else is."""
    show(browser, pages["ordinary"], 1280)
    counts = "return ['figure img', 'table', 'nav li'].map(s => document.querySelectorAll(s).length)"
    before = browser.execute_script(counts)
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get(pages["ordinary"].as_uri())
        root = browser.execute_cdp_cmd("DOM.getDocument", {})["root"]["nodeId"]

        def count(selector: str) -> int:
            found = browser.execute_cdp_cmd("DOM.querySelectorAll", {"nodeId": root, "selector": selector})
            return len(found["nodeIds"])

        assert [count(what) for what in ("figure img", "table", "nav li")] == before
        assert count("#explore[hidden]") == count("nav li[hidden] a[href='#explore']") == 1
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_the_page_prints_without_losing_its_edges(browser: Chrome, pages: dict[str, Path]) -> None:
    """On A4 nothing reaches beyond the paper, and the PDF comes out."""
    show(browser, pages["ordinary"], PAPER, media="print")
    cut = (
        "return [...document.querySelectorAll('table, img, pre')].filter(e => e.getBoundingClientRect().width > 0 &&"
        f" e.getBoundingClientRect().right > {PAPER} + 1).map(e => e.textContent.slice(0, 60))"
    )
    assert browser.execute_script(cut) == []
    printed = browser.execute_cdp_cmd("Page.printToPDF", {"paperWidth": 8.27, "paperHeight": 11.69})
    assert base64.b64decode(printed["data"]).startswith(b"%PDF-")


def test_hostile_results_do_nothing(browser: Chrome, pages: dict[str, Path]) -> None:
    """No script runs, no element is injected, and the words stand there to be read."""
    show(browser, pages["hostile"], 1280)
    open_folds(browser)
    assert browser.execute_script("return document.scripts.length") == 1  # the page's own
    assert browser.execute_script("return document.querySelectorAll('[href^=\"http\"], b, [onerror]').length") == 0
    text = browser.execute_script("return document.body.innerText")
    assert "<script>alert(1)</script>" in text and "\u202e" not in text
