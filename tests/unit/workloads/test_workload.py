"""Numbers out of a driver's output."""

from __future__ import annotations

import re

import pytest

from isobench.core.errors import MeasurementError
from isobench.workloads.workload import Number


def _pattern(text: str, factor: float = 1.0, *, is_rate: bool = False) -> Number:
    return Number("n", "second", "", re.compile(text, re.MULTILINE), factor=factor, is_rate=is_rate)


def test_by_pattern_and_by_path() -> None:
    """In the unit of the metric; the first match counts."""
    assert _pattern(r"^took ([\d.]+)", 1e-3).read("x\ntook 2.5\ntook 7\n") == 0.0025
    assert _pattern(r"(\d+)/s", is_rate=True).read("200/s") == 0.005
    assert Number("n", "second", "", path=("a", "1")).read('{"a": [1, "2e3"]}') == 2000.0
    assert Number("n", "byte", "", path=("a", "1"), factor=1024).read('{"a": {"1": 2}}') == 2048.0


@pytest.mark.parametrize(
    ("number", "output", "said"),
    [
        (_pattern("took (.*)"), "nothing", "nothing that matches"),
        (_pattern("took (.*)"), "took long", "'long', which is not a number"),
        (_pattern("took(x)?"), "took", "None, which is not a number"),
        (_pattern("(0)", is_rate=True), "0", "'0', which is not a number"),
        (Number("n", "second", "", path=("a",)), "no", "the output is not JSON"),
        (Number("n", "second", "", path=("a", "b")), '{"a": {}}', "has no a.b"),
        (Number("n", "second", "", path=("a", "x")), '{"a": [1]}', "not JSON|has no a.x"),
        (Number("n", "second", "", path=("a", "x")), '{"a": 7}', "has no a.x"),
        (Number("n", "second", "", path=("a",)), '{"a": {}}', "which is not a number"),
        (Number("n", "second", "", path=("a",)), "[" * 100000, "the output is not JSON"),
    ],
)
def test_output_that_has_none(number: Number, output: str, said: str) -> None:
    """Fails the cell, with the end of the output."""
    with pytest.raises(MeasurementError, match=said) as error:
        number.read(output)
    assert error.value.console == output[-2000:]
