"""The figures of the site in a real browser: drawn by uPlot, enlarged, told, linked to, by mouse and by keyboard."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from isobench.layout.palette import CYCLE, DARK
from tests.e2e.test_report_browser import show
from tests.e2e.test_site_browser import go
from tests.unit.analysis.made import night
from tests.unit.site.made import NAMES, STEP, add, made

if TYPE_CHECKING:
    from selenium.webdriver import Chrome
    from selenium.webdriver.remote.webelement import WebElement

pytestmark = pytest.mark.browser

LONG, GAP = 60, 40
"""Nights of the page, and the one on which docker failed."""

DRAWN = """
const chart = charts.charts.find((one) => one.name === "in-docker"), { plot, values, page } = chart;
const [first, last] = page.view, { x, y } = plot.scales;
const brush = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
brush.canvas.width = plot.ctx.canvas.width;
brush.canvas.height = plot.ctx.canvas.height;
brush.fillStyle = colour("--dots");
brush.drawImage(plot.ctx.canvas, 0, 0);
const wanted = [1, 3, 5].map((from) => parseInt(brush.fillStyle.slice(from, from + 2), 16));
const runs = values.map((_, run) => run).filter((run) => run >= first && run <= last && values[run] !== null);
const seen = runs.map((run) => {
  const [left, top] = [plot.valToPos(run, "x", true), plot.valToPos(values[run], "y", true)].map(Math.round);
  const found = [...Array(5).keys()].map((down) => brush.getImageData(left, top - 2 + down, 1, 1).data);
  return found.some((one) => wanted.every((part, n) => Math.abs(part - one[n]) < 4)); // a level may be over a part
});
return { view: page.view, x: [x.min, x.max], y: [y.min, y.max], log: y.distr === 3, colour: brush.fillStyle,
  runs: runs.length, dots: seen.filter(Boolean).length,
  width: plot.width, room: chart.drawing.clientWidth, dates: plot.axes[0]._values };
"""
READOUT = "return [...document.querySelectorAll('#in-docker output span')].map((one) => one.textContent)"
PRESSED = "return [...document.querySelectorAll('#history-tools [aria-pressed=true]')].map((one) => one.innerText)"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a cost with many nights; in one of them docker failed."""
    folder = tmp_path_factory.mktemp("charts")
    for number in range(LONG):
        add(folder / "results", number, names=NAMES[:-1] if number == GAP else NAMES)
    return next((made(folder).page.parent / "hosts").glob("*/startup.m0.html"))


@pytest.fixture
def drawing(browser: Chrome, page: Path) -> Iterator[WebElement]:
    """The figure of docker on a desk, before anything was done; afterwards the console has to be silent."""
    show(browser, page, 1280)
    yield browser.find_element("css selector", "#in-docker .drawing")
    assert browser.get_log("browser") == []  # type: ignore[no-untyped-call]


def drawn(browser: Chrome) -> dict[str, Any]:
    """What is in the figure of docker: the runs in view, which all have a dot at their value."""
    found: dict[str, Any] = browser.execute_script(DRAWN)
    assert found["dots"] == found["runs"]
    return found


def wait(browser: Chrome, wanted: Callable[[dict[str, Any]], bool]) -> None:
    """Until the figure of docker is so."""
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, 300).until(lambda one: wanted(one.execute_script(DRAWN)))


def plot(browser: Chrome) -> WebElement:
    """Where the mouse can be in the figure of docker, moved into view."""
    over = browser.find_element("css selector", "#in-docker .u-over")
    browser.execute_script("arguments[0].scrollIntoView({ block: 'center' })", over)
    return over


def drag(browser: Chrome, first: int, last: int) -> None:
    """Over the runs from one to another."""
    from selenium.webdriver import ActionChains

    over = plot(browser)
    place = "return charts.charts.find((one) => one.name === 'in-docker').plot.valToPos(arguments[0], 'x')"
    begin, end = (round(browser.execute_script(place, run)) for run in (first, last))
    middle = round(over.rect["width"] / 2)
    chain = ActionChains(browser).move_to_element_with_offset(over, begin - middle, 0).click_and_hold()
    chain.move_by_offset(10, 0).move_by_offset(end - begin - 10, 0).release().perform()


def minute(number: int) -> str:
    return night(number)[:16].replace("T", " ")


def link(browser: Chrome) -> str:
    """What the address says of the state."""
    return browser.current_url.partition("#")[2]


