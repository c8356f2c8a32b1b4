"""Histories on disk, quickly made: some hosts, some nights, a step, and hostile words."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

from isobench.results.store import SESSION
from isobench.site.build import Built, build
from tests.unit.analysis.made import night
from verification.crosscheck.scale import write

NAMES = ("process", "process@control", "chroot", "docker")
STEP = 12
"""The night on which docker costs a third more, and there is another kernel."""


def add(results: Path, number: int, *, host: str = "one", names: tuple[str, ...] = NAMES, cpu: str = "CPU") -> Path:
    """The run of one night, of two metrics."""

    def level(metric: str, environment: str) -> float:
        return 1.3 if environment == "docker" and metric == "m0" and number >= STEP else 1.0

    folder = results / host / night(number).replace("-", "").replace(":", "")
    facts = {"cpu": cpu, "cpus": "4", "kernel": "6.1" if number < STEP else "6.2"}
    write(folder, night(number), 2 * len(names), 6, number, names, host=host, fingerprint=facts, level=level)
    return folder


def add_nights(results: Path, count: int, host: str = "one") -> None:
    for number in range(count):
        add(results, number, host=host)


def change(run: Path, **fields: object) -> None:
    """Fields of a run's record, replaced."""
    record = json.loads((run / SESSION).read_text())
    (run / SESSION).write_text(json.dumps({**record, **fields}))


def made(folder: Path, out: str = "site") -> Built:
    """The site of `results` in this folder."""
    return build(folder / "results", folder / out, folder / "reports")


def files(site: Path) -> dict[str, bytes]:
    """Everything in a site but its mark, by name."""
    found = [file for file in site.rglob("*") if file.is_file() and not file.name.startswith(".")]
    return {str(file.relative_to(site)): file.read_bytes() for file in found}


class Page(HTMLParser):
    """A page taken apart: its elements, its links and the places that can be linked to, and its words."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        known = dict(attrs)
        self.links += [known["href"] or ""] if tag == "a" else []
        self.ids += [known["id"] or ""] if "id" in known else []

    def handle_data(self, data: str) -> None:
        self.words += data


def pages(site: Path) -> dict[Path, Page]:
    return {file: Page(file.read_text()) for file in site.rglob("*.html")}
