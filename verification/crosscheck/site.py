"""Time and size of the site of a large history (hosts × nights × costs), and of an update after one more night.

The history is synthetic: every host has steps in some costs, a change of its kernel, and one environment that is added
later. The claims: 10 hosts, 1,000 nights and 300 costs are built in under a minute once the runs have been read
(`isobench trend` or the first build does that), the first page is under 200 kB, and one more night on one host takes at
most a quarter of the time and leaves the pages of other hosts unchanged.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np

from isobench.nights.history import INDEX
from isobench.results.store import SUITE
from verification.crosscheck.scale import measured, write

ENVIRONMENTS = ("process", "process@control", "chroot", "ns-all", "docker", "podman", "gvisor", "kata", "tcg", "kvm")
_COSTS = dict(zip(ENVIRONMENTS, (1, 1, 1.05, 2.2, 400, 380, 520, 900, 4400, 1100), strict=True))
_BLOCKS = 6
_FIRST_PAGE = 200_000


def level(host: int, night: int, metric: str, environment: str) -> float:
    """The factor of a cost: on a third of the hosts a third of the metrics step once in one environment; on every host
    all metrics of docker step with its kernel."""
    usual = float(_COSTS[environment])
    number = int(metric[1:])
    if environment == "docker" and night >= 600 + host:
        usual *= 1.06
    if (host + number) % 9 == 0 and environment == ENVIRONMENTS[3 + number % 7] and night >= 100 * (number % 9) + 50:
        usual *= 1.1
    return usual


def night(results: Path, host: int, number: int, series: int) -> None:
    """One run of one host, of the night of this number, unless it is there."""
    started = str(np.datetime64("2023-01-01T02:00:00") + np.timedelta64(number, "D")) + "Z"
    facts = {"cpu": f"Processor {host % 3}", "cpus": "16", "kernel": "6.1.0" if number < 600 + host else "6.12.3"}
    names = ENVIRONMENTS if number >= 200 else ENVIRONMENTS[:-1]
    folder = results / f"host-{host}" / started.replace("-", "").replace(":", "")
    if (folder / SUITE).exists():
        return
    costs = partial(level, host, number)
    count = series * len(names) // len(ENVIRONMENTS)
    write(
        folder, started, count, _BLOCKS, 10_000 * host + number, names,
        host=f"host-{host}", fingerprint=facts, level=costs,
    )  # fmt: skip


def made(results: Path, hosts: int, nights: int, series: int) -> None:
    for host in range(hosts):
        for number in range(nights):
            night(results, host, number, series)


def taken(*words: str) -> tuple[float, float, float]:
    """Elapsed seconds, CPU seconds and the largest resident set (MiB) of one command."""
    before = sum(os.times()[2:4])
    seconds, memory = measured(*words)
    return seconds, sum(os.times()[2:4]) - before, memory


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", type=int, default=10)
    parser.add_argument("--nights", type=int, default=1000)
    parser.add_argument("--costs", type=int, default=300)
    parser.add_argument("--keep", type=Path, help="a folder for the history and the site; the runs stay")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="isobench-site-", dir="/var/tmp") as name:
        return _checked(arguments.keep or Path(name), arguments.hosts, arguments.nights, arguments.costs)


def _checked(folder: Path, hosts: int, nights: int, costs: int) -> int:
    results, out = folder / "results", folder / "site"
    if folder.exists():  # of an earlier time
        _forget(results, out, nights)
    made(results, hosts, nights, costs)
    python = sys.executable
    words = (python, "-m", "isobench", "site", str(results), "--reports", str(folder / "reports"), "--out", str(out))
    rows = [("read the runs (isobench trend)", *taken(python, "-m", "isobench", "trend", str(results)))]
    rows.append(("the first build", *taken(*words)))
    rows.append(("again, nothing new", *taken(*words)))
    others = _states(out, not_of="host-0")
    night(results, 0, nights, costs)
    rows.append(("a night more on one host", *taken(*words)))
    for what, seconds, cpu, memory in rows:
        print(f"{what:32} {seconds:6.1f} s, {cpu:6.1f} s of CPU, {memory:6.0f} MiB")
    files = [file for file in out.rglob("*") if file.is_file()]
    first = (out / "index.html").stat().st_size
    size = sum(file.stat().st_size for file in files)
    print(f"{len(files)} files, {size / 1e6:.0f} MB; the first page {first / 1e3:.0f} kB")
    failures = [
        *(["the first build takes more than a minute"] if rows[1][1] > 60 else []),
        *(["a night takes more than a quarter of a build"] if rows[3][1] > rows[1][1] / 4 and hosts >= 10 else []),
        *(["the first page is too large"] if first > _FIRST_PAGE else []),
        *(["pages of other hosts were written again"] if _states(out, not_of="host-0") != others else []),
    ]
    print("\n".join(failures) or "as claimed")
    return 1 if failures else 0


def _forget(results: Path, out: Path, nights: int) -> None:
    """Remove what was built of these runs, and the night that was added."""
    shutil.rmtree(out, ignore_errors=True)
    (results / INDEX).unlink(missing_ok=True)
    for folder in sorted((results / "host-0").glob("*"))[nights:]:
        shutil.rmtree(folder)


def _states(out: Path, not_of: str) -> dict[Path, int]:
    """When each page of the other hosts was written."""
    pages = [page for page in (out / "hosts").glob("*/*") if not page.parent.name.startswith(f"{not_of}~")]
    return {page: page.stat().st_mtime_ns for page in pages}


if __name__ == "__main__":
    raise SystemExit(main())
