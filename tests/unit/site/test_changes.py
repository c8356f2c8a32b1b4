"""Alerts as rows: in words, with links, by their numbers."""

from __future__ import annotations

import pytest

from isobench.site import changes
from tests.unit.site.test_index import alert


@pytest.mark.parametrize(
    ("factor", "words"),
    [(1.051, "+5.1 %"), (0.88, "−12.0 %"), (2.5, "2.50×"), (0.01, "0.0100×"), (None, ""), (1.0, "+0.0 %")],
)
def test_a_change_has_a_size(factor: float | None, words: str) -> None:
    """Small ones in percent, large ones as a ratio, those of the software none."""
    assert changes.size(factor) == words


def test_rows_are_numbered_and_link_to_the_figure() -> None:
    """From a page about all machines through the folder, from the machine's own directly."""
    alerts = [alert(), alert(*(f"a.b/e{n}" for n in range(6)), kind="host")]
    one, host = changes.rows(alerts, "hosts/h/", "h")
    assert one.number == 1 and one.what == [
        changes.Place("startup.ready in docker", "hosts/h/startup.ready.html#in-docker")
    ]
    assert host.before == "the host itself: " and len(host.what) == 4 and host.more == "and 2 more"
    assert changes.rows(alerts, "")[0].what[0].address == "startup.ready.html#in-docker"


def test_a_page_of_a_cost_has_its_own_changes_and_those_of_the_software() -> None:
    """Numbered as on the machine's page."""
    software = alert("kernel", kind="fingerprint", change=None, text="the host changed at T: kernel: 6.1 → 6.2")
    alerts = [alert("startup.ready/docker"), alert("startup.ready2/docker"), software]
    rows = changes.concerning("startup.ready", changes.rows(alerts, ""), alerts)
    assert [row.number for row in rows] == [1, 3]
    assert rows[1].what == [changes.Place("kernel: 6.1 → 6.2", "")] and rows[1].change == ""
