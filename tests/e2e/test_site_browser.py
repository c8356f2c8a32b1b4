"""The site in a real browser: sorted, filtered, linked to, by keyboard, wide and narrow, light and dark, unscripted."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.test_report_browser import OVERFLOWING, SCHEMES, WIDTHS, show
from tests.unit.analysis.made import night
from tests.unit.report.made import HOSTILE
from tests.unit.site.made import STEP, add_nights, change, made

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

pytestmark = pytest.mark.browser

NIGHTS, LONG = STEP + 10, 60
SHOWN = """
const rows = document.querySelectorAll(`[data-name=${arguments[0]}] tbody tr:not([hidden])`);
return [...rows].map(row => row.cells[arguments[1]].innerText);
"""
COUNTS = """
return ['tbody tr', 'figure svg .level', 'input', 'thead button'].map(s => document.querySelectorAll(s).length);
"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The site of two hosts, one of which has hostile words wherever a record has free text."""
    folder = tmp_path_factory.mktemp("site")
    for host in ("calm", "hostile"):
        add_nights(folder / "results", NIGHTS, host)
    for run in (folder / "results/hostile").iterdir():
        change(run, label=HOSTILE, profile=HOSTILE, fingerprint={"cpu": HOSTILE, "kernel": HOSTILE})
    (folder / "results/calm/20200101T000000Z").mkdir()
    (folder / "results/calm/20200101T000000Z/session.json").write_text("{")
    site = made(folder).page.parent
    calm, hostile = (next((site / "hosts").glob(f"{name}~*")) for name in ("calm", "hostile"))
    return {
        "index": site / "index.html",
        "costs": site / "costs.html",
        "host": calm / "index.html",
        "cost": calm / "startup.m0.html",
        "compare": calm / "compare.html",
        "hostile compare": hostile / "compare.html",
        "hostile host": hostile / "index.html",
        "hostile cost": hostile / "startup.m0.html",
    }


@pytest.fixture(scope="module")
def long_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a cost with many nights."""
    folder = tmp_path_factory.mktemp("long")
    add_nights(folder / "results", LONG)
    return next((made(folder).page.parent / "hosts").glob("*/startup.m0.html"))


def go(browser: Chrome, page: Path, state: str) -> None:
    """Open a page as a link to this state of it."""
    browser.get("about:blank")
    browser.get(f"{page.as_uri()}#{state}")


def test_a_table_sorts_and_filters_and_the_address_says_so(browser: Chrome, pages: dict[str, Path]) -> None:
    """By number where there are numbers, once more for the other way; whoever opens the address sees the same."""
    show(browser, pages["host"], 1280)
    everything = browser.execute_script(SHOWN, "costs-table", 1)
    head = browser.find_element("css selector", "[data-name=costs-table] thead th:nth-child(3) button")
    head.click()
    head.click()
    field = browser.find_element("css selector", "#costs input[type=search]")
    field.send_keys("m1 chroot")
    assert browser.execute_script(SHOWN, "costs-table", 1) == ["chroot"]
    field.clear()
    field.send_keys("startup.m1")
    shown = browser.execute_script(SHOWN, "costs-table", 2)
    assert len(shown) == len(everything) / 2
    address = browser.current_url
    assert "costs-table.sort=-3" in address and "costs-table.q=startup.m1" in address
    go(browser, pages["host"], address.partition("#")[2])
    assert browser.execute_script(SHOWN, "costs-table", 2) == shown
    assert browser.execute_script("return document.querySelector('#costs output').innerText") == "3 of 6 rows"
    sorted_by = "return document.querySelector('[aria-sort]').ariaSort"
    assert browser.execute_script(sorted_by) == "descending"


@pytest.mark.parametrize(
    ("values", "rising"),
    [
        (["1.5 ms", "900 µs", "2 s", "", "3 ns"], ["3 ns", "900 µs", "1.5 ms", "2 s", ""]),
        (["1.10× [1, 2]", "0.9× [0, 1]", "11× [2, 3]"], ["0.9× [0, 1]", "1.10× [1, 2]", "11× [2, 3]"]),
        (["+5.0 %", "−3.0 %", "3×", "+150 %"], ["−3.0 %", "+5.0 %", "+150 %", "3×"]),
        (["2026-01-10", "2025-12-31", "2026-01-09"], ["2025-12-31", "2026-01-09", "2026-01-10"]),
        (["1.5 GiB", "900 MiB", "2 B"], ["2 B", "900 MiB", "1.5 GiB"]),
    ],
)
def test_it_sorts_by_what_is_meant(
    browser: Chrome, pages: dict[str, Path], values: list[str], rising: list[str]
) -> None:
    """Units, signs, intervals and dates; what is missing comes last, either way."""
    show(browser, pages["index"], 1280)
    made_of = "const t = document.createElement('table'); t.className = 'rich'; t.dataset.name = 'x';"
    made_of += " t.innerHTML = '<thead><tr><th>head</thead><tbody></tbody>';"
    made_of += " for (const v of arguments[0]) t.tBodies[0].insertRow().insertCell().textContent = v;"
    made_of += " document.body.append(t); window.one = new Rich(t); one.sort(1); const up = one.rows.length &&"
    made_of += " [...t.tBodies[0].rows].map(r => r.textContent); one.sort(-1);"
    made_of += " return [up, [...t.tBodies[0].rows].map(r => r.textContent)]"
    up, down = browser.execute_script(made_of, values)
    full = [value for value in rising if value]
    assert up == rising and down == full[::-1] + [""] * (len(rising) - len(full))


TABLE = """
const rows = document.querySelectorAll('[data-name=compare-table] tbody tr');
return [...rows].map(row => [...row.cells].map(cell => cell.textContent.trim()));
"""
SETTLED = """
return document.querySelectorAll('#compare select').length == 2
  && document.querySelector('.command').textContent == arguments[0];
