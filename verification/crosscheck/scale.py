"""Time and memory of large runs: measuring 5,000 blocks, reading a million samples, a thousand nights.

Each is measured in a process of its own. The data that are read are synthetic; the run that is written is real. The
claims: the time between blocks is the same at the end of 5,000 blocks as at their beginning, and in total at most three
times the final size is written; the summary of 1,000,000 samples takes under 10 s and 1 GB, its report under 20 s;
`isobench trend` over 1,000 nights of 300 series takes under 10 s and 1 GB; the report of a run of 10,000 environments
takes under 20 s.
"""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np

from isobench.results.record import SCHEMA, BlockRecord, EnvironmentRecord, MetricRecord, ScenarioRecord, Session
from isobench.results.store import SESSION, SUITE, find_runs, load_session

ENVIRONMENTS = ("process", "process@control", *(f"env{n}" for n in range(8)))


def write(
    folder: Path,
    started: str,
    series: int,
    blocks: int,
    seed: int,
    environments: Sequence[str] = ENVIRONMENTS,
    *,
    host: str = "made",
    fingerprint: Mapping[str, str] | None = None,
    level: Callable[[str, str], float] = lambda metric, environment: 1.0,
) -> None:
    """Write a run folder as the runner would. `level` is the factor by which a cost differs from its usual value that
    night."""
    random = np.random.default_rng(seed)
    metrics = [f"m{n}" for n in range(max(1, series // len(environments)))]
    benchmarks = []
    for metric in metrics:
        for name in environments:
            values = level(metric, name) * np.exp(random.normal(-7, 0.02, blocks))
            runs = [{"metadata": {"block": b + 1}, "values": [float(v)]} for b, v in enumerate(values)]
            benchmarks.append({"runs": runs, "metadata": {"name": f"startup.{metric}/{name}", "unit": "second"}})
    session = Session(
        schema=SCHEMA, run_id=started, isobench="0", host_id=host, started=started, command=["isobench"], seed=1,
        profile="default", baseline="process", host={}, fingerprint=dict(fingerprint or {}), versions={},
        finished=started,
        environments=[EnvironmentRecord(n, n, "process", "", None, False) for n in environments if "@" not in n],
        scenarios=[ScenarioRecord("startup", "Startup", [MetricRecord(m, "second", "") for m in metrics])],
        blocks=[BlockRecord(b, float(b), 1.0, []) for b in range(min(blocks, 2000) + 1)],
    )  # fmt: skip
    folder.mkdir(parents=True)
    (folder / SESSION).write_bytes(msgspec.json.encode(session))
    (folder / SUITE).write_bytes(msgspec.json.encode({"benchmarks": benchmarks, "version": "1.0", "metadata": {}}))


def measured(*words: str) -> tuple[float, float]:
    """Seconds and the largest resident set (MiB) of one command."""
    began = time.monotonic()
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(words[1:])} failed")
    return time.monotonic() - began, usage.ru_maxrss / 1024


_RUN = """
import sys
from isobench.cli import main
words = "run -e process,chroot,ns-all -s startup --no-report --quiet --blocks".split()
main([*words, sys.argv[1], "--out", sys.argv[2]])
print(dict(line.split(": ") for line in open("/proc/self/io").read().splitlines())["wchar"])
"""


def growing(results: Path, blocks: int) -> bool:
    """Measure so many real blocks: print the time between blocks at the beginning and at the end, and the bytes
    written."""
    done = subprocess.run([sys.executable, "-c", _RUN, str(blocks), str(results)], stdout=subprocess.PIPE, check=True)
    (path,) = find_runs(results)
    taken = load_session(path).blocks[1:]
    gaps = [after.started - before.started - before.seconds for before, after in itertools.pairwise(taken)]
    tenth = len(gaps) // 10
    first, last = (float(np.median(part)) * 1e3 for part in (gaps[:tenth], gaps[-tenth:]))
    kept = sum(file.stat().st_size for file in path.iterdir())
    written = int(done.stdout.split()[-1])
    bad = last > 1.5 * first or written > 3.5 * kept
    print(f"between two of {blocks} blocks: {first:.2f} ms at first, {last:.2f} ms at last")
    print(f"written: {written / 1e6:.1f} MB for {kept / 1e6:.1f} MB that stay{'  TOO MUCH' if bad else ''}")
    return bad


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nights", type=int, default=1000)
    parser.add_argument("--blocks", type=int, default=5000)
    arguments = parser.parse_args()
    summary = (
        "from pathlib import Path; import sys; from isobench.results import store\n"
        "from isobench.analysis import frames\n"
    )
    summary += "print(frames.summary(frames.samples(store.load(Path(sys.argv[1]))), 'process'))"
    with tempfile.TemporaryDirectory(prefix="isobench-scale-", dir="/var/tmp") as name:
        folder = Path(name)
        late = int(growing(folder / "grown", arguments.blocks))
        write(folder / "big/made/20260101T000000Z", "2026-01-01T00:00:00Z", 500, 2000, 1)
        for night in range(arguments.nights):
            started = str(np.datetime64("2023-01-01T02:00:00") + np.timedelta64(night, "D")) + "Z"
            write(folder / "many/made" / started.replace("-", "").replace(":", ""), started, 300, 20, night)
        names = ("process", "process@control", *(f"env{n}" for n in range(10_000)))
        write(folder / "wide/made/20260101T000000Z", "2026-01-01T00:00:00Z", len(names), 6, 1, names)
        wide = str(folder / "wide/made/20260101T000000Z")
        python, run = sys.executable, str(folder / "big/made/20260101T000000Z")
        trend = (python, "-m", "isobench", "trend", str(folder / "many"))
        rows = [
            ("summary of 1,000,000 samples", measured(python, "-c", summary, run), 10),
            (
                "report of 1,000,000 samples",
                measured(python, "-m", "isobench", "report", run, "--out", f"{name}/r"),
                20,
            ),
            (
                "report of 10,000 environments",
                measured(python, "-m", "isobench", "report", wide, "--out", f"{name}/w"),
                20,
            ),
            (f"trend of {arguments.nights} nights, 300 series, first time", measured(*trend), 10),
            ("the same again, from the index", measured(*trend), 10),
        ]
    for what, (seconds, memory), limit in rows:
        bad = seconds > limit or memory > 1024
        late += bad
        print(f"{what:45} {seconds:6.1f} s of {limit}, {memory:6.0f} MiB{'  TOO MUCH' if bad else ''}")
    return 1 if late else 0


if __name__ == "__main__":
    raise SystemExit(main())
