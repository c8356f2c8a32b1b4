"""Hosts held against each other: who is a peer of whom, what is said of a cost, who is odd, and in what it differs."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from isobench.nights import fleet, history
from isobench.nights.history import Night, Point
from verification.crosscheck.scale import write

COSTS = 8


def night(
    host: int,
    number: int = 1,
    *,
    factor: float = 1.0,
    costs: int = COSTS,
    wrong: int = 5,
    cpu: str = "CPU",
    kernel: str = "6.1",
) -> Night:
    """A night of a host, in which each cost is a little its own; the first ones are `factor` times as high."""
    random = np.random.default_rng(1000 * host + number)
    ratios = [10 * math.exp(random.normal(0, 0.01)) * (factor if cost < wrong else 1) for cost in range(costs)]
    points = [Point("s", f"m{cost}", "docker", 1.0, ratio) for cost, ratio in enumerate(ratios)]
    points += [Point("s", f"m{cost}", "process", 1.0, math.nan) for cost in range(costs)]
    facts = {"cpu": cpu, "cpus": "4", "kernel": kernel}
    return Night(
        f"h{host}/{number}", f"{host}-{number}", f"h{host}", f"2026-01-{number:02}T00:00:00Z", "process", facts, points
    )


def odd(nights: list[Night]) -> list[str]:
    return [one.host_id for kind in fleet.peers(nights, Path("nowhere")) for one in kind.odd]


@pytest.mark.parametrize("hosts", [5, 6, 20])
def test_the_odd_host_is_named_with_its_costs_and_facts(hosts: int) -> None:
    """And it alone; the costs that are wrong, with what is usual; the fact that is its own."""
    nights = [night(0, factor=1.5, kernel="6.2"), *(night(host) for host in range(1, hosts))]
    (kind,) = fleet.peers(nights, Path("nowhere"))
    (found,) = kind.odd
    assert found.host_id == "h0"
    assert {cost.metric for cost in found.costs} == {f"m{number}" for number in range(5)}
    assert all(cost.ratio / cost.usual == pytest.approx(1.5, rel=0.1) for cost in found.costs)
    assert [(fact.name, fact.value, fact.usual) for fact in found.facts] == [("kernel", "6.2", "6.1")]


@pytest.mark.parametrize(
    ("nights", "why"),
    [
        ([night(host) for host in range(20)], "all are alike"),
        ([night(0, factor=1.5), *(night(host) for host in range(1, 4))], "four are too few"),
        ([night(0, factor=1.5, wrong=2), *(night(host) for host in range(1, 20))], "two wild costs are no sign"),
        ([night(0, factor=1.03), *(night(host) for host in range(1, 20))], "3 % do not matter"),
        ([night(0, factor=1.5, cpu="other"), *(night(host) for host in range(1, 20))], "it has no peers"),
        (
            [night(host, factor=1.5 if host < 10 else 1) for host in range(20)],
            "half of them are two kinds, none is odd",
        ),
        ([night(host, factor=2, costs=2) for host in range(20)], "two costs are too few"),
        ([], "there is nobody"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_nobody_is_named(nights: list[Night], why: str) -> None:
    assert odd(nights) == []


def test_two_odd_hosts_do_not_hide_each_other() -> None:
    nights = [night(host, factor={3: 1.5, 4: 1.9}.get(host, 1.0)) for host in range(20)]
    assert sorted(odd(nights)) == ["h3", "h4"]


def test_the_median_of_the_nights_counts() -> None:
    """With the software of the newest night: nights with another kernel are those of another time."""
    wild = [
        night(host, number, factor=2.0 if (host, number) == (0, 3) else 1) for number in (1, 2, 3) for host in range(20)
    ]
    assert odd(wild) == []
    before = [
        night(host, 1, factor=2.0 if host == 0 else 1, kernel="6.0" if host == 0 else "6.1") for host in range(20)
    ]
    assert odd([*before, *(night(host, 2) for host in range(20))]) == []


def test_kinds_are_apart_and_software_is_told() -> None:
    """Most hosts first. Of software only what not all share; a median for each."""
    nights = [night(host, kernel="6.1" if host < 2 else "6.2") for host in range(5)]
    nights += [night(host, cpu="other") for host in (7, 8)]
    first, second = fleet.peers(nights, Path("nowhere"))
    assert (first.hardware, second.hardware) == ("CPU, 4", "other, 4")
    assert [(one.facts, one.hosts) for one in first.software] == [
        ({"kernel": "6.2"}, ["h2", "h3", "h4"]), ({"kernel": "6.1"}, ["h0", "h1"]),
    ]  # fmt: skip
    assert [(one.facts, one.hosts) for one in second.software] == [({}, ["h7", "h8"])]


def test_a_cost_over_hosts() -> None:
    """Its quantiles, who has least and most, and what a host lacks counts for nobody."""
    nights = [night(host) for host in range(5)]
    nights[0].points[0] = Point("s", "m0", "docker", 1.0, 5.0)
    nights[1].points[0] = Point("s", "m0", "docker", 1.0, 40.0)
    del nights[2].points[0]
    ((spread, *others),) = [kind.costs for kind in fleet.peers(nights, Path("nowhere"))]
    assert (spread.scenario, spread.metric, spread.environment, spread.hosts) == ("s", "m0", "docker", 4)
    assert spread.least == pytest.approx(5) and spread.least_host == "h0"
    assert spread.most == pytest.approx(40) and spread.most_host == "h1"
    assert 5 < spread.q25 < spread.median < spread.q75 < 40 and spread.by_software == [pytest.approx(spread.median)]
    assert {one.hosts for one in others} == {5} and len(others) == COSTS - 1


def test_order_and_unit_have_no_influence() -> None:
    nights = [night(host, factor=1.5 if host == 4 else 1) for host in range(20)]
    assert odd(nights[::-1]) == odd(nights) == ["h4"]
    table = np.random.default_rng(1).normal(0, 0.01, (20, 8))
    table[7, :4] += 0.5
    assert fleet.odd_hosts(table, 1) == fleet.odd_hosts(table + math.log(3600), 1) == [7]
    table[9, 5:] = math.nan
    assert fleet.odd_hosts(table, 1) == [7]


def test_runs_on_disk(tmp_path: Path) -> None:
    """Read as every other history is; what is damaged is a problem, and the facts of a record are compared as well."""
    for host in range(6):
        folder = tmp_path / f"h{host}" / "20260101T000000Z"
        facts = {"cpu": "CPU", "cpus": "4", "mitigations": "off" if host == 2 else "on"}

        def level(metric: str, name: str, more: float = 2.0 if host == 2 else 1.0) -> float:
            return more if name == "docker" and metric < "m4" else 1.0

        write(
            folder, "2026-01-01T00:00:00Z", 12, 8, host, ("process", "docker"), host=f"h{host}", fingerprint=facts,
            level=level,
        )  # fmt: skip
    (tmp_path / "h5/20260101T000000Z/session.json").write_text("{")
    found = fleet.evaluate(history.read(tmp_path), tmp_path)
    assert len(found.problems) == 1 and found.nights == 5
    ((one,),) = [kind.odd for kind in found.peers]
    assert one.host_id == "h2" and [fact.name for fact in one.facts] == ["mitigations"]
