"""Time and size of questions to the nights of many hosts: Parquet as `isobench fleet export` has it, asked by DuckDB.

The history is made: 10,000 hosts in groups of a hundred, 300 costs and 365 nights are 1.1 thousand million rows. A part
of the groups is made in full (`--made`), and each question of contrib/duckdb is put to half of these and to all of
them, in random order, several times. What all groups would take is read off the line through both medians. Every ratio
varies by 2 % from night to night and by 1 % from host to host; a third of the hosts gets another kernel on the way, and
one host has five costs that are 40 % off.

The claims: that host is the oddest, and every answer is about all hosts, nights and costs that were made. Times are
printed, and no claim: they are of this machine and what else it does.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import duckdb
import numpy as np
import pandas as pd

from isobench.export.history import COSTS, NIGHTS, encoded

if TYPE_CHECKING:
    from collections.abc import Sequence

SQL = Path(__file__).parents[2] / "contrib/duckdb"
QUESTIONS = ("spread", "odd", "cost", "host")
GROUP = 100
"""Hosts of one."""
ENVIRONMENTS = ("process", "chroot", "ns-all", "docker", "podman", "gvisor", "kata", "tcg", "kvm", "crun")
_LEVELS = np.log((1, 1.05, 2.2, 400, 380, 520, 900, 4400, 1100, 120))
SOFTWARE = ('{"kernel":"6.1.0"}', '{"kernel":"6.12.3"}')
HARDWARE = ("Processor A, 16", "Processor B, 16", "Processor C, 32")
ODD, ODD_COSTS, ODD_BY = 7, 5, 1.4
FIRST = np.datetime64("2025-01-01T02:00:00", "ms")


def name(host: int) -> str:
    return f"host-{host:05}"


def made(folder: Path, hosts: int, costs: int, nights: int) -> int:
    """Write the groups of these hosts; returns the number of rows."""
    days = FIRST + np.arange(nights) * np.timedelta64(1, "D")
    months = days.astype("datetime64[M]")
    rows = 0
    for group in range(hosts // GROUP):
        own = np.random.default_rng(group).normal(0, 0.01, (costs, GROUP))
        if group == 0:
            own[[len(ENVIRONMENTS) * n + 3 for n in range(ODD_COSTS)], ODD] += np.log(ODD_BY)
        for month in np.unique(months):
            place = folder / f"host_group=g{group:02}" / f"month={month}"
            place.mkdir(parents=True)
            of_month = days[months == month]
            (place / "nights.parquet").write_bytes(_nights(group, of_month, days[nights // 2]))
            (place / "costs.parquet").write_bytes(_costs(group, of_month, own))
            rows += costs * GROUP * len(of_month)
    return rows


def _runs(group: int, days: np.ndarray) -> dict[str, Any]:
    """Of each host each night."""
    hosts = [name(group * GROUP + n) for n in range(GROUP)]
    stamps = [str(day).replace("-", "").replace(":", "")[:15] + "Z" for day in days]
    return {
        "run": [f"{host}/{stamp}" for host in hosts for stamp in stamps],
        "host": np.repeat(hosts, len(days)),
        "started": np.tile(days, GROUP),
    }


def _nights(group: int, days: np.ndarray, renewed: np.datetime64) -> bytes:
    count = GROUP * len(days)
    hosts = np.arange(count) // len(days)
    new = (hosts % 3 == 0) & (np.tile(days, GROUP) >= renewed)
    columns = {
        **_runs(group, days),
        "baseline": ["process"] * count,
        "hardware": np.array(HARDWARE)[(hosts + group) % len(HARDWARE)],
        "software": np.array(SOFTWARE)[new.astype(int)],
        "label": [""] * count,
        "profile": ["default"] * count,
        "blocks": [20] * count,
        "used": [20] * count,
    }
    return encoded(NIGHTS, columns)


def _costs(group: int, days: np.ndarray, own: np.ndarray) -> bytes:
    """In the order of costs, hosts, nights; nearly all of it are random digits, which nothing compresses."""
    costs, runs = len(own), GROUP * len(days)
    draw = np.random.default_rng((group, int(days[0].astype(int) // 86_400_000)))
    level = np.tile(_LEVELS, -(-costs // len(_LEVELS)))[:costs]
    shift = np.exp(own[:, :, None] + draw.normal(0, 0.02, (costs, GROUP, len(days)))).ravel()
    ratio = np.repeat(np.exp(level), runs) * shift
    ratio[np.repeat(level == 0, runs)] = np.nan  # the baseline's own
    width = np.exp(np.abs(draw.normal(0.01, 0.003, len(ratio))))
    of_runs = _runs(group, days)
    cost = np.repeat(np.arange(costs), runs)
    metric = cost // len(ENVIRONMENTS)
    columns = {
        "run": _words(np.tile(np.arange(runs), costs), of_runs["run"]),
        "host": _words(np.tile(np.repeat(np.arange(GROUP), len(days)), costs), list(dict.fromkeys(of_runs["host"]))),
        "started": np.tile(of_runs["started"], costs),
        "scenario": _words(np.zeros(len(cost), int), ["startup"]),
        "metric": _words(metric, [f"m{n:03}" for n in range(int(metric[-1]) + 1)]),
        "environment": _words(cost % len(ENVIRONMENTS), ENVIRONMENTS),
        "unit": _words(np.zeros(len(cost), int), ["second"]),
        "value": np.repeat(np.exp(level - 7), runs) * shift,
        "ratio": ratio,
        "low": ratio / width,
        "high": ratio * width,
    }
    return encoded(COSTS, columns)


def _words(codes: np.ndarray, words: Sequence[str]) -> Any:
    """A column of few different words."""
    return pd.Categorical.from_codes(codes, pd.Index(list(words)))


class Answer(NamedTuple):
    """One question's rows, and what they took."""

    seconds: float
    cpu: float
    """CPU seconds of all threads."""
    rows: list[tuple[Any, ...]]


