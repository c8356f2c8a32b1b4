"""Images: from a registry to the first byte of a container, and what each kind takes and contains.

Each kind is a scenario, so that the kinds follow each other in random order within a block. The registry is on the same
host: the engine's work is measured, not a network. All costs are absolute, since a raw process has no image.
"""

from __future__ import annotations

import os
import time
from contextlib import ExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING

from isobench.contracts.capabilities import Capability, KeepsImages, Lack, Part
from isobench.contracts.image_kinds import KINDS, ZSTD
from isobench.contracts.images import (
    BuildsImages,
    HasBuildKit,
    ImportsFiles,
    ImportsNoFiles,
    MessageLost,
    OutOfReach,
    UnknownCompression,
)
from isobench.contracts.launch import of_image
from isobench.core.errors import IsobenchError, MeasurementError, StoppedShort
from isobench.core.model import Metric, start_seconds
from isobench.host.counters import Counter
from isobench.scenarios.memory import SETTLE_SECONDS
from isobench.scenarios.surface import seen_inside

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from isobench.contracts.environment import Instance, Sandbox
    from isobench.contracts.images import Images, Offer
    from isobench.contracts.scenario import Scenario

_METRICS = (
    Metric(
        "first-byte", "second", "fetching an image of which the engine has nothing, and starting its first container"
    ),
    Metric("pull", "second", "fetching and unpacking it"),
    Metric("fetch", "second", "until its last byte has arrived; earlier layers are unpacked meanwhile"),
    Metric("unpack", "second", "from then until it can be run"),
    Metric("create", "second", "from the request for its first container until the engine has created it"),
    Metric("start", "second", "from the request for its first container to the first byte"),
    Metric(
        "start-again",
        "second",
        "from the request for another container to the first byte, when what was pulled has been written back",
    ),
    Metric("pull-top", "second", "fetching and unpacking it if the engine has all layers but the uppermost"),
    Metric("load", "second", "loading it from an archive"),
    Metric("import", "second", "making an image of one layer of its files, as of any root file system"),
    Metric("push", "second", "sending it to a registry that has nothing of it"),
    Metric("build", "second", "building it from a Dockerfile that adds each layer, with an empty builder's cache"),
    Metric("build-cached", "second", "building it again, with every step in that cache"),
    Metric("buildkit", "second", "building it with BuildKit, with an empty cache"),
    Metric("buildkit-cached", "second", "building it again with BuildKit, with every step in that cache"),
    Metric("remove", "second", "removing it"),
    Metric("disk", "byte", "what it takes on the disk"),
    Metric("disk-first", "byte", "what it and one container take on the disk, which has written nothing"),
    Metric("disk-tenth", "byte", "what it and ten containers take on the disk, which have written nothing"),
    Metric("memory", "byte", "what the processes of its first container take, which is idle (PSS)"),
)


