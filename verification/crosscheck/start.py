"""How long the command line takes to start, against `python -c pass` in the same rounds: within four times.

`import click` alone is measured beside it: it is why the command line is made with argparse.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import time

from verification.crosscheck.floor import median_interval

LIMIT = 4.0
COMMANDS = {
    "python -c pass": ("-c", "pass"),
    "isobench --help": ("-m", "isobench", "--help"),
    "isobench list": ("-m", "isobench", "list"),
    "isobench list environments": ("-m", "isobench", "list", "environments"),
    "isobench list metrics": ("-m", "isobench", "list", "metrics"),
    "import click": ("-c", "import click"),
}
"""The commands that are started. The others are compared with the first; the last is not part of the claim."""


def seconds(words: tuple[str, ...]) -> float:
    """Seconds of one start, from before the fork until its end; NaN if it fails (click need not be installed)."""
    began = time.perf_counter()
    done = subprocess.run([sys.executable, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    return time.perf_counter() - began if done.returncode == 0 else float("nan")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    arguments = parser.parse_args()
    order = random.Random(1)
    taken: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for number in range(arguments.rounds + 1):  # the first round fills the caches
        for name in order.sample(list(COMMANDS), len(COMMANDS)):
            value = seconds(COMMANDS[name])
            if number:
                taken[name].append(value)
    base, *others = COMMANDS
    late = False
    for name in others:
        middle, low, high = median_interval([a / b for a, b in zip(taken[name], taken[base], strict=True)])
        late |= name.startswith("isobench") and middle > LIMIT
        seconds_taken = sorted(taken[name])[len(taken[name]) // 2]
        print(f"{name:28} {seconds_taken * 1e3:6.1f} ms {middle:6.2f} [{low:.2f}, {high:.2f}] times")
    return 1 if late else 0


if __name__ == "__main__":
    raise SystemExit(main())