def test_every_run_has_a_dot_at_its_value(browser: Chrome, drawing: WebElement) -> None:
    """The numbers are the table's; the night that failed is a gap. The drawing that it replaces is not shown."""
    rows = "return [...document.querySelectorAll('[data-name=nights-table] tbody tr td:last-child')]"
    rows += ".map((one) => one.textContent)"
    values = "return charts.charts.find((one) => one.name === 'in-docker').values"
    cells = [row.split() for row in reversed(browser.execute_script(rows))]
    table = [float(cell[0]) if cell else None for cell in cells]
    assert browser.execute_script(values) == table and table.index(None) == GAP and table.count(None) == 1
    found = drawn(browser)
    assert found["runs"] == LONG - 1 and found["log"] and found["x"] == [-0.5, LONG - 0.5]
    assert found["y"][0] < min(filter(None, table)) and found["y"][1] > max(filter(None, table))
    assert browser.execute_script("return document.querySelector('#in-docker svg').getBoundingClientRect().height") == 0
    canvas = browser.find_element("css selector", "#in-docker canvas")
    assert canvas.aria_role in ("img", "image") and canvas.accessible_name.startswith("docker: 1.3")


@pytest.mark.parametrize(
    ("low", "high", "step", "log", "ticks"),
    [
        (0.95, 1.06, 0.025, True, [0.95, 0.975, 1, 1.025, 1.05]),
        (-4.5, 4.5, 2, False, [-4, -2, 0, 2, 4]),
        (3, 60, 10, True, [5, 10, 20, 50]),
        (0.5, 400, 100, True, [1, 3, 10, 30, 100, 300]),
        (0.5, 3e9, 1e9, True, [1, 100, 10_000, 1e6, 1e8]),
    ],
)
def test_an_axis_has_round_numbers(
    browser: Chrome, page: Path, low: float, high: float, step: float, log: bool, ticks: list[float]
) -> None:
    """Few enough to be read, on a narrow axis and on one over many powers of ten."""
    show(browser, page, 1280)
    found = browser.execute_script("return roundNumbers(...arguments)", low, high, step, log)
    assert found == pytest.approx(ticks)


def test_dragging_enlarges_and_a_double_click_shows_all(browser: Chrome, drawing: WebElement, page: Path) -> None:
    """All figures alike, with an axis that fits; the address leads back to the same, for whoever opens it."""
    from selenium.webdriver import ActionChains

    whole = drawn(browser)
    drag(browser, 20, 30)
    part = drawn(browser)
    assert part["view"] == [20, 30] and part["x"] == [19.5, 30.5] and part["runs"] == 11
    assert part["y"][1] - part["y"][0] < whole["y"][1] - whole["y"][0]
    assert browser.execute_script("return charts.charts.every(({ plot }) => plot.scales.x.min === 19.5)")
    assert browser.execute_script(PRESSED) == ["Logarithmic"]
    go(browser, page, link(browser))
    assert drawn(browser) == part
    ActionChains(browser).double_click(plot(browser)).perform()
    assert drawn(browser) == whole and "#" not in browser.current_url
    assert browser.execute_script(PRESSED) == ["All runs", "Logarithmic"]


def test_figures_can_be_limited_to_the_last_runs(browser: Chrome, drawing: WebElement, page: Path) -> None:
    """By a button; the address says so, and the way back leads to the same drawing."""
    whole = drawn(browser)

    def press(words: str) -> dict[str, Any]:
        for button in browser.find_elements("css selector", "#history-tools button"):
            if button.text == words:
                button.click()
        return drawn(browser)

    part = press("Last 30 runs")
    assert part["view"] == [LONG - 30, LONG - 1] and part["runs"] == 29
    assert (part["dates"][0], part["dates"][-1]) == (night(LONG - 30)[:10], night(LONG - 1)[:10])
    assert link(browser) == "history.last=30"
    go(browser, page, "history.last=30")
    assert drawn(browser) == part
    assert press("All runs") == whole and "#" not in browser.current_url


def test_an_address_outlives_its_runs(browser: Chrome, drawing: WebElement, page: Path) -> None:
    """Of runs that are gone by now the next ones are shown; what is no address shows all."""
    for state, view in (
        (f"history.from={night(20)[:10]}&history.to={night(30)[:10]}+23:59", [20, 30]),
        ("history.from=1999-01-01&history.to=1999-01-02", [0, LONG - 1]),
        ("history.from=2999-01-01", [0, LONG - 1]),
        ("history.last=x&history.axis=x&in-docker.at=x", [0, LONG - 1]),
        ("history.last=1000", [0, LONG - 1]),
        ("history.last=1", [LONG - 1, LONG - 1]),
    ):
        go(browser, page, state)
        assert drawn(browser)["view"] == view
        assert browser.execute_script(READOUT) == []


def test_the_axis_can_be_linear(browser: Chrome, drawing: WebElement, page: Path) -> None:
    """By the keyboard; the address says so."""
    from selenium.webdriver import Keys

    button = browser.find_elements("css selector", "#history-tools button")[-1]
    button.send_keys(Keys.ENTER)
    assert not drawn(browser)["log"] and browser.execute_script(PRESSED) == ["All runs", "Linear"]
    go(browser, page, link(browser))
    assert not drawn(browser)["log"]


