"""How long and how much memory the analysis takes: a run of a million samples, a history of a thousand nights.

Each is measured in a process of its own, on made data. The claims: the summary of 1,000,000 samples in under 10 s and
1 GB, its report in under 20 s, `isobench trend` over 1,000 nights of 300 series in under 10 s and 1 GB.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec
import numpy as np

from bench.record import SCHEMA, BlockRecord, EnvironmentRecord, MetricRecord, ScenarioRecord, Session
from bench.store import SESSION, SUITE

ENVIRONMENTS = ("process", "process@control", *(f"env{n}" for n in range(8)))


def write(folder: Path, started: str, series: int, blocks: int, seed: int) -> None:
    """A run folder as the runner leaves it, made at once."""
    random = np.random.default_rng(seed)
    metrics = [f"m{n}" for n in range(max(1, series // len(ENVIRONMENTS)))]
    benchmarks = []
    for metric in metrics:
        for name in ENVIRONMENTS:
            values = np.exp(random.normal(-7, 0.02, blocks))
            runs = [{"metadata": {"block": b + 1}, "values": [float(v)]} for b, v in enumerate(values)]
            benchmarks.append({"runs": runs, "metadata": {"name": f"startup.{metric}/{name}", "unit": "second"}})
    session = Session(
        schema=SCHEMA, run_id=started, isobench="0", host_id="made", started=started, command=["isobench"], seed=1,
        profile="default", baseline="process", host={}, fingerprint={}, versions={}, finished=started,
        environments=[EnvironmentRecord(n, n, "process", "", None, False) for n in ENVIRONMENTS if "@" not in n],
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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nights", type=int, default=1000)
    arguments = parser.parse_args()
    summary = (
        "from pathlib import Path; import sys; from bench import store; from bench.analysis import frames, verdicts\n"
    )
    summary += "print(verdicts.summary(frames.samples(store.load(Path(sys.argv[1]))), 'process'))"
    with tempfile.TemporaryDirectory(prefix="isobench-scale-", dir="/var/tmp") as name:
        folder = Path(name)
        write(folder / "big/made/20260101T000000Z", "2026-01-01T00:00:00Z", 500, 2000, 1)
        for night in range(arguments.nights):
            started = str(np.datetime64("2023-01-01T02:00:00") + np.timedelta64(night, "D")) + "Z"
            write(folder / "many/made" / started.replace("-", "").replace(":", ""), started, 300, 20, night)
        python, run = sys.executable, str(folder / "big/made/20260101T000000Z")
        trend = (python, "-m", "bench", "trend", str(folder / "many"))
        rows = [
            ("summary of 1,000,000 samples", measured(python, "-c", summary, run), 10),
            ("report of 1,000,000 samples", measured(python, "-m", "bench", "report", run, "--out", f"{name}/r"), 20),
            (f"trend of {arguments.nights} nights, 300 series, first time", measured(*trend), 10),
            ("the same again, from the index", measured(*trend), 10),
        ]
    late = 0
    for what, (seconds, memory), limit in rows:
        bad = seconds > limit or memory > 1024
        late += bad
        print(f"{what:45} {seconds:6.1f} s of {limit}, {memory:6.0f} MiB{'  TOO MUCH' if bad else ''}")
    return 1 if late else 0


if __name__ == "__main__":
    raise SystemExit(main())
