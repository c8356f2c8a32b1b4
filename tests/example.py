"""Makes `reports/example/` out of a run, and the table of figures in README.md: `nox -s example -- RUN`.

The folder holds the report in both formats, a screenshot of its first screen, and the run itself, so that a test can
compute the figures again. `reports/emulated/` is the run of a host of the lab, whose KVM is real and whose CPU is not;
`nox -s example -- BUNDLE` replaces it by what `isobench export --to bundle` made of another.
"""

from __future__ import annotations

import base64
import re
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from isobench.host.machine import EMULATED, UNKNOWN
from isobench.layout import format
from isobench.report.build import make_context, render
from isobench.report.needs import Need, needs_of, representatives, rows_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from selenium.webdriver import Chrome

    from isobench.analysis.results import Estimate
    from isobench.report.context import Context

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "reports" / "example"
EMULATED_HOST = ROOT / "reports" / "emulated"
RUN_FILES = ("suite.json", "session.json")
LARGEST = 1_000_000
"""Bytes of the run's files; more does not belong into a repository."""

BUNDLED = {*RUN_FILES, "report.md", "index.html"}
"""What an archive has to hold at least (isobench/export/bundle.py)."""

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
HEADS = ("startup", "memory per instance", "trivial system call", "4 KiB random read", "teardown")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--disable-quic",
         "--disable-background-networking", "--disable-component-update", "--disable-sync")  # fmt: skip
WIDTH, MARGIN = 1280, 20


def figures(run: Path, emulated: Path) -> str:
    """The README's paragraph and table: what each need costs in each isolation that can run a program.

    `emulated` is the run that Linux under KVM is taken from; a note tells what host that was.
    """
    context = make_context(run)
    session = context.session
    virtual = session.host.get("virtual", UNKNOWN) not in (UNKNOWN, "bare metal")
    host = "the host was itself a virtual machine, so trust the ratios" if virtual else session.host.get("cpu", "")
    if session.host.get("virtual", "").startswith(EMULATED):
        host = "the host's CPU was itself emulated, so trust the order, neither times nor ratios"
    names = [name for name in representatives(context) if (e := context.environment(name)) and e.layer != "vmm"]
    lines = [
        f"A real run ({_blocks(context)} blocks; {host}):",
        "",
        f"| isolation | {' | '.join(HEADS)} |",
        f"| --- | {' | '.join('---:' for _ in HEADS)} |",
        *(_row(context, name) for name in names),
    ]
    there = make_context(emulated)
    assert there.session.host["virtual"].startswith(EMULATED), f"{emulated} is not of an emulated host"
    kvm = _row(there, "kvm", ", on an emulated host \\*", needs=needs_of(context))
    return "\n".join([*lines, kvm, "", _note(there, emulated), "", _reading(context)])


def _reading(context: Context) -> str:
    """How to read a figure, by the dearest start of a container."""
    (startup, *_) = needs_of(context)
    row = next(row for row in rows_for(context, startup) if row.environment == "docker")
    low, high = (format.end(end) for end in (row.ratio_low, row.ratio_high))
    return (
        f"`{format.against(row)}` reads: {format.number(row.ratio)} times the cost of a raw process, with a 95 %\n"
        f"confidence interval from {low} to {high}. Lower is better."
    )


def _note(there: Context, emulated: Path) -> str:
    """What the row of another host is worth, and what stood beside it there."""
    (startup, *_) = needs_of(there)
    took = {row.environment: format.cost(row) for row in rows_for(there, startup)}
    report = (emulated / "report.md").relative_to(ROOT).as_posix()
    blocks = format.count(_blocks(there), "block")
    return (
        f"\\* Another run ([{blocks}]({report}), on a busy machine, with no disturbed block excluded) on [a host of\n"
        "the lab](HOSTS.md), whose KVM is real and whose CPU is emulated: trust the order, neither times nor ratios.\n"
        f"There a raw process started in {took['process']}, Docker in {took['docker']}."
    )


def _blocks(context: Context) -> int:
    return sum(block.index > 0 and not block.marks for block in context.session.blocks)


def _row(context: Context, name: str, more: str = "", needs: Sequence[Need] = ()) -> str:
    """A row of the table, by default with all that its run measured."""
    columns = needs or needs_of(context)
    found = [{row.environment: row for row in rows_for(context, need)}.get(name) for need in columns]
    return f"| {context.title(name)}{more} | {' | '.join(_cell(row, context.baseline) for row in found)} |"


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


def photograph(page: Path, target: Path, last: str = "verdict", first: str = "", state: str = "") -> None:
    """The page from its top, or that of one element, to the end of another, as wide as on a desk. `state` is what its
    address says to show."""
    with tempfile.TemporaryDirectory() as profile:
        browser = chrome(Path(profile))
        try:
            size = {"width": WIDTH, "height": 900, "deviceScaleFactor": 1, "mobile": False}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            browser.get(f"{page.as_uri()}#{state}" if state else page.as_uri())
            edge = "return document.getElementById(arguments[0]).getBoundingClientRect()[arguments[1]] + window.scrollY"
            top = browser.execute_script(edge, first, "top") - MARGIN if first else 0
            bottom = browser.execute_script(edge, last, "bottom")
            clip = {"x": 0, "y": round(top), "width": WIDTH, "height": round(bottom - top), "scale": 1}
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
    write_figures()


def keep_bundle(archive: Path) -> None:
    """Replace the committed run of an emulated host, and the README's row of it."""
    with tempfile.TemporaryDirectory() as name, tarfile.open(archive) as packed:
        packed.extractall(name, filter="data")
        (folder,) = Path(name).iterdir()
        found = {file.name for file in folder.iterdir()}
        assert found >= BUNDLED, f"{archive} holds {sorted(found)}, a bundle {sorted(BUNDLED)}"
        shutil.rmtree(EMULATED_HOST, ignore_errors=True)
        shutil.copytree(folder, EMULATED_HOST)
    write_figures()


def write_figures() -> None:
    """The README with the figures of the two committed runs."""
    readme = ROOT / "README.md"
    table = figures(EXAMPLE / "run", EMULATED_HOST)
    readme.write_text(with_figures(readme.read_text(encoding="utf-8"), table), encoding="utf-8")


if __name__ == "__main__":
    given = Path(sys.argv[1]).resolve()
    (keep_bundle if given.is_file() else make)(given)