class Image:
    """One kind of image (bench/images/kinds.py)."""

    needs = frozenset({Capability.PROBE, Capability.IMAGES})
    groups = frozenset({"image"})
    metrics = _METRICS
    typical_seconds = 15.0
    sees: Mapping[Part, tuple[str, ...]] = dict.fromkeys((Part.PROCESSES, Part.MEMORY), ("memory",))
    expected_interference = frozenset({Counter.PSI_CPU, Counter.PSI_IO, Counter.INTERRUPTS})
    """Unpacking waits for CPUs and for the disk, and packets on the loopback cause interrupts."""

    def __init__(self, kind: str, title: str) -> None:
        self.name = f"image-{kind}"
        self.title = f"Image: {title}"
        self.kind = kind

    def lacks(self) -> Lack | None:
        """Checks the registry program, and the image's layers, which it makes."""
        from isobench.daemons import registry
        from isobench.images.kinds import layers_of_kind

        if (lack := registry.why_not()) is not None:
            return lack
        try:
            layers_of_kind(self.kind)
        except IsobenchError as error:
            return Lack(error.reason, error.remedy)
        return None

    def facts(self, sandbox: Sandbox) -> Mapping[str, str]:
        """The image's contents, its size in the registry, whether it is built alike twice, and what a program in a
        container of it sees."""
        from isobench.images.kinds import composition_of_kind, made_of

        found, images = composition_of_kind(self.kind), _images(sandbox)
        offer = _offered(images, self.kind)
        without = {
            "without.buildkit": images.lacks_buildkit() if isinstance(images, HasBuildKit) else "",
            "without.import": images.without_import if isinstance(images, ImportsNoFiles) else "",
        }
        return {
            "made-of": made_of(self.kind),
            "wire": str(offer.wire_bytes),
            **_rebuilt(images, offer, self.kind),
            **_seen(sandbox, images, offer, self.kind),
            **{name: why for name, why in without.items() if why},
            **{name: str(getattr(found, name)) for name in ("layers", "files", "bytes", "packages")},
            **{
                name.replace("_", "-"): ", ".join(getattr(found, name)) or "none"
                for name in ("set_uid", "shells", "interpreters")
            },
        }

    def measure(self, sandbox: Sandbox) -> Mapping[str, float]:
        """Once more from the start if the engine or its client lost a message. Nothing, for a reason, if the engine is
        too old for the image's compression, or does not reach the registry."""
        try:
            return self._costs(sandbox)
        except MessageLost:
            return self._costs(sandbox)
        except (UnknownCompression, OutOfReach) as error:
            if isinstance(error, UnknownCompression) and not self.kind.endswith(ZSTD):
                raise
            raise StoppedShort(f"{error.reason} ({error.remedy})", {}) from error

    def _costs(self, sandbox: Sandbox) -> Mapping[str, float]:
        images = _images(sandbox)
        offer = _offered(images, self.kind)
        images.clear(self.kind)
        try:
            return {
                **_fetched(sandbox, images, offer),
                "start-again": _started_again(sandbox, offer),
                **_with_ten(sandbox, images, offer),
                "remove": _seconds(lambda: images.remove(offer.image)),
                "load": _seconds(lambda: images.load(offer.archive)),
                "push": _seconds(lambda: images.push(offer.image, offer.elsewhere)),
                **_with_the_layers_below(images, offer, self.kind),
                **_built(images, offer, self.kind),
                **_imported(images, offer, self.kind),
            }
        finally:
            with suppress(MeasurementError):  # the next cell reports it
                images.clear(self.kind)


def _images(sandbox: Sandbox) -> Images:
    if not isinstance(sandbox, KeepsImages):
        raise MeasurementError("its sandbox has no images")
    return sandbox.images()


def _offered(images: Images, kind: str) -> Offer:
    from isobench.images.kinds import layers_of_kind

    return images.offer(kind, layers_of_kind(kind))


def _rebuilt(images: Images, offer: Offer, kind: str) -> dict[str, str]:
    """What two builds without a cache have in common; empty if the engine builds no such image."""
    if offer.context is None or not isinstance(images, BuildsImages):
        return {}
    made = []
    try:
        for number in range(2):
            images.clear(kind)
            time.sleep(number)  # an archive has the times of files in whole seconds: two quick builds would look alike
            images.build(offer.context, offer.image, cached=False)
            made.append(images.digests(offer.image))
        images.clear(kind)
    except MeasurementError as error:  # the first cell clears, and reports it
        return {"rebuilt": f"not known: {error.reason}"}
    (image, layers), (other, others) = made
    alike = sum(one in others for one in layers)
    itself = "the same" if image == other else "another one"
    return {"rebuilt": f"{alike} of {len(layers)} layers are the same, the image is {itself}"}


_SEEN = (
    *("files", "file_bytes", "setuid", "devices", "readable", "writable", "mounted", "processes"),
    *("user", "capabilities", "seccomp", "calls"),
)
"""Of what the surface scenario sees: what may depend on an image, and the boundary, which should not."""


_UNSEEN = "the engine does not name the folders of an image, or this user may not look into them"
"""Why there is no number for what an image takes on the disk."""


def _seen(sandbox: Sandbox, images: Images, offer: Offer, kind: str) -> dict[str, str]:
    """The surface of a container of it, seen from inside; and why not what it takes on the disk."""
    try:
        images.clear(kind)
        images.pull(offer.image)
        found = seen_inside(sandbox, offer.image)
        on_disk = {} if images.disk_bytes(offer.image) else {"without.disk": _UNSEEN}
        images.clear(kind)
    except IsobenchError as error:  # the first cell clears, and reports it
        return {"inside": f"not known: {error.reason}"}
    return {**{f"inside.{name}": found[name] for name in _SEEN}, **on_disk}