def test_a_figure_tells_the_run_and_what_changed(browser: Chrome, drawing: WebElement, page: Path) -> None:
    """By the keyboard: value and interval as in the table, the change and its cause, since when the software is as it
    is, and that a night failed. Enter keeps the run in the address, which brings it back."""
    from selenium.webdriver import Keys

    assert browser.execute_script(READOUT) == []
    drawing.send_keys(Keys.ARROW_LEFT)
    newest = browser.execute_script("return document.querySelector('[data-name=nights-table] tbody tr').innerText")
    cells = newest.split("\t")
    value, _, interval = cells[-1].strip().partition(" ")
    told = browser.execute_script(READOUT)
    assert told[0] == f"{cells[0]}: {value}× {interval}" and interval
    assert told[1].startswith("Software since change ") and told[1].endswith("kernel: 6.1 → 6.2") and len(told) == 2
    drawing.send_keys(*[Keys.ARROW_LEFT] * (LONG - 1 - GAP))
    assert browser.execute_script(READOUT)[0] == f"{minute(GAP)}: no value"
    drawing.send_keys(*[Keys.ARROW_LEFT] * (GAP - STEP))
    told = browser.execute_script(READOUT)
    assert told[0].startswith(f"{minute(STEP)}: 1.") and len(told) == 3
    assert any(line.startswith("Change ") and "%, likely because of kernel" in line for line in told[1:])
    drawing.send_keys(Keys.ENTER)
    go(browser, page, link(browser))
    assert browser.execute_script(READOUT) == told
    cursor = "return new DOMMatrix(getComputedStyle(document.querySelector('#in-docker .u-cursor-x')).transform).m41"
    place = "return charts.charts.find((one) => one.name === 'in-docker').plot.valToPos(arguments[0], 'x')"
    assert browser.execute_script(cursor) == pytest.approx(browser.execute_script(place, STEP), abs=1)
    browser.find_element("css selector", "#in-docker .drawing").send_keys(Keys.ESCAPE)
    assert browser.execute_script(READOUT) == [] and "#" not in browser.current_url


def test_the_mouse_tells_and_a_click_keeps(browser: Chrome, drawing: WebElement, page: Path) -> None:
    """The run under the pointer; a drag is no click. Nothing moves by itself."""
    from selenium.webdriver import ActionChains

    ActionChains(browser).move_to_element_with_offset(plot(browser), -200, 0).perform()
    told = browser.execute_script(READOUT)
    assert told and "#" not in browser.current_url
    ActionChains(browser).click().perform()
    assert link(browser).startswith("in-docker.at=")
    go(browser, page, link(browser))
    assert browser.execute_script(READOUT) == told
    drag(browser, 10, 50)
    assert "history.from=" in link(browser) and browser.execute_script("return charts.charts.at(-1).dragged")
    assert browser.execute_script(READOUT)[0] == told[0]
    assert browser.execute_script("return document.getAnimations().length") == 0


def test_the_keyboard_enlarges_and_reduces(browser: Chrome, drawing: WebElement) -> None:
    """Around the run that is told; not beyond two runs, and back to all."""
    whole = drawn(browser)
    drawing.send_keys(*["-", "+"])
    half = drawn(browser)
    assert half["view"][1] == LONG - 1 and half["runs"] < whole["runs"] * 0.6
    drawing.send_keys(*["+"] * 10)
    assert drawn(browser)["view"] == [LONG - 2, LONG - 1]
    drawing.send_keys(*["-"] * 10)
    assert drawn(browser) == whole


def test_a_dark_page_has_dark_figures(browser: Chrome, page: Path) -> None:
    """Also one that becomes dark while it is open."""
    show(browser, page, 1280)
    assert drawn(browser)["colour"] == CYCLE[0]
    features = [{"name": "prefers-color-scheme", "value": "dark"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": features})
    wait(browser, lambda found: found["colour"] == DARK[CYCLE[0]] and found["dots"] == found["runs"])


def test_a_phone_has_room_for_a_figure(browser: Chrome, page: Path) -> None:
    """It is as wide as there is room, after the phone was turned, too; nothing has to be scrolled."""
    show(browser, page, 390)
    found = drawn(browser)
    assert found["width"] == found["room"] < 390 and found["runs"] == LONG - 1
    size = {"width": 844, "height": 390, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    wait(browser, lambda turned: turned["width"] == turned["room"] > found["width"])
    drawn(browser)


def test_without_the_library_the_static_drawing_stays(browser: Chrome, page: Path, tmp_path: Path) -> None:
    """Somebody copied some of the files: tables sort, and nothing offers what cannot be done."""
    site = Path(shutil.copytree(page.parents[2], tmp_path / "site"))
    (site / "charts.js").unlink()
    show(browser, site / page.relative_to(page.parents[2]), 1280)
    assert browser.find_element("css selector", "#in-docker svg").is_displayed()
    assert browser.find_elements("css selector", "canvas") == []
    assert not browser.find_element("css selector", "#history-tools").is_displayed()
    assert browser.find_elements("css selector", "thead button")
