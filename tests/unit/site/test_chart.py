"""The drawing of one cost."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isobench.site import chart
from isobench.site.machine import Course, Level
from tests.unit.analysis.made import night

KINDS = ("change", "software", "number", "interval", "level")
NUMBERS = st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=30)


def course(numbers: list[float], unit: str = "") -> Course:
    nights = list(range(len(numbers)))
    against = "" if unit else "process"
    return Course("a.b", "docker", against, unit, nights, numbers, [Level(0, nights[-1], numbers[0])], "in-docker")


def drawn(numbers: list[float], unit: str = "", **more: object) -> ET.Element:
    given = {"marks": [], "interval": None, "words": "words", **more}
    return ET.fromstring(chart.draw(course(numbers, unit), [night(n) for n in range(len(numbers))], **given))  # type: ignore[arg-type]


def dots(drawing: ET.Element) -> list[tuple[int, int]]:
    """Where the dots are."""
    (path,) = [part for part in drawing if part.get("class", "").startswith("dots")]
    found, x, y = [], 0, 0
    for right, down in re.findall(r"m(-?\d+) (-?\d+)h0", path.get("d", "")):
        x, y = x + int(right), y + int(down)
        found.append((x, y))
    return found


@given(NUMBERS, st.sampled_from(["", "second", "byte"]))
def test_any_numbers_are_drawn_within_the_frame(numbers: list[float], unit: str) -> None:
    """Zero, less and the largest that there are, too: the drawing is well-formed, and no dot is outside."""
    found = dots(drawn(numbers, unit))
    assert len(found) == len(numbers)
    assert all(chart.LEFT <= x <= chart.RIGHT and chart.TOP <= y <= chart.BOTTOM for x, y in found)
    assert [x for x, _ in found] == sorted(x for x, _ in found)


def bars(drawing: ET.Element) -> list[tuple[int, int, int]]:
    """Where each interval is: its place, and its lower and upper end."""
    (path,) = [part for part in drawing if part.get("class", "").startswith("bars")]
    found, x, y = [], 0, 0
    for right, down, up in re.findall(r"m(-?\d+) (-?\d+)v(-?\d+)", path.get("d", "")):
        x, low = x + int(right), y + int(down)
        y = low + int(up)
        found.append((x, low, y))
    return found


@given(NUMBERS, st.sampled_from(["", "second"]), st.data())
def test_every_interval_is_at_its_dot(numbers: list[float], unit: str, data: st.DataObject) -> None:
    """From below to above, around the dot and within the frame; a night without one has no stroke."""
    wide = data.draw(st.lists(st.floats(0, 1e300) | st.just(math.nan), min_size=len(numbers), max_size=len(numbers)))
    lows = [number - width for number, width in zip(numbers, wide, strict=True)]
    highs = [number + width for number, width in zip(numbers, wide, strict=True)]
    given_course = course(numbers, unit)._replace(lows=lows, highs=highs)
    starts = [night(n) for n in range(len(numbers))]
    drawing = ET.fromstring(chart.draw(given_course, starts, [], None, "words"))
    known = [dot for dot, width in zip(dots(drawing), wide, strict=True) if not math.isnan(width)]
    for (x, y), (at, low, high) in zip(known, bars(drawing), strict=True):
        assert at == x and chart.BOTTOM >= low >= y >= high >= chart.TOP


def test_the_usual_interval_is_not_cut_off() -> None:
    """Blocks that differ by more than nights do: nine in ten of the bars end within the frame, a wild one does not."""
    numbers = [1.0, 1.01, 0.99, 1.0, 1.0]
    given_course = course(numbers)._replace(lows=[0.7, 0.6, 0.7, 0.7, 0.01], highs=[1.4, 1.5, 1.4, 1.4, 90.0])
    found = bars(ET.fromstring(chart.draw(given_course, [night(n) for n in range(5)], [], None, "words")))
    within = [low < chart.BOTTOM and high > chart.TOP for _, low, high in found]
    assert within == [True, True, True, True, False]


def test_more_is_higher_and_a_little_noise_is_no_mountain() -> None:
    """A night of three times the cost is above; noise of 1 % takes less than a third of the frame."""
    (_, low), (_, high) = dots(drawn([1.0, 3.0]))
    assert high < low
    ys = [y for _, y in dots(drawn([1.0, 1.01, 0.99]))]
    assert max(ys) - min(ys) < (chart.BOTTOM - chart.TOP) / 3


@pytest.mark.parametrize("numbers", [[0.0, 0.0], [0.0, 8192.0, 4096.0], [-4096.0, 0.0]])
def test_what_was_zero_is_drawn_where_zero_is(numbers: list[float]) -> None:
    """It has no logarithm: the axis is linear, and has a tick for zero."""
    drawing = drawn(numbers, "byte")
    (zero,) = [part for part in drawing if part.get("class") == "tick" and part.text == "0 B"]
    found = [y for number, (_, y) in zip(numbers, dots(drawing), strict=True) if number == 0]
    assert all("." not in (part.text or "") for part in drawing if part.get("class") == "tick")
    assert found and all(abs(y - float(zero.get("y", ""))) <= 1 for y in found)


def test_words_are_escaped_and_marks_drawn() -> None:
    """The drawing's name may be anything, and what changed, too; a change of the software looks other than one of the
    cost."""
    hostile = '"></title><script>x</script>&'
    marks = [chart.Mark(1, 7, "+5.0 %"), chart.Mark(2, 8, hostile, software=True), chart.Mark(2, 9, "3×")]
    drawing = drawn([1.0, 1.0, 2.0], marks=marks, interval=(0.9, 3.0), words=hostile)
    assert drawing.get("aria-label") == hostile
    kinds = {kind: [part for part in drawing if part.get("class") == kind] for kind in KINDS}
    assert [one.text for one in kinds["number"]] == ["7", "8, 9"]
    told = {kind: ["".join(one.itertext()) for one in kinds[kind]] for kind in ("change", "software")}
    assert told == {"change": ["7: +5.0 %", "9: 3×"], "software": [f"8: {hostile}"]}
    assert [one.get("data-night") for kind in ("change", "software") for one in kinds[kind]] == ["1", "2", "2"]


def test_the_script_is_told_what_the_table_does_not_have() -> None:
    """Levels and the newest report's interval, in the unit of the table."""
    given_course = course([0.001, 0.002, 0.003], "second")
    text = chart.draw(given_course, [night(n) for n in range(3)], [], (1.25, 2.5), "words", 1e-3)
    parts = {part.get("class"): part for part in ET.fromstring(text)}
    level, interval = ({k: v for k, v in parts[name].items() if "data" in k} for name in ("level", "interval"))
    assert level == {"data-first": "0", "data-last": "2", "data-number": "1"}
    assert interval == {"data-night": "2", "data-low": "1.25", "data-high": "2.5"}


@pytest.mark.parametrize("count", [1, 2, 5, 1000])
def test_every_drawing_has_dates_and_ticks(count: int) -> None:
    """Also that of a single night; the first and the last date are among them."""
    drawing = drawn([400.0 + math.sin(n) for n in range(count)])
    dates = [part.text for part in drawing.iter() if part.get("class") == "date"]
    assert dates[0] == night(0)[:10] and dates[-1] == night(count - 1)[:10]
    assert len([part for part in drawing if part.get("class") == "tick"]) >= 2