def _fetched(sandbox: Sandbox, images: Images, offer: Offer) -> dict[str, float]:
    """Pull it while nothing of it is in the engine, and start one container."""
    began = time.monotonic()
    pulled = images.pull(offer.image)
    ended = time.monotonic()
    if pulled.reused:
        raise MeasurementError(f"{pulled.reused} layers of the image were there already, so the pull was not cold")
    values = {"pull": ended - began}
    if pulled.fetched is not None:
        values |= {"fetch": pulled.fetched - began, "unpack": ended - pulled.fetched}
    values |= _on_disk(images, offer, "disk")
    with sandbox.launch(of_image(offer.image)) as instance:
        values |= _on_disk(images, offer, "disk-first")
        values |= _memory(instance)
        instance.wait()
    events = instance.events
    values["start"] = start_seconds(events)
    if "attached" in events:  # only engines report `created`; for a client it is its own process
        values["create"] = (events["created"] - events["requested"]) / 1e9
    return {"first-byte": values["pull"] + values["start"], **values}


def _started_again(sandbox: Sandbox, offer: Offer) -> float:
    """Start another container of it. The first one of a larger image is later for a reason that passes: an engine
    unmounts an overlay when it makes a container, for which the kernel writes back what the pull has written."""
    os.sync()
    with sandbox.launch(of_image(offer.image)) as instance:
        instance.wait()
    return start_seconds(instance.events)


def _memory(instance: Instance) -> dict[str, float]:
    """What its processes take; empty if that cannot be observed."""
    from isobench.resources.memory import process_memory

    time.sleep(SETTLE_SECONDS)
    taken = process_memory(instance.host_pids()).pss
    return {"memory": float(taken)} if taken > 0 else {}


def _on_disk(images: Images, offer: Offer, metric: str) -> dict[str, float]:
    """What the image takes now; empty if that cannot be observed."""
    disk = images.disk_bytes(offer.image)
    return {metric: float(disk)} if disk else {}


def _with_ten(sandbox: Sandbox, images: Images, offer: Offer) -> dict[str, float]:
    """What it takes while ten containers of it run at once. Not started if that cannot be observed."""
    if images.disk_bytes(offer.image) is None:
        return {}
    launch = of_image(offer.image)._replace(watch_end=False)
    with ExitStack() as running:
        instances = [running.enter_context(sandbox.launch(launch)) for _ in range(10)]
        values = _on_disk(images, offer, "disk-tenth")
        for instance in instances:  # an engine's client that is killed may leave its container
            instance.wait()
    return values


def _with_the_layers_below(images: Images, offer: Offer, kind: str) -> dict[str, float]:
    """Pull it while an image with all its layers but the uppermost is in the engine; nothing if it has only one
    layer."""
    if not offer.below:
        return {}
    images.clear(kind)
    images.pull(offer.below)
    return {"pull-top": _seconds(lambda: images.pull(offer.image))}


def _built(images: Images, offer: Offer, kind: str) -> dict[str, float]:
    """Build it twice with each builder; empty if the engine cannot build images, or if the image has very many
    layers."""
    context = offer.context
    if context is None or not isinstance(images, BuildsImages):
        return {}
    builders = {"build": images.build}
    if isinstance(images, HasBuildKit) and not images.lacks_buildkit():
        builders["buildkit"] = images.build_with_buildkit
    values = {}
    for name, build in builders.items():
        images.clear(kind)
        values[name] = _seconds(partial(build, context, offer.image, cached=False))
        values[f"{name}-cached"] = _seconds(partial(build, context, offer.image, cached=True))
    return values


def _imported(images: Images, offer: Offer, kind: str) -> dict[str, float]:
    """Import its files, of which nothing is there; empty where that is not done."""
    if offer.root is None or not isinstance(images, ImportsFiles):
        return {}
    images.clear(kind)
    return {"import": _seconds(partial(images.import_files, offer.root, offer.image))}


def _seconds(call: Callable[[], object]) -> float:
    began = time.monotonic()
    call()
    return time.monotonic() - began


SCENARIOS: tuple[Scenario, ...] = tuple(Image(kind, title) for kind, title in KINDS.items())