def asked(folder: Path, groups: int, question: str) -> Answer:
    """Put one question to the first groups, in a database that knows nothing yet."""
    files = [str(folder / f"host_group=g{number:02}" / "*" / "{}.parquet") for number in range(groups)]
    setup = (SQL / "setup.sql").read_text()
    for kind in ("nights", "costs"):
        setup = setup.replace(f"'history/*/*/{kind}.parquet'", str([file.format(kind) for file in files]))
    with duckdb.connect() as base:
        base.execute("SET VARIABLE scenario = 'startup'; SET VARIABLE metric = 'm002'")
        base.execute(f"SET VARIABLE environment = 'docker'; SET VARIABLE host = '{name(ODD)}'")
        began, used = time.monotonic(), time.process_time()
        base.execute(setup)
        rows = base.execute((SQL / f"{question}.sql").read_text()).fetchall()
        return Answer(time.monotonic() - began, time.process_time() - used, rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", type=int, default=10_000, help="of the whole fleet")
    parser.add_argument("--made", type=int, default=400, help="hosts that are made, in groups of a hundred")
    parser.add_argument("--costs", type=int, default=300)
    parser.add_argument("--nights", type=int, default=365)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keep", type=Path, metavar="DIR", help="a folder for the history, which stays")
    arguments = parser.parse_args()
    if arguments.made % (2 * GROUP) or not arguments.made or arguments.costs < len(ENVIRONMENTS) * ODD_COSTS:
        parser.error("--made is a multiple of 200, and --costs at least 50")
    with tempfile.TemporaryDirectory(prefix="isobench-fleet-", dir="/var/tmp") as temporary:
        return _checked(arguments.keep or Path(temporary), arguments)


def _checked(folder: Path, given: argparse.Namespace) -> int:
    began = time.monotonic()
    rows = made(folder, given.made, given.costs, given.nights)
    size = sum(file.stat().st_size for file in folder.rglob("*.parquet"))
    whole = given.hosts * given.costs * given.nights
    took = time.monotonic() - began
    print(f"{rows:,} rows of {given.made} hosts, {rows / whole:.1%} of {whole:,}, made in {took:.0f} s")
    print(f"{size / 1e9:.2f} GB, {size / rows:.1f} bytes a row: {size / rows * whole / 1e9:.0f} GB for all hosts")
    groups, answers = given.made // GROUP, dict[tuple[str, int], list[Answer]]()
    turns = [(question, part) for question in QUESTIONS for part in (groups // 2, groups)]
    order = random.Random(1)
    for _ in range(given.rounds):
        for question, part in order.sample(turns, len(turns)):
            answers.setdefault((question, part), []).append(asked(folder, part, question))
    print(f"{'seconds, and of CPU':20} {'half':>16} {'made':>16} {'all hosts, by the line':>26}")
    for question in QUESTIONS:
        half, whole_part = (_medians(answers[question, part]) for part in (groups // 2, groups))
        line = whole_part + (whole_part - half) / (groups - groups // 2) * (given.hosts / GROUP - groups)
        cells = [f"{seconds:6.2f} {cpu:6.2f}" for seconds, cpu in (half, whole_part, line)]
        print(f"{question:20} {cells[0]:>16} {cells[1]:>16} {cells[2]:>26}")
    failures = _wrong({question: answers[question, groups][-1].rows for question in QUESTIONS}, given)
    print("\n".join(failures) or "as claimed")
    return 1 if failures else 0


def _medians(answers: list[Answer]) -> np.ndarray:
    """Of the seconds, and of those of CPU, which depend less on what else the machine does."""
    return np.asarray(np.median([(one.seconds, one.cpu) for one in answers], axis=0))


def _wrong(answers: dict[str, list[Any]], given: argparse.Namespace) -> list[str]:
    failures = []
    if answers["odd"][0][2] != name(ODD):
        failures.append(f"the oddest host is {answers['odd'][0][2]}, not {name(ODD)}")
    if {row[1] for row in answers["cost"]} != {given.made} or len(answers["cost"]) != given.nights:
        failures.append("not every host has the cost every night")
    with_ratio = given.costs - -(-given.costs // len(ENVIRONMENTS))
    if len(answers["spread"]) != len(HARDWARE) * with_ratio or sum(row[5] for row in answers["spread"]) != (
        given.made * with_ratio
    ):
        failures.append("not every cost of every host is in the distribution")
    if len(answers["host"]) != given.costs:
        failures.append("not every cost of the host is in its answer")
    return failures


if __name__ == "__main__":
    raise SystemExit(main())
