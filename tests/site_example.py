"""Makes the pictures of docs/site.md: `python -m tests.site_example`.

The history is made of the example's run: three hosts, sixty nights with noise of their own, and on one of them another
kernel, with which a container's start costs more. `python -m tests.site_example FOLDER` leaves it and its site there.
"""

from __future__ import annotations

import json
import math
import random
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from isobench.results.store import SESSION, SUITE
from isobench.site import changes
from isobench.site.build import build
from isobench.site.cost import name
from tests.example import EXAMPLE, ROOT, photograph

NIGHTS, STEP = 60, 57
HOSTS = ("rack1-a", "rack1-b", "rack2-a")
DEARER = ("startup.ready/docker", "startup.started/docker", "startup.created/docker", "startup.booted/docker")


def history(results: Path) -> list[str]:
    """Sixty nights of each host; gives when they began."""
    session, suite = (json.loads((EXAMPLE / "run" / file).read_text()) for file in (SESSION, SUITE))
    chance = random.Random(1)
    newest = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=6)
    nights = [(newest - timedelta(days=NIGHTS - 1 - number)).strftime("%Y-%m-%dT%H:%M:%SZ") for number in range(NIGHTS)]
    for host in HOSTS:
        for number, started in enumerate(nights):
            changed = host == HOSTS[1] and number >= STEP
            facts = {**session["fingerprint"], "kernel": "6.18.45" if changed else "6.18.44"}
            folder = results / host / started.replace("-", "").replace(":", "")
            folder.mkdir(parents=True)
            record = {**session, "host_id": host, "started": started, "finished": started, "fingerprint": facts}
            (folder / SESSION).write_text(json.dumps(record))
            (folder / SUITE).write_text(json.dumps({**suite, "benchmarks": _benchmarks(suite, changed, chance)}))
    return nights


def _benchmarks(suite: dict[str, list[dict[str, object]]], changed: bool, chance: random.Random) -> list[object]:
    """The suite's, each moved by the noise of one night."""
    found: list[object] = []
    for one in json.loads(json.dumps(suite["benchmarks"])):
        factor = math.exp(chance.gauss(0, 0.01)) * (1.07 if changed and one["metadata"]["name"] in DEARER else 1)
        for run in one["runs"]:
            run.update({"values": [value * factor for value in run["values"]]} if "values" in run else {})
        found.append(one)
    return found


def main(folder: Path) -> None:
    runs = history(folder / "results")
    built = build(folder / "results", folder / "site", folder / "reports")
    photograph(built.page, ROOT / "docs" / "site-index.png", "hosts")
    machine = next(one for one in built.machines if one.host_id == HOSTS[1])
    page = built.page.parent / "hosts" / machine.folder / name("startup.ready")
    stepped = changes.minute(runs[STEP])
    photograph(page, ROOT / "docs" / "site-cost.png", "in-docker", "in-docker", f"in-docker.at={stepped}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as made:
            main(Path(made))
