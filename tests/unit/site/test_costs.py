"""Every cost on every host."""

from __future__ import annotations

from isobench.site import costs
from tests.unit.site.made import Page
from tests.unit.site.test_index import LAST, machine


def test_each_cost_has_a_row_and_each_host_a_column() -> None:
    """With a link to the figure; a host that lacks a cost has an empty cell."""
    one = machine("a", costs={"startup.ready/docker": "400×", "startup.ready/process": "427 µs"})
    text = costs.render([one, machine("b", costs={"startup.ready/docker": "410×"})])
    page = Page(text)
    assert page.links[1:] == ["#costs", "#costs", *(f"hosts/{at}" for at in (
        "a/startup.ready.html#in-docker", "b/startup.ready.html#in-docker", "a/startup.ready.html#in-process",
    ))]  # fmt: skip
    assert "<td></td>" in text and "410×" in page.words


def test_hosts_that_are_no_more_and_too_many_have_none() -> None:
    """A machine that another has followed is left out; so are those with older runs, and that is said."""
    given = [machine("host~1", LAST - 2, costs={"a.b/old": "1×"}), machine("host~2", costs={"a.b/new": "2×"})]
    assert "old" not in Page(costs.render(given)).words
    many = [machine(f"h{n}", n, costs={"a.b/docker": f"{n}×"}, gap=99.0) for n in range(25)]
    words = Page(costs.render(many)).words
    assert "of the 20 of 25 hosts with the newest runs" in words and "h4" not in words and "h5" in words


def test_there_is_nothing() -> None:
    assert "No run could be read." in Page(costs.render([])).words
