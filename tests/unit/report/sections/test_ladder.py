"""The ladder: which rung takes the time."""

from __future__ import annotations

import msgspec

from isobench.layout.blocks import Figure
from isobench.report.sections import ladder
from tests.unit.report.made import context, row_of, with_differences, with_session


def test_the_waterfall_adds_up_to_the_whole() -> None:
    """Sum, unexplained rest and the measured whole stand in the table."""
    made = context()
    records = [msgspec.structs.replace(e, single_factor=e.name != "docker") for e in made.session.environments]
    session = msgspec.structs.replace(made.session, environments=records)
    made = with_differences(with_session(made, session))
    figure = next(b for b in ladder.build(made) if isinstance(b, Figure))
    assert figure.title.startswith("Of the time that docker takes to its first byte, 98 % is the step to docker")
    assert row_of(figure.data, "sum")[2] == "300 ms" and row_of(figure.data, "not")[2] == "0 ns"
    assert row_of(figure.data, "docker")[2].startswith("+295 [+266, +324] ms")


def test_a_way_on_which_no_rung_has_a_cause_is_no_waterfall() -> None:
    """Docker beside a rung that differs in several things, those between not run: nothing would be explained."""
    titles = [b.title for b in ladder.build(with_differences(context())) if isinstance(b, Figure)]
    assert titles and all("docker" not in title for title in titles)
