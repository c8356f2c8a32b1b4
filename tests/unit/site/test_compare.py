"""Two runs of a host side by side: what the page says, and the numbers from which the script makes any other."""

from __future__ import annotations

import json
import math
import os
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from isobench import cli
from isobench.nights.history import Night, Point, read
from isobench.site import compare, data
from isobench.site.machine import Machine, examine
from tests.unit.analysis.made import night
from tests.unit.site.made import NAMES, STEP, Page, add, add_nights, change, made

NIGHTS = STEP + compare.MOST


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A history with a step and another kernel, the last night without docker, and its site."""
    made_of = tmp_path_factory.mktemp("compare")
    add_nights(made_of / "results", NIGHTS)
    add(made_of / "results", NIGHTS, names=NAMES[:-1])
    made(made_of)
    return made_of


def _host(folder: Path) -> Path:
    (host,) = (folder / "site/hosts").iterdir()
    return host


def _machine(nights: list[Night]) -> Machine:
    return examine(Path("results"), nights, None, [""] * len(nights), [])


def _night(number: int, points: list[Point], **facts: str) -> Night:
    return Night(f"h/{number}", "r", "h", night(number), "process", facts, points)


def _cells(text: str) -> list[list[str]]:
    return [
        [re.sub("<[^>]*>", "", cell) for cell in re.split("<t[hd][^>]*>", row)[1:]]
        for row in text[text.index("<tbody>") : text.index("</tbody>")].split("<tr>")[1:]
    ]


def test_levels_intervals_and_quotients_and_no_verdict() -> None:
    """A cost with ratios by them, beside its values; the baseline by its values; what one run lacks is empty; what was
    zero has no quotient; nothing is compared in two units."""
    before = [
        Point("a", "b", "process", 1e-3, math.nan, "second", 0.9e-3, 1.1e-3),
        Point("a", "b", "docker", 0.2, 200.0, "second", 190.0, 210.0),
        Point("a", "b", "gone", 0.2, 200.0),
        Point("a", "m", "docker", 0.0, math.nan, "byte"),
        Point("a", "u", "docker", 1.0, math.nan, "byte"),
    ]
    after = [
        Point("a", "b", "process", 2e-3, math.nan, "second", 1.9e-3, 2.1e-3),
        Point("a", "b", "docker", 0.5, 250.0, "second", 240.0, 260.0),
        Point("a", "m", "docker", 4096.0, math.nan, "byte"),
        Point("a", "u", "docker", 1.0, math.nan, "second"),
    ]
    machine = _machine([_night(0, before, kernel="1"), _night(1, after, kernel="2")])
    text = compare.render(machine, 0, 1)
    assert sorted(_cells(text)) == [
        ["a.b", "docker", "200× [190, 210]", "250× [240, 260]", "1.25×", "200 ms", "500 ms\n"],
        ["a.b", "gone", "200×", "", "", "200 ms", "\n"],
        ["a.b", "process", "1.00 ms [0.900, 1.10]", "2.00 ms [1.90, 2.10]", "2.00×", "", "\n"],
        ["a.m", "docker", "0 B", "4.00 KiB", "", "", "\n"],
        ["a.u", "docker", "1.00 B", "1.00 s", "", "", "\n"],
    ]
    assert "What changed on the host: kernel: 1 → 2." in text and "slower" not in text


def test_the_newest_runs_have_pages_that_the_host_links_to(folder: Path) -> None:
    """Each against the run before, and the newest under a name that stays."""
    host = _host(folder)
    assert len(list(host.glob("compare-*.html"))) == compare.MOST
    linked = [link for link in Page((host / "index.html").read_text()).links if link.startswith("compare-")]
    assert len(linked) == compare.MOST and all((host / link).is_file() for link in linked)
    assert (host / linked[0]).read_text() == (host / compare.NAME).read_text()
    newest = _cells((host / compare.NAME).read_text())
    assert [row[3] == "" for row in newest] == [row[1] == "docker" for row in newest]


def test_the_command_gives_the_verdict(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the page writes it, where the results folder is."""
    monkeypatch.setenv("PATH", os.environ["PATH"])  # main changes it
    monkeypatch.chdir(folder)
    (said,) = re.findall('<code class="command">(.*)</code>', (_host(folder) / compare.NAME).read_text())
    program, *words = shlex.split(said)
    assert program == "isobench" and cli.main(words) == 0


