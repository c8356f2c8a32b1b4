"""Sizes and durations as people write them."""

from __future__ import annotations

import pytest

from isobench import cli
from isobench.core.errors import UsageError
from isobench.core.quantities import size, timeout


def test_sizes() -> None:
    """Mebibytes and gibibytes."""
    assert (size("500M"), size(" 4G ")) == (500 << 20, 4 << 30)
    for text in ("4", "G", "-1G", "1.5G", "4K", ""):
        with pytest.raises(UsageError, match="is not a size"):
            size(text)


@pytest.mark.parametrize("words", ["0", "-1", "nan", "inf", "1e9", "2h", "", "soon"])
def test_a_time_that_cannot_be_waited_is_refused(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """In every command that launches, with what to write instead."""
    with pytest.raises(UsageError):
        timeout(words)
    for command in ("doctor", "run", "nightly"):
        assert cli.main([command, f"--timeout={words}"]) == 2
        assert "isobench: " in capsys.readouterr().err


def test_a_time_is_told_in_seconds_or_minutes() -> None:
    """As --max-time is."""
    assert (timeout("20"), timeout("90s"), timeout("5m"), timeout("1h")) == (20.0, 90.0, 300.0, 3600.0)
