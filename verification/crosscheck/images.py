"""Pulling and loading an image with `docker`, `podman` and `skopeo`, and its sizes by its manifest and du, against
`image-…`.

Commands are timed by hyperfine. The two sides take turns, each while the engine has nothing of the image. isobench asks
Docker over its API, so the start of the client is subtracted, which is measured with `docker image inspect` of another
image in each round. Of Podman and skopeo isobench's own times are those of commands, too. The manifest is what skopeo
reads in the registry. Exits with 1 if the sizes differ, or if the interval of a ratio lies entirely outside the band.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
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
from isobench.processes.programs import find
from verification.crosscheck._docker import docker, image_by_hand
from verification.crosscheck._hyperfine import hyperfine
from verification.crosscheck.floor import median_interval

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from isobench.contracts.images import Images, Offer

    Take = Callable[[], float]

_SIDES = ("ours", "by hand", "of which the client")
BAND = 0.10
"""A pull waits for the disk, which varies more than a start."""
_LAYERS = "{{.GraphDriver.Data.UpperDir}}:{{.GraphDriver.Data.LowerDir}}"
"""What Docker and Podman tell of an image's layers."""


def compare(
    what: str, clear: Callable[[], object], ours: Take, by_hand: Take, rounds: int, client: Take | None = None
) -> bool:
    """Print the seconds of both sides and their ratio over the rounds; returns whether they differ. `client` is what
    the other side has in addition."""
    sides = [ours, by_hand, *([client] if client else [])]
    taken: list[list[float]] = [[] for _ in sides]
    for number in range(rounds + 1):
        for index in range(len(sides)) if number % 2 else reversed(range(len(sides))):
            clear()
            seconds = sides[index]()
            if number:  # the first round is a warm-up
                taken[index].append(seconds)
    ratios = [one / (two - sum(more)) for one, two, *more in zip(*taken, strict=True)]
    middle, low, high = median_interval(ratios)
    ends = [f"{median_interval(values)[0]:.3f} s" for values in taken]
    told = ", ".join(f"{side} {end}" for side, end in zip(_SIDES, ends, strict=False))
    print(f"{what:20} {told}, ratio {middle:.3f} [{low:.3f}, {high:.3f}]", flush=True)
    return low > 1 + BAND or high < 1 - BAND


def same(what: str, ours: int, theirs: int) -> bool:
    """Print two sizes; returns whether they differ."""
    print(f"{what:20} ours {ours}, by hand {theirs} bytes", flush=True)
    return ours != theirs


def timed(do: Callable[[], object]) -> float:
    began = time.monotonic()
    do()
    return time.monotonic() - began


def by_manifest(manifest: bytes) -> int:
    """The bytes of an image on the wire, by its manifest: that itself, the configuration and the layers."""
    described = json.loads(manifest)
    return len(manifest) + sum(int(one["size"]) for one in (described["config"], *described["layers"]))


def manifest_of(image: str) -> bytes:
    """As the registry has it."""
    words = ["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{image}"]
    return subprocess.run(words, check=True, capture_output=True).stdout


def sent(offer: Offer, folder: Path) -> int:
    """The bytes that skopeo copies of an image: its manifest, its configuration and its layers, each a file."""
    words = ["copy", "--quiet", "--src-tls-verify=false", f"docker://{offer.image}", f"dir:{folder}"]
    subprocess.run(["skopeo", *words], check=True, capture_output=True)
    return sum(file.stat().st_size for file in folder.iterdir() if file.name != "version")


def du(folders: Sequence[str]) -> int:
    """What folders take on the disk, each file once."""
    words = ["du", "--summarize", "--total", "--block-size=1", *(one for one in folders if one.startswith("/"))]
    return int(subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()[-2])


def of_docker(image: str) -> list[str]:
    """The folders that the engine names, of the image and of its containers."""
    folders = docker("image", "inspect", "--format", _LAYERS, image).split(":")
    for container in docker("ps", "--quiet", "--no-trunc", f"--filter=ancestor={image}").split():
        said = docker("container", "inspect", "--format", f"{_LAYERS}:{{{{.GraphDriver.Data.WorkDir}}}}", container)
        about = docker("container", "inspect", "--format", "{{.HostsPath}}", container)
        folders += [*said.strip().split(":"), str(Path(about.strip()).parent)]
    return folders


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--kind", choices=list(KINDS), default="layers-10")
    chosen = parser.parse_args()
    differs = []
    for engine, (tools, differences) in ENGINES.items():
        missing = [tool for tool in ("hyperfine", "skopeo", *tools) if find(tool) is None]
        if missing:
            print(f"{engine:20} not compared: {', '.join(missing)} is not installed", flush=True)
            continue
        with workspace(new_run_id(), catalog.sweep) as workdir:
            folder = workdir / engine
            folder.mkdir(mode=0o711)
            with catalog.environments()[engine].open(folder) as sandbox:
                differs += differences(sandbox, folder, chosen.kind, chosen.rounds)
    return int(any(differs) or not differs)  # without any engine nothing was checked