def test_a_single_run_has_nothing_to_be_compared_with(tmp_path: Path) -> None:
    """No page, and no link to one."""
    add(tmp_path / "results", 0)
    made(tmp_path)
    host = _host(tmp_path)
    assert not list(host.glob("compare*")) and "compare.html" not in (host / "index.html").read_text()


def _read(file: Path) -> Any:
    text = re.fullmatch(r"isobenchData\((.*)\);\n", file.read_text())
    assert text is not None
    name, content = json.loads(f"[{text[1]}]")
    assert name == file.stem
    return content


def _number(code: object, middle: float = 1.0) -> float:
    if isinstance(code, str):
        return float(code)
    assert isinstance(code, int)
    return math.nan if code == data._NONE else math.exp(code / data._STEPS) * middle


def _points(part: Any, run: Any) -> dict[tuple[str, str, str], list[float]]:
    """The numbers of a run, as the script reads them: value, ratio, low, high."""
    found = {}
    for place, cost in enumerate(part["costs"][: len(run[1])]):
        value, ratio = _number(run[1][place]), _number(run[2][place])
        middle = value if math.isnan(ratio) else ratio
        if not math.isnan(value):
            found[tuple(cost)] = [value, ratio, *(_number(run[column][place], middle) for column in (3, 4))]
    return found


def test_the_numbers_of_every_run_are_there(folder: Path) -> None:
    """To four digits, in files of a few runs each; the list of runs says where, and what they are called."""
    host, nights = _host(folder), read(folder / "results").nights
    index = _read(host / "runs.js")
    assert [run[0] for run in index["runs"]] == [one.started for one in nights]
    assert index["runs"][3][1] == f"results/{nights[3].path}"
    for number, one in enumerate(nights):
        part = _read(host / f"runs-{number // index['part']}.js")
        run = part["runs"][number % index["part"]]
        points = {(f"{p.scenario}.{p.metric}", p.environment, p.unit): p for p in one.points}
        read_back = _points(part, run)
        assert read_back.keys() == points.keys() and part["facts"][run[0]] == one.fingerprint
        for key, numbers in read_back.items():
            point = points[key]
            wanted = [point.value, point.ratio, point.low, point.high]
            assert numbers == pytest.approx(wanted, rel=2e-4, nan_ok=True)


def test_what_has_no_logarithm_is_told_as_it_is() -> None:
    """Zero, less, and an interval that reaches there; a cost that a later run has first."""
    odd = [
        Point("a", "b", "x", 0.0, math.nan, "byte", -1.5, 2.0),
        Point("a", "c", "x", 3.0, math.nan, "byte", -1.0, 4.0),
        Point("a", "d", "x", 4.0, math.nan, "byte"),
    ]
    part = json.loads(json.dumps(data._part([_night(0, odd[2:]), _night(1, odd)])))
    assert [len(run[1]) for run in part["runs"]] == [1, 3]
    found = {key[0]: numbers for key, numbers in _points(part, part["runs"][1]).items()}
    assert found["a.b"] == pytest.approx([0.0, math.nan, -1.5, 2.0], nan_ok=True)
    assert found["a.c"] == pytest.approx([3.0, math.nan, -1.0, 4.0], nan_ok=True)
    assert found["a.d"] == pytest.approx([4.0, math.nan, math.nan, math.nan], rel=2e-4, nan_ok=True)


def test_a_new_run_changes_only_the_last_numbers(tmp_path: Path) -> None:
    """The files before are not written; those of a run that is gone are removed."""
    add_nights(tmp_path / "results", data.PART + 1)
    made(tmp_path)
    host = _host(tmp_path)
    before = {file.name: file.stat().st_mtime_ns for file in host.glob("runs-*.js")}
    add(tmp_path / "results", data.PART + 1)
    made(tmp_path)
    after = {file.name: file.stat().st_mtime_ns for file in host.glob("runs-*.js")}
    assert after.keys() == before.keys() and {name for name in after if after[name] != before[name]} == {"runs-1.js"}
    for run in sorted((tmp_path / "results/one").iterdir())[:2]:
        change(run, schema=99)
    made(tmp_path)
    assert {file.name for file in host.glob("runs-*.js")} == {"runs-0.js"}