"""


def settled(browser: Chrome, command: str) -> None:
    """Wait until the two runs that this command compares are shown."""
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, 300).until(lambda one: one.execute_script(SETTLED, command))


def numbers(cells: list[str]) -> list[float]:
    return [float(number) for cell in cells[2:] for number in re.findall(r"\d+(?:\.\d+)?", cell)]


def test_any_two_runs_can_be_put_side_by_side(browser: Chrome, long_page: Path) -> None:
    """By two fields and by an address; what the script makes of two runs is what the page of these two says."""
    from selenium.webdriver.support.ui import Select

    page, static = (long_page.with_name(name) for name in ("compare.html", f"compare-{plain(LONG - 5)}.html"))
    last, chosen = (command_of(one) for one in ((LONG - 2, LONG - 1), (LONG - 6, LONG - 5)))
    show(browser, static, 1280)
    settled(browser, chosen)
    wanted = browser.execute_script(TABLE)
    show(browser, page, 1280)
    settled(browser, last)
    usual = browser.execute_script(TABLE)
    for field, number in zip(
        browser.find_elements("css selector", "#compare select"), (LONG - 6, LONG - 5), strict=True
    ):
        Select(field).select_by_value(night(number))
    settled(browser, chosen)
    address, made_by_script = browser.current_url, browser.execute_script(TABLE)
    assert [row[:2] for row in made_by_script] == [row[:2] for row in wanted] and made_by_script != usual
    for ours, theirs in zip(made_by_script, wanted, strict=True):
        assert numbers(ours) == pytest.approx(numbers(theirs), rel=0.011)  # the last of three digits
        assert re.sub(r"[\d.]+", "", " ".join(ours)) == re.sub(r"[\d.]+", "", " ".join(theirs))
    go(browser, page, address.partition("#")[2])
    settled(browser, chosen)
    assert browser.execute_script(TABLE) == made_by_script
    browser.execute_script("location.hash = ''")
    settled(browser, last)
    assert browser.get_log("browser") == []  # type: ignore[no-untyped-call]


def plain(number: int) -> str:
    """The time of a night in the name of a page."""
    return "".join(filter(str.isalnum, night(number))).lower()


def command_of(pair: tuple[int, int]) -> str:
    stamps = (night(number).replace("-", "").replace(":", "") for number in pair)
    return f"isobench compare {' '.join(f'results/one/{stamp}' for stamp in stamps)}"


def test_an_old_run_is_compared_with_the_one_before(browser: Chrome, long_page: Path) -> None:
    """It has no page of its own: the script links to the one that can show it, over a change of the kernel."""
    show(browser, long_page.with_name("index.html"), 1280)
    rows = browser.find_elements("css selector", "[data-name=runs-table] tbody tr")
    assert len(rows) == LONG
    assert rows[-1].find_elements("link text", "compare") == []
    rows[LONG - 1 - STEP].find_element("link text", "compare").click()
    settled(browser, command_of((STEP - 1, STEP)))
    assert browser.find_element("css selector", ".facts").text == "What changed on the host: kernel: 6.1 → 6.2."
    (docker,) = [row for row in browser.execute_script(TABLE) if row[:2] == ["startup.m0", "docker"]]
    assert float(docker[4].removesuffix("×")) == pytest.approx(1.3, rel=0.1)


def test_a_run_that_is_gone_is_said(browser: Chrome, long_page: Path) -> None:
    """An address outlives a run: the page shows the newest two, and says so."""
    page = long_page.with_name("compare.html")
    go(browser, page, "compare.before=2001-01-01&compare.after=2001-01-02")
    settled(browser, command_of((LONG - 2, LONG - 1)))
    assert "is not there any more" in browser.find_element("css selector", ".said").text


@pytest.mark.parametrize(
    "name", ["index", "costs", "host", "cost", "compare", "hostile host", "hostile cost", "hostile compare"]
)
def test_pages_fit_are_silent_and_accessible(browser: Chrome, pages: dict[str, Path], name: str) -> None:
    """On a desk and on a phone, light and dark: nothing overflows, nothing is logged, nothing leaves the site, and axe
    finds no serious violation."""
    from axe_core_python.selenium import Axe

    site = pages["index"].parent.as_uri()
    for width in WIDTHS:
        for scheme in SCHEMES:
            show(browser, pages[name], width, scheme)
            assert browser.execute_script("return document.documentElement.scrollWidth") <= width
            assert browser.execute_script(OVERFLOWING) == []
            assert browser.get_log("browser") == []  # type: ignore[no-untyped-call]
            log = browser.get_log("performance")  # type: ignore[no-untyped-call]
            messages = [json.loads(entry["message"])["message"] for entry in log]
            asked = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
            assert asked and all(url.startswith((site, "data:")) for url in asked)
            found: dict[str, Any] = Axe().run(browser)
            serious = [v for v in found["violations"] if v["impact"] in ("serious", "critical")]
            assert [(v["id"], [node["html"][:120] for node in v["nodes"][:3]]) for v in serious] == []


def test_the_first_screen_says_whether_anything_changed(browser: Chrome, pages: dict[str, Path]) -> None:
    """Without scrolling, also on a phone: the verdict, and that something was left out."""
    for width in WIDTHS:
        show(browser, pages["index"], width)
        bottom = "return document.querySelector(arguments[0]).getBoundingClientRect().bottom"
        height = browser.execute_script("return window.innerHeight")
        assert browser.execute_script(bottom, ".banner") < height / 2
        assert browser.execute_script(bottom, "#news a[href='#left-out']") < height


def test_hostile_words_do_nothing(browser: Chrome, pages: dict[str, Path]) -> None:
    """No script but the site's own, no element of theirs; the words stand there to be read."""
    for name in ("index", "hostile host", "hostile cost", "hostile compare"):
        show(browser, pages[name], 1280)
        scripts = browser.execute_script("return [...document.scripts].map(s => s.src.split('/').pop())")
        more = {"hostile compare": ["runs.js"], "hostile cost": ["charts.js"]}.get(name, [])
        assert sorted(scripts) == [*more, "site.js"]
        assert browser.execute_script("return document.querySelectorAll('[href^=\"http\"], b, [onerror]').length") == 0
        text = browser.execute_script("return document.body.innerText")
        assert "<script>alert(1)</script>" in text and "\u202e" not in text


@pytest.mark.parametrize("name", ["cost", "compare"])
def test_without_script_every_page_is_complete(browser: Chrome, pages: dict[str, Path], name: str) -> None:
    """All rows and figures are there, and no control that would do nothing."""
    show(browser, pages[name], 1280)
    rows, figures, inputs, buttons = browser.execute_script(COUNTS)
    assert rows and inputs and buttons
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get(pages[name].as_uri())
        root = browser.execute_cdp_cmd("DOM.getDocument", {})["root"]["nodeId"]

        def count(selector: str) -> int:
            found = browser.execute_cdp_cmd("DOM.querySelectorAll", {"nodeId": root, "selector": selector})
            return len(found["nodeIds"])

        kinds = ("tbody tr", "figure svg .level", "input", "select", "thead button", "button", "canvas")
        unused = count("[hidden] button")
        assert [count(kind) for kind in kinds] == [rows, figures, 0, 0, 0, unused, 0]
        wanted = {"nodeId": root, "selector": "figure svg"}
        for svg in browser.execute_cdp_cmd("DOM.querySelectorAll", wanted)["nodeIds"]:
            assert browser.execute_cdp_cmd("DOM.getBoxModel", {"nodeId": svg})["model"]["height"] > 100  # is displayed
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
