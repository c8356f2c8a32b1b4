"""Memory per instance against `free`: the density scenario's slope, and 32 containers by hand with `docker run`.

Ours and theirs take turns. Theirs: available memory as `free` tells it, before and with the containers, divided by
their number; it knows nothing of instances, cgroups or processes. MemAvailable is the whole host's, so what else runs
meanwhile is in both.
"""

from __future__ import annotations

import argparse
import os
import secrets
import statistics
import subprocess
import time

import scenarios.density as density
from bench import catalog, lifecycle
from bench.analysis.paired import interval
from bench.errors import StoppedShort
from bench.images.rootfs import rootfs_tar


def free_bytes() -> int:
    """The column "available" of `free`."""
    done = subprocess.run(["free", "--bytes"], capture_output=True, text=True, check=True)
    return int(done.stdout.splitlines()[1].split()[6])


def docker(*words: str) -> str:
    """The command-line client; its standard output."""
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=True).stdout.strip()


def by_hand(image: str, count: int) -> float:
    """Bytes a container: `docker run` one after the other, `free` before and after."""
    time.sleep(2)
    before = free_bytes()
    names = []
    try:
        for _ in range(count):
            name = f"isobench-crosscheck-{secrets.token_hex(4)}"
            docker("run", "--detach", "--interactive", "--name", name, image, "/probe", "ready")
            names.append(name)
        time.sleep(2)
        return (before - free_bytes()) / count
    finally:
        if names:
            docker("rm", "--force", *names)


def ours(sandbox: object) -> float:
    """The density scenario's slope of MemAvailable."""
    try:
        values = density.Density().measure(sandbox)  # type: ignore[arg-type]
    except StoppedShort as error:
        values = error.values
    return values.get("available", float("nan"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=6)
    arguments = parser.parse_args()
    density.COUNTS = tuple(n for n in density.COUNTS if n <= arguments.count)
    image = f"isobench-crosscheck-{os.getpid()}"
    docker("import", str(rootfs_tar()), image)
    pairs = []
    try:
        with lifecycle.workspace(lifecycle.new_run_id(), catalog.sweep) as workdir:
            folder = workdir / "docker"
            folder.mkdir(mode=0o711)
            with catalog.environments()["docker"].open(folder) as sandbox:
                for number in range(arguments.rounds):
                    sides = [lambda: ours(sandbox), lambda: by_hand(image, arguments.count)]
                    order = (0, 1) if number % 2 else (1, 0)
                    taken = {side: sides[side]() for side in order}
                    pairs.append((taken[0], taken[1]))
    finally:
        docker("image", "rm", "--force", image)
    import numpy as np

    mine, theirs = (statistics.median(side) / 2**20 for side in zip(*pairs, strict=True))
    found = interval(np.array([(a - b) / 2**20 for a, b in pairs]))
    print(f"docker, slope over 1 to {arguments.count} instances  {mine:8.2f} MiB each")
    print(f"free, {arguments.count} containers by hand            {theirs:8.2f} MiB each")
    print(f"difference                                {found.centre:+8.2f} [{found.low:+.2f}, {found.high:+.2f}] MiB")
    return 0 if found.low <= 0 <= found.high or abs(mine / theirs - 1) <= 0.1 else 1


if __name__ == "__main__":
    raise SystemExit(main())
