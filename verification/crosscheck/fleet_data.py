"""Time and size of questions to the nights of many hosts: Parquet as `isobench fleet export` has it, asked by DuckDB.

The history is made: 10,000 hosts in groups of a hundred, 300 costs and 365 nights are 1.1 thousand million rows (16 GB,
with `--made 10000`). Without this option only some groups are made, and what all of them would take is read off a line.
Each question of contrib/duckdb is put to half of the groups and to all of them, in random order, several times. Every
ratio varies by 2 % from night to night and by 1 % from host to host; a third of the hosts gets another kernel on the
way, and one host has five costs that are 40 % off.

The claims: that host is the oddest, and every answer is about all hosts, nights and costs that were made. Times are
printed, and no claim: they are of this machine and what else it does.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import resource
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import duckdb
import numpy as np
import pyarrow as pa

from isobench.export.history import COSTS, NIGHTS, encoded
from isobench.results.store import write_atomically

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
    """Write the groups of these hosts, except for months that are there; returns the number of rows."""
    with ProcessPoolExecutor() as pool:
        groups = range(hosts // GROUP)
        return sum(pool.map(_group, groups, repeat(folder), repeat(costs), repeat(nights)))


def _group(group: int, folder: Path, costs: int, nights: int) -> int:
    """Write one group, month by month; returns the number of rows."""
    days = FIRST + np.arange(nights) * np.timedelta64(1, "D")
    months = days.astype("datetime64[M]")
    own = np.random.default_rng(group).normal(0, 0.01, (costs, GROUP)).astype(np.float32)
    if group == 0:
        own[[len(ENVIRONMENTS) * n + 3 for n in range(ODD_COSTS)], ODD] += math.log(ODD_BY)
    for month in np.unique(months):
        place = folder / f"host_group=g{group:02}" / f"month={month}"
        if (place / "costs.parquet").exists():
            continue
        place.mkdir(parents=True, exist_ok=True)
        of_month = days[months == month]
        write_atomically(place / "nights.parquet", _nights(group, of_month, days[nights // 2]))
        write_atomically(place / "costs.parquet", _costs(group, of_month, own))
    return costs * GROUP * nights


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
    normal = draw.standard_normal((2, costs, GROUP, len(days)), dtype=np.float32)
    shift = np.exp(own[:, :, None] + np.float32(0.02) * normal[0]).reshape(costs, runs)
    width = np.exp(np.abs(np.float32(0.01) + np.float32(0.003) * normal[1])).reshape(costs, runs)
    ratio = np.exp(level, dtype=np.float32)[:, None] * shift
    ratio[level == 0] = np.nan  # the baseline's own
    of_runs, every = _runs(group, days), np.arange(costs)
    metrics = -(-costs // len(ENVIRONMENTS))
    columns = {
        "run": _words(np.tile(np.arange(runs), costs), of_runs["run"]),
        "host": _words(np.tile(np.repeat(np.arange(GROUP), len(days)), costs), of_runs["host"][:: len(days)]),
        "started": np.tile(of_runs["started"], costs),
        "scenario": _words(np.zeros(costs * runs), ["startup"]),
        "metric": _words(np.repeat(every // len(ENVIRONMENTS), runs), [f"m{n:03}" for n in range(metrics)]),
        "environment": _words(np.repeat(every % len(ENVIRONMENTS), runs), ENVIRONMENTS),
        "unit": _words(np.zeros(costs * runs), ["second"]),
        "value": (np.exp(level - 7)[:, None] * shift).ravel(),
        "ratio": ratio.ravel(),
        "low": (ratio / width).ravel(),
        "high": (ratio * width).ravel(),
    }
    return encoded(COSTS, columns)


def _words(codes: np.ndarray, words: Sequence[str]) -> pa.DictionaryArray:
    """A column of few different words."""
    return pa.DictionaryArray.from_arrays(codes.astype(np.int32), pa.array(words))


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
    kept = "a folder for the history, which stays; months that are there are not made again"
    parser.add_argument("--keep", type=Path, metavar="DIR", help=kept)
    arguments = parser.parse_args()
    if arguments.made % (2 * GROUP) or not arguments.made or arguments.costs < len(ENVIRONMENTS) * ODD_COSTS:
        parser.error("--made is a multiple of 200, and --costs at least 50")
    with tempfile.TemporaryDirectory(prefix="isobench-fleet-", dir="/var/tmp") as temporary:
        return _checked(arguments.keep or Path(temporary), arguments)


def _checked(folder: Path, given: argparse.Namespace) -> int:
    began, used = time.monotonic(), _cpu()
    rows = made(folder, given.made, given.costs, given.nights)
    took, used = time.monotonic() - began, _cpu() - used
    size = sum(file.stat().st_size for file in folder.rglob("*.parquet"))
    whole = given.hosts * given.costs * given.nights
    print(f"{rows:,} rows of {given.made} hosts, {rows / whole:.1%} of {whole:,}")
    print(f"made in {took:.0f} s, {used:.0f} s of CPU; {size / 1e9:.2f} GB, {size / rows:.1f} bytes a row", flush=True)
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
    print(f"memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.1f} GB at most")
    failures = _wrong({question: answers[question, groups][-1].rows for question in QUESTIONS}, given)
    print("\n".join(failures) or "as claimed")
    return 1 if failures else 0


def _cpu() -> float:
    """CPU seconds of this process and of those that it has waited for."""
    return sum(os.times()[:4])


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
