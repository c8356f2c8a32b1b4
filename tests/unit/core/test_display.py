"""Tables keep the width of a terminal and lose nothing in a pipe."""

from __future__ import annotations

import pytest

from tests.unit.core.test_terminal import on_a_terminal, run

TABLE = """
from isobench.core.display import Column, table
rows = [(m, e, "12.9 MiB", "5050× [2570, 10500]", "inconclusive")
        for m in ("startup.ready", "io.randread-4k") for e in ("docker-unconfined", "chroot")]
table([Column("metric"), Column("environment"), Column("median", "right"), Column("ratio", "right", True),
       Column("verdict")], rows, "against process")
"""


def test_a_table_in_a_pipe_loses_nothing() -> None:
    """Brackets are no markup, and where no terminal sets a width no name is cut."""
    code = (
        "from isobench.core import display; from rich.table import Table; t = Table('m', 'r');"
        "t.add_row(*map(display.cell, ('m' * 120, '1.2× [no interval]\\x1b[1m'))); display.console().print(t)"
    )
    said = run(code).stdout.decode()
    assert "m" * 120 in said
    assert "1.2× [no interval]⟨U+001B⟩[1m" in said


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_a_table_keeps_the_terminals_width(columns: int) -> None:
    """Every word of it is whole, on lines that are no longer than the terminal is wide."""
    said = on_a_terminal(TABLE, columns)
    assert max(map(len, said.splitlines())) <= columns
    for words in ("docker-unconfined", "io.randread-4k", "startup.ready", "12.9 MiB", "5050× [2570, 10500]"):
        assert said.count(words) >= 1, words
    assert said.count("inconclusive") == 4


def test_every_row_of_a_table_in_a_pipe_is_one_line() -> None:
    """With all its words, the first one too, and no spaces at its end."""
    lines = run("exec(" + repr(TABLE) + ")").stdout.decode().splitlines()
    rows = [line for line in lines if "inconclusive" in line]
    assert [line.split()[:2] for line in rows] == [
        [metric, environment]
        for metric in ("startup.ready", "io.randread-4k")
        for environment in ("docker-unconfined", "chroot")
    ]
    assert all(line == line.rstrip() for line in lines)