def offered(sandbox: Any, kind: str) -> tuple[Any, Offer]:
    """The images of a sandbox, and one of them in its registry."""
    images: Images = sandbox.images()
    return images, images.offer(kind, layers_of_kind(kind))


def docker_differs(sandbox: Any, folder: Path, kind: str, rounds: int) -> list[bool]:
    """Whether each quantity differs in Docker."""
    images, offer = offered(sandbox, kind)
    clear = partial(images.clear, kind)
    with image_by_hand(folder.parent.name) as other:
        client = partial(hyperfine, "docker", "image", "inspect", other)
        pull = partial(hyperfine, "docker", "pull", "--quiet", offer.image)
        load = partial(hyperfine, "docker", "load", "--quiet", "--input", str(offer.archive))
        ours = [partial(timed, partial(images.pull, offer.image)), partial(timed, partial(images.load, offer.archive))]
        apart = [
            same("sent, the manifest", offer.wire_bytes, by_manifest(manifest_of(offer.image))),
            same("sent, copied", offer.wire_bytes, sent(offer, folder / "copied")),
            compare("docker pull", clear, ours[0], pull, rounds, client),
            compare("docker load", clear, ours[1], load, rounds, client),
        ]
    clear()
    docker("pull", "--quiet", offer.image)
    apart.append(same("docker, disk", images.disk_bytes(offer.image) or 0, du(of_docker(offer.image))))
    with ExitStack() as running:
        for _ in range(10):
            running.enter_context(sandbox.launch(of_image(offer.image)))
        apart.append(same("docker, with ten", images.disk_bytes(offer.image) or 0, du(of_docker(offer.image))))
    clear()
    return apart


def podman_differs(sandbox: Any, folder: Path, kind: str, rounds: int) -> list[bool]:
    """Whether each quantity differs in Podman, in the same storage."""
    images, offer = offered(sandbox, kind)
    clear, environ = partial(images.clear, kind), sandbox.driver.environ(sandbox)
    podman = [
        *sandbox.driver._cache.words(),
        *sandbox.driver._podman(sandbox),
    ]  # the words that say where its storage is
    pull = partial(hyperfine, *podman, "pull", "--quiet", "--tls-verify=false", offer.image, environ=environ)
    load = partial(hyperfine, *podman, "load", "--quiet", f"--input={offer.archive}", environ=environ)
    apart = [
        compare("podman pull", clear, partial(timed, partial(images.pull, offer.image)), pull, rounds),
        compare("podman load", clear, partial(timed, partial(images.load, offer.archive)), load, rounds),
    ]
    clear()
    pull()
    inspect = [*podman, "image", "inspect", "--format", _LAYERS, offer.image]
    everything = {**os.environ, **environ}
    told = subprocess.run(inspect, check=True, capture_output=True, text=True, env=everything).stdout
    apart.append(same("podman, disk", images.disk_bytes(offer.image) or 0, du(told.strip().split(":"))))
    clear()
    return apart


def skopeo_differs(sandbox: Any, folder: Path, kind: str, rounds: int) -> list[bool]:
    """Whether each quantity differs where skopeo fetches and umoci unpacks; the time is that of fetching."""
    images, offer = offered(sandbox, kind)
    copied = folder / "by-hand"
    words = ["skopeo", "--insecure-policy", "copy", "--quiet", "--src-tls-verify=false"]
    environ = dict.fromkeys(("HOME", "TMPDIR"), str(folder))
    copy = [*images._cache.words(), *words, f"docker://{offer.image}", f"oci:{copied}:latest"]

    def clear() -> None:
        images.clear(kind)
        shutil.rmtree(copied, ignore_errors=True)

    def fetched() -> float:
        began = time.monotonic()
        return float(images.pull(offer.image).fetched) - began

    apart = [compare("skopeo copy", clear, fetched, partial(hyperfine, *copy, environ=environ), rounds)]
    clear()
    images.pull(offer.image)
    root = images.root_of(offer.image)
    theirs = du([str(root.parent.parent / "layout"), str(root.parent)])
    apart.append(same("skopeo, disk", images.disk_bytes(offer.image) or 0, theirs))
    clear()
    return apart


ENGINES: Mapping[str, tuple[tuple[str, ...], Callable[[Any, Path, str, int], list[bool]]]] = {
    "docker": (("docker",), docker_differs),
    "podman": (("podman",), podman_differs),
    "runc": (("runc", "umoci"), skopeo_differs),
}
"""The environments, each with the tools that it needs, and what is compared there."""


if __name__ == "__main__":
    raise SystemExit(main())
