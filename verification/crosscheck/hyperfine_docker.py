"""`docker` startup against hyperfine timing `docker run --rm` on the same image, in the same minutes, interleaved.

isobench's time is from requested to removed, less the time in which the harness inspected the container. hyperfine's is
the wall time of a client, including the client's own start. That part is measured with hyperfine, too:
`docker image inspect` of the same image starts, sends one request and exits.
"""

from __future__ import annotations

import argparse
import json
import statistics

from isobench.contracts.launch import idle
from isobench.environments.docker._client import connect
from isobench.environments.docker.engine import ENVIRONMENTS
from isobench.lifecycle.workspace import new_run_id, workspace
from isobench.planning import catalog
from verification.crosscheck._hyperfine import hyperfine
from verification.crosscheck.floor import median_interval

ROUNDS = 40


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="the ratio of ours to hyperfine's less the client, as data")
    arguments = parser.parse_args()
    ours, whole, client = measure()
    if arguments.json:
        ratios = [o / (w - c) for w, c, o in zip(whole, client, ours, strict=True)]
        print(json.dumps(dict(zip(("ratio", "low", "high"), median_interval(ratios), strict=True))))
    else:
        show(ours, whole, client)
    return 0


def measure() -> tuple[list[float], list[float], list[float]]:
    """Seconds of ours, of hyperfine's `docker run`, and of the client alone, round by round."""
    environment = next(e for e in ENVIRONMENTS if e.name == "docker")
    with workspace(new_run_id(), catalog.sweep) as run:
        workdir = run / "docker"
        workdir.mkdir(mode=0o711)
        with environment.open(workdir) as sandbox:
            image = next(
                tag
                for i in connect().images(filters={"label": f"isobench.run={workdir.parent.name}"})
                for tag in i["RepoTags"]
            )
            ours, whole, client = [], [], []
            for number in range(ROUNDS + 1):
                with sandbox.launch(idle(timeout=60)) as instance:
                    instance.wait()
                events = instance.events
                held = events["released"] - events["ready"]  # the harness inspected the container meanwhile
                taken = (events["removed"] - events["requested"] - held) / 1e9
                whole_run = hyperfine("docker", "run", "--rm", image, "/probe", "ready")
                look = hyperfine("docker", "image", "inspect", image)
                if number:  # the first round is a warm-up
                    ours.append(taken)
                    whole.append(whole_run)
                    client.append(look)
    return ours, whole, client


def show(ours: list[float], whole: list[float], client: list[float]) -> None:
    differences = [w - c - o for w, c, o in zip(whole, client, ours, strict=True)]
    spread = sorted(differences)
    print(f"ours, request to removed     {statistics.median(ours) * 1e3:8.1f} ms")
    print(f"hyperfine, docker run --rm   {statistics.median(whole) * 1e3:8.1f} ms")
    print(f"hyperfine, the client alone  {statistics.median(client) * 1e3:8.1f} ms")
    print(
        f"what stays unexplained       {statistics.median(differences) * 1e3:8.1f} ms "
        f"[{spread[1] * 1e3:.1f}, {spread[-2] * 1e3:.1f}] of {ROUNDS} rounds"
    )


if __name__ == "__main__":
    raise SystemExit(main())
