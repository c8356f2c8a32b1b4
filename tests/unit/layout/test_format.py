"""Numbers and foreign words as text."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isobench.layout import format


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (1.234, "1.23"), (12.34, "12.3"), (123.4, "123"), (1234.5, "1230"), (9.996, "10.0"), (0.01234, "0.0123"),
     (-1.5, "−1.50"), (math.nan, "–"), (math.inf, "–")],
)  # fmt: skip
def test_numbers_have_three_significant_digits(value: float, text: str) -> None:
    """Three digits, no exponent, a real minus sign, a dash for what is not a number."""
    assert format.number(value) == text


@given(st.floats(min_value=1e-9, max_value=1e6))
def test_a_number_is_right_to_half_a_percent(value: float) -> None:
    """Reading the text back gives the number, but for the rounding to three digits."""
    assert float(format.number(value)) == pytest.approx(value, rel=0.0051)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(1.5, "second", "1.50 s"), (0.0123, "second", "12.3 ms"), (4.5e-5, "second", "45.0 µs"),
     (9.9996e-4, "second", "1.00 ms"),
     (3e-10, "second", "0.300 ns"), (1024, "byte", "1.00 KiB"), (3 << 20, "byte", "3.00 MiB"), (10, "byte", "10.0 B"),
     (math.nan, "byte", "–")],
)  # fmt: skip
def test_quantities_choose_their_unit(value: float, unit: str, text: str) -> None:
    """A cost stands in the unit in which it reads best."""
    assert format.quantity(value, unit) == text


def test_differences_carry_their_sign_and_one_unit() -> None:
    """A difference and its interval share the unit of the difference."""
    assert format.signed_interval(0.0012, -0.0001, 0.0025, "second") == "+1.20 [−0.100, +2.50] ms"
    assert format.signed(-4096, "byte") == "−4.00 KiB"


def test_ratios_carry_their_interval() -> None:
    """A ratio without an interval says so."""
    assert format.ratio_interval(1.5, 1.4, 1.6) == "1.50× [1.40, 1.60]"
    assert format.ratio_interval(1.5, math.nan, math.nan) == "1.50× [no interval]"


@pytest.mark.parametrize(
    ("text", "short"),
    [("1.00×", "1×"), ("10.0 ms", "10 ms"), ("1.50 s", "1.5 s"), ("100 B", "100 B"), ("0.500", "0.5")],
)
def test_axis_labels_lose_their_zeros(text: str, short: str) -> None:
    """Zeros at the end of decimals go, others stay."""
    assert format.trimmed(text) == short


def test_foreign_words_stay_on_one_line_and_in_one_direction() -> None:
    """Line ends become blanks, control and direction marks become visible, long words are cut and say so."""
    assert format.clean("a\r\nb\u2028c") == "a b c"
    assert format.clean("\u202eabc\x1b[0m") == "⟨U+202E⟩abc⟨U+001B⟩[0m"
    assert format.clean("x" * 10_000) == "x" * 300 + "… (9700 more characters)"


@given(st.text())
def test_no_invisible_character_survives(text: str) -> None:
    """Whatever comes in, what goes out has no control, format or surrogate character."""
    import unicodedata

    assert not [c for c in format.clean(text) if unicodedata.category(c) in ("Cc", "Cf", "Cs")]


@pytest.mark.parametrize(
    ("words", "text"),
    [([], "none"), (["a"], "a"), (["a", "b", "c"], "a, b and c"), (list("abcdefgh"), "a, b, c, d, e and 3 more")],
)
def test_lists_read_as_a_sentence(words: list[str], text: str) -> None:
    """Up to six words are named, the rest are counted."""
    assert format.listing(words) == text
