"""Makes `reports/example/` out of a run, and the table of figures in README.md: `nox -s example -- RUN`.

The folder holds the report in both formats, a screenshot of its first screen, and the run itself, so that a test can
compute the figures again.
"""

from __future__ import annotations

import base64
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from isobench.host.machine import EMULATED, UNKNOWN
from isobench.report import format
from isobench.report.build import make_context, render
from isobench.report.needs import NEEDS, representatives, rows_for

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

    from isobench.analysis.results import Estimate

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "reports" / "example"
RUN_FILES = ("suite.json", "session.json")
LARGEST = 1_000_000
"""Bytes of the run's files; more does not belong into a repository."""

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
HEADS = ("startup", "memory per instance", "trivial system call", "4 KiB random read", "teardown")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--disable-quic",
         "--disable-background-networking", "--disable-component-update", "--disable-sync")  # fmt: skip
WIDTH = 1280


def figures(run: Path) -> str:
    """The README's paragraph and table: what each need costs in each isolation that can run a program."""
    context = make_context(run)
    session = context.session
    blocks = sum(block.index > 0 and not block.marks for block in session.blocks)
    virtual = session.host.get("virtual", UNKNOWN) not in (UNKNOWN, "bare metal")
    host = "the host was itself a virtual machine, so trust the ratios" if virtual else session.host.get("cpu", "")
    if session.host.get("virtual", "").startswith(EMULATED):
        host = "the host's CPU was itself emulated, so trust the order, neither times nor ratios"
    names = [name for name in representatives(context) if (e := context.environment(name)) and e.layer != "vmm"]
    lines = [
        f"A real run ({blocks} blocks; {host}):",
        "",
        f"| isolation | {' | '.join(HEADS)} |",
        f"| --- | {' | '.join('---:' for _ in HEADS)} |",
    ]
    for name in names:
        found = [{row.environment: row for row in rows_for(context, need)}.get(name) for need in NEEDS]
        cells = [_cell(row, context.baseline) for row in found]
        lines.append(f"| {context.title(name)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(row: Estimate | None, baseline: str) -> str:
    if row is None:
        return "–"
    return format.cost(row) if row.environment == baseline else f"{format.cost(row)}, {format.against(row)}"


def with_figures(readme: str, table: str) -> str:
    """The README with this table between its marks."""
    found = re.compile(f"{BEGIN}.*{END}", re.DOTALL)
    assert len(found.findall(readme)) == 1, "README.md has lost the marks of its figures"
    return found.sub(lambda _: f"{BEGIN}\n{table}\n{END}", readme)


def chrome(profile: Path, **preferences: object) -> Chrome:
    """A headless Chromium with a profile of its own."""
    from selenium import webdriver

    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    assert chromium and driver, "chromium and chromium-driver are not installed"
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    for name, value in preferences.items():
        options.set_capability(f"goog:{name}", value)
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))


def photograph(page: Path, target: Path) -> None:
    """The page from its top to the end of the verdict, as wide as on a desk."""
    with tempfile.TemporaryDirectory() as profile:
        browser = chrome(Path(profile))
        try:
            size = {"width": WIDTH, "height": 900, "deviceScaleFactor": 1, "mobile": False}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            browser.get(page.as_uri())
            bottom = browser.execute_script("return document.getElementById('verdict').getBoundingClientRect().bottom")
            clip = {"x": 0, "y": 0, "width": WIDTH, "height": round(bottom), "scale": 1}
            shot = browser.execute_cdp_cmd("Page.captureScreenshot", {"clip": clip, "captureBeyondViewport": True})
        finally:
            browser.quit()
    target.write_bytes(base64.b64decode(shot["data"]))


def make(run: Path) -> None:
    """Replace the committed example and the README's figures by those of this run (it may be the example's own)."""
    files = {name: (run / name).read_bytes() for name in RUN_FILES}
    size = sum(map(len, files.values()))
    assert size <= LARGEST, f"{run} holds {size} bytes, an example at most {LARGEST}"
    shutil.rmtree(EXAMPLE, ignore_errors=True)
    (EXAMPLE / "run").mkdir(parents=True)
    for name, data in files.items():
        (EXAMPLE / "run" / name).write_bytes(data)
    written = render(EXAMPLE / "run", EXAMPLE)
    photograph(written["html"], EXAMPLE / "screenshot.png")
    readme = ROOT / "README.md"
    readme.write_text(with_figures(readme.read_text(encoding="utf-8"), figures(EXAMPLE / "run")), encoding="utf-8")


if __name__ == "__main__":
    make(Path(sys.argv[1]).resolve())
