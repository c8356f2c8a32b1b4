"""The first lines of the first page: whether anything changed, and what else has to be known first."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from isobench.nights.trend import Alert
from isobench.site import index
from isobench.site.summary import Summary
from tests.unit.analysis.made import night
from tests.unit.site.made import Page

LAST = 40


def alert(*what: str, near: int = LAST - 2, news: bool = True, **fields: Any) -> Alert:
    given = {
        "kind": "environment", "host_id": "host", "near": night(near), "confirmed": night(LAST),
        "what": list(what or ("startup.ready/docker",)), "state": "new" if news else "known", "news": news,
        "change": 1.05, "text": "it moved", **fields,
    }  # fmt: skip
    return Alert(**given)


def machine(folder: str = "host", newest: int = LAST, alerts: list[Alert] | None = None, **fields: Any) -> Summary:
    given = {
        "host_id": folder.partition("~")[0], "folder": folder, "hardware": f"CPU of {folder}", "runs": newest + 1,
        "first": night(0), "newest": night(newest), "label": "", "report": "", "gap": 1.0, "watched": 3, "gone": [],
        "alerts": alerts or [], **fields,
    }  # fmt: skip
    return Summary(**given)


def first_lines(*machines: Summary, problems: list[str] | None = None) -> str:
    """The words of the page's first section, each blank once."""
    words = Page(index.render(machines, problems or [])).words
    return " ".join(
        words[words.index("Since the run before") : words.index("Every host") if machines else None].split()
    )


def test_a_calm_night() -> None:
    """One sentence, and nothing beside it."""
    told = first_lines(machine("a"), machine("b", alerts=[alert(news=False)]))
    assert told == "Since the run before Nothing changed. Hosts"


def test_what_is_new_is_said_with_host_size_and_cause() -> None:
    """In a sentence each."""
    told = first_lines(machine("a", alerts=[alert(cause=["kernel: 6.1 → 6.2"])]), machine("b"))
    assert "1 change is new: confirmed by the newest run of a." in told
    assert "startup.ready in docker: +5.0 % on a, near" in told and "likely because of kernel: 6.1 → 6.2" in told


def test_many_costs_of_one_environment_are_one_sentence() -> None:
    """With the smallest and the largest change; another environment and another direction have their own."""
    alerts = [alert(f"startup.m{n}/docker", change=1.04 + 0.01 * n) for n in range(9)]
    alerts += [alert("startup.m0/kvm"), alert("startup.m9/docker", change=0.9), alert("a.b/process", kind="host")]
    told = first_lines(machine("a", alerts=alerts))
    assert "12 changes are new" in told
    assert (
        "9 costs in docker: startup.m0, startup.m1, startup.m2, startup.m3 and 5 more: +4.0 % to +12.0 % on a" in told
    )
    assert told.count(" on a, near") == 4
    assert "the host itself: a.b in process: +5.0 %" in told


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (
            machine("b", gone=["docker", "kvm"]),
            "b: docker and kvm were measured in the run before, and not in the newest.",
        ),
        (machine("b", LAST - 9), "b has had no run since 2026-02-01, 9 days before the newest."),
        (machine("b", watched=0), "b has no cost with 10 runs yet, so no change can be known."),
    ],
)
def test_what_else_has_to_be_known(other: Summary, said: str) -> None:
    """Where something is amiss, "nothing changed" alone would be wrong."""
    told = first_lines(machine("a"), other)
    assert said in told and "Nothing changed. " not in told


def test_a_host_that_is_measured_each_week_is_late_after_more_than_one() -> None:
    """And then its last news is old."""
    weekly = machine("b", LAST - 8, [alert()], gap=7.0)
    assert "1 change is new" in first_lines(machine("a"), weekly)
    late = machine("b", LAST - 11, [alert()], gap=7.0)
    assert "has had no run since" in first_lines(machine("a"), late)
    assert "is new" not in first_lines(machine("a"), late)


def test_a_machine_that_another_has_followed_is_not_news() -> None:
    """A new processor in the same host: what the old one's last run found is history."""
    old, new = machine("host~1", LAST - 2, [alert()]), machine("host~2")
    assert first_lines(old, new) == "Since the run before Nothing changed. Hosts"
    words = Page(index.render([old, new], [])).words
    assert "host (CPU of host~1)" in words and "host (CPU of host~2)" in words


def test_clones_with_one_id_both_have_their_news() -> None:
    """Machines made from one image share a host id; both are measured every night."""
    one, other = machine("host~1", alerts=[alert()]), machine("host~2", LAST - 1, [alert()])
    told = first_lines(one, other)
    assert "2 changes are new" in told and "CPU of host~1" in told and "CPU of host~2" in told


def test_nothing_is_known() -> None:
    """Without runs, and with too few of them."""
    assert "No run could be read." in first_lines()
    told = first_lines(machine("a", 3, watched=0))
    assert "No change can be known yet" in told and "Nothing changed" not in told


def test_what_was_left_out_is_counted_and_the_page_stays_small() -> None:
    """However much there is to tell."""
    problems = [f"host/{n}: a reason that takes some words to tell" for n in range(5000)]
    alerts = [alert(f"startup.m{n}/docker", near=n % LAST, news=n > 1500) for n in range(2000)]
    hosts = [machine(f"h{n}", alerts=alerts) for n in range(10)]
    text = index.render(hosts, problems)
    assert len(text.encode()) < 200_000
    assert "5000 runs were left out" in Page(text).words and "And 4900 more" in Page(text).words


def test_times_that_are_none_are_no_error() -> None:
    """A record may say anything that looks like a time."""
    odd = msgspec.structs.replace(machine("b"), newest="2025-99-99T99:99:99Z", first="2025-13-01T00:00:00Z")
    assert "Nothing changed." in first_lines(machine("a"), odd)
