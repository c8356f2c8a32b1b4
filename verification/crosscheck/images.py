"""Pulling and loading an image with `docker pull` and `docker load`, and its sizes by skopeo and du, against `image-…`.

The two sides take turns, each while the engine has nothing of the image. The start of the client is measured with
`docker image inspect` of another image, in each round. skopeo copies into a folder what a registry sends, independently
of Docker. Exits with 1 if the sizes differ, or if the interval of a ratio lies entirely outside the band.
"""

from __future__ import annotations

import argparse
import subprocess
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isobench.contracts.image_kinds import KINDS
from isobench.contracts.launch import of_image
from isobench.images.kinds import layers_of_kind
from isobench.lifecycle.workspace import new_run_id, workspace
from isobench.planning import catalog
from verification.crosscheck._docker import docker, image_by_hand
from verification.crosscheck.floor import median_interval

if TYPE_CHECKING:
    from collections.abc import Callable

    from isobench.contracts.images import Offer

    Do = Callable[[], object]

BAND = 0.10
"""A pull waits for the disk, which varies more than a start."""


def compare(what: str, clear: Do, ours: Do, by_hand: Do, client: Do, rounds: int) -> bool:
    """Print both sides and the ratio over the rounds; returns whether they differ."""
    taken: dict[Do, list[float]] = {ours: [], by_hand: [], client: []}
    for number in range(rounds + 1):
        for side in (ours, by_hand, client) if number % 2 else (client, by_hand, ours):
            clear()
            began = time.monotonic()
            side()
            if number:  # the first round is a warm-up
                taken[side].append(time.monotonic() - began)
    ratios = [one / (two - three) for one, two, three in zip(*taken.values(), strict=True)]
    middle, low, high = median_interval(ratios)
    ends = [f"{median_interval(values)[0]:.3f}" for values in taken.values()]
    told = f"ours {ends[0]} s, by hand {ends[1]} s, of which the client {ends[2]} s"
    print(f"{what:16} {told}, ratio {middle:.3f} [{low:.3f}, {high:.3f}]", flush=True)
    return low > 1 + BAND or high < 1 - BAND


def same(what: str, ours: int, theirs: int) -> bool:
    """Print two sizes; returns whether they differ."""
    print(f"{what:16} ours {ours}, by hand {theirs} bytes", flush=True)
    return ours != theirs


def sent(offer: Offer, folder: Path) -> int:
    """The bytes that skopeo copies of an image: its manifest, its configuration and its layers, each a file."""
    words = ["copy", "--quiet", "--src-tls-verify=false", f"docker://{offer.image}", f"dir:{folder}"]
    subprocess.run(["skopeo", *words], check=True, capture_output=True)
    return sum(file.stat().st_size for file in folder.iterdir() if file.name != "version")


def on_disk(image: str) -> int:
    """The size of the folders that the engine names, of the image and of its containers, according to du."""
    form = "{{.GraphDriver.Data.UpperDir}}:{{.GraphDriver.Data.LowerDir}}"
    folders = docker("image", "inspect", "--format", form, image).split(":")
    for container in docker("ps", "--quiet", "--no-trunc", f"--filter=ancestor={image}").split():
        said = docker("container", "inspect", "--format", f"{form}:{{{{.GraphDriver.Data.WorkDir}}}}", container)
        about = docker("container", "inspect", "--format", "{{.HostsPath}}", container)
        folders += [*said.strip().split(":"), str(Path(about.strip()).parent)]
    words = ["du", "--summarize", "--total", "--block-size=1", *(f for f in folders if f.startswith("/"))]
    return int(subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()[-2])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--kind", choices=list(KINDS), default="layers-10")
    chosen = parser.parse_args()
    with workspace(new_run_id(), catalog.sweep) as workdir:
        folder = workdir / "docker"
        folder.mkdir(mode=0o711)
        with catalog.environments()["docker"].open(folder) as sandbox, image_by_hand(workdir.name) as other:
            return int(any(differences(sandbox, folder, chosen.kind, other, chosen.rounds)))


def differences(sandbox: Any, folder: Path, kind: str, other: str, rounds: int) -> list[bool]:
    """Whether each quantity differs."""
    images = sandbox.images()
    offer = images.offer(kind, layers_of_kind(kind))
    clear, client = partial(images.clear, kind), partial(docker, "image", "inspect", other)
    pull = partial(docker, "pull", "--quiet", offer.image)
    load = partial(docker, "load", "--quiet", "--input", str(offer.archive))
    apart = [
        same("sent", offer.wire_bytes, sent(offer, folder / "copied")),
        compare("pull", clear, partial(images.pull, offer.image), pull, client, rounds),
        compare("load", clear, partial(images.load, offer.archive), load, client, rounds),
    ]
    pull()
    apart.append(same("on the disk", images.disk_bytes(offer.image) or 0, on_disk(offer.image)))
    with ExitStack() as running:
        for _ in range(10):
            running.enter_context(sandbox.launch(of_image(offer.image)))
        apart.append(same("with ten", images.disk_bytes(offer.image) or 0, on_disk(offer.image)))
    clear()
    return apart


if __name__ == "__main__":
    raise SystemExit(main())
