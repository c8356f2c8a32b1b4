"""Common claims about containers, and what this run measured of them. Claims that it did not measure are listed as
open."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from isobench.analysis.verdicts import verdict
from isobench.contracts.image_kinds import KINDS
from isobench.layout import format
from isobench.layout.blocks import Block, Paragraph, Span, table
from isobench.report import rules
from isobench.report.caveats import artefact
from isobench.report.context import Section
from isobench.report.sections import _disks, capacity, images, limits, neighbours
from isobench.report.sections._shared import count_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from isobench.analysis.results import Estimate
    from isobench.layout.blocks import Style, Text
    from isobench.report.context import Context

VM_NAMES = ("kvm", "tcg")
_DOCKER = ("docker",)
_WITH_ALL = "isobench run"
_RUNGS, _TOO_MANY = "isobench run -e ladder -s startup", "every rung of the ladder would make each block longer"
_IMAGES = "isobench run -e docker -s image"
_EVERY_TIME = "images are pulled, loaded and removed anew in each block"
_LARGEST = ("full", "slim", "distroless", "busybox")
"""Kinds of images that contain more than the program, the largest first."""
_USABLE = {"set-uid": "set-uid program", "shells": "shell", "interpreters": "interpreter"}
"""Facts about an image that name what an intruder could use, each with its name in the singular."""


class Answer(NamedTuple):
    """The run's answer: "holds", "does not hold", "measured" (a number, neither yes nor no) or "open"; and the
    numbers."""

    verdict: str
    words: str = ""


class Claim(NamedTuple):
    """The claim, the function that answers it, and the command whose run would answer it."""

    said: str
    answer: Callable[[Context], Answer]
    command: str = _WITH_ALL
    why: str = ""
    """Why a run of the defaults does not."""
    of: tuple[tuple[str, ...], ...] = ()
    """Groups of environments, of each of which one has to be measured."""


OPEN = Answer("open")


def build(context: Context) -> list[Block]:
    if not context.estimates:
        return []
    answers = [(claim, claim.answer(context)) for claim in CLAIMS]
    rows: list[list[Text]] = [
        [claim.said, Span(a.verdict, _STYLES[a.verdict]), a.words or _elsewhere(context, claim)] for claim, a in answers
    ]
    is_open = sum(a.verdict == "open" for _, a in answers)
    if is_open == len(answers):
        return []
    text = f"{len(answers) - is_open} of {len(answers)} claims have a measurement in this run, {is_open} are open."
    columns = ["what is said", "verdict", "what was measured"]
    return [Paragraph(text), table("Claims, each with its measured verdict", columns, rows, left=3)]


_STYLES: dict[str, Style] = {"holds": "good", "does not hold": "bad", "measured": "strong", "open": "neutral"}


def _elsewhere(context: Context, claim: Claim) -> Text:
    words = (Span("not measured in this run, but by"), Span(claim.command, "code"))
    why = "; ".join(filter(None, (claim.why, *_unavailable(context, claim))))
    return (*words, Span(f"({why})")) if why else words


def _unavailable(context: Context, claim: Claim) -> list[str]:
    """The environments that could have answered and are not to be had on this host, with the reasons."""
    skipped = {one.environment: one.reason for one in context.session.skips if not one.scenario}
    usable = {record.name for record in context.session.environments} - skipped.keys()
    return [
        f"{name} is unavailable: {format.clean(skipped[name], 120)}"
        for group in claim.of
        if not usable.intersection(group)
        for name in group
        if name in skipped
    ]


def _parts(context: Context) -> Answer:
    hand, docker = (context.find("startup", "ready", name) for name in ("handmade", "docker"))
    if hand is None or docker is None:
        return _costs(context, "startup", "ready", ["ns-all"], "all namespaces together start in")
    return Answer(
        "measured",
        f"a container made by hand starts in {_full(hand)}, Docker's in {format.cost(docker)}: "
        f"{format.about(hand.median / docker.median)} of it is the kernel's isolation",
    )


def _own_kernel(context: Context) -> Answer:
    for vm in VM_NAMES:
        null, full = context.find("startup", "ready", f"{vm}-null"), context.find("startup", "ready", vm)
        if null is not None and full is not None:
            gap = format.signed(full.median - null.median, "second")
            words = f"{vm}: VMM and firmware take {format.cost(null)}, guest kernel and user space {gap} more"
            kernels = _seen(context, "kernel", ["docker", vm])
            return Answer("measured", f"{words}; the kernel seen inside: {kernels}" if kernels else words)
    return OPEN


def _namespaces(context: Context) -> Answer:
    names = ["mnt", "uts", "ipc", "pid", "net", "user", "cgroup", "time"]
    found = [(n, context.find("startup", "ready", f"ns-{n}")) for n in names]
    alone = [f"{name} {format.against(row)}" for name, row in found if row is not None]
    if not alone:
        return _costs(context, "startup", "ready", ["ns-all", "ns-all-user"], "start of all together:")
    return Answer("measured", f"start with one namespace against none: {format.listing(alone, 8)}")


def _cgroup(context: Context) -> Answer:
    adds = _rung(context, "ns-all+cgroup", "ns-all", "a fresh cgroup with limits adds").words
    held = limits.sentence(context, ("handmade", "ns-all+cgroup", "runc", "docker"))
    names = ["handmade", "ns-all+cgroup", "docker", *VM_NAMES]
    watched = _costs(context, "monitoring", "read", names, "reading what an instance uses:").words
    pressed = neighbours.sentence(context, ("docker", "handmade", "ns-all+cgroup"))
    words = "; ".join(filter(None, (adds, held, watched, pressed)))
    return Answer("measured", words) if words else OPEN


def _chroot(context: Context) -> Answer:
    return _costs(context, "startup", "ready", ["chroot", "pivot-root"], "start with another root:")


def _privileges(context: Context) -> Answer:
    steps = [
        _rung(context, "ns-all+caps", "ns-all+cgroup", "fewer capabilities add").words,
        _rung(context, "ns-all+seccomp", "ns-all+caps", "a seccomp filter adds").words,
    ]
    names = ["process", "ns-all-user", "docker", "docker-unconfined", "docker-privileged"]
    held, filters = _seen(context, "capabilities", names), _seen(context, "seccomp", names)
    steps += [f"capabilities held: {held}" if held else "", f"seccomp: {filters}" if filters else ""]
    words = "; ".join(step for step in steps if step)
    return Answer("measured", words) if words else OPEN


def _state(context: Context) -> Answer:
    """The state in which a program is started, in several environments."""
    names = ["process", "docker", *VM_NAMES]
    told = {what: _seen(context, what, names) for what in ("pid", "environment", "umask")}
    words = "; ".join(f"{what}: {text}" for what, text in told.items() if text)
    return Answer("measured", words) if words else OPEN


def _light(context: Context) -> Answer:
    return _below_vm(context, "startup", "ready", "starts in")


def _saving(context: Context) -> Answer:
    answers = [_below_vm(context, *metric, "takes") for metric in (("density", "available"), ("memory", "pss"))]
    answer = next((one for one in answers if one is not OPEN), OPEN)
    freed = _costs(context, "memory-touch", "freed", ["docker", *VM_NAMES], "after touching memory and freeing it:")
    under_load = capacity.sentence(context, ("process", "docker", *VM_NAMES))
    if answer is OPEN:
        return Answer("measured", under_load) if under_load else OPEN
    return answer._replace(words="; ".join(filter(None, (answer.words, freed.words, under_load))))


def _clean(context: Context) -> Answer:
    answer = _costs(context, "startup", "gone", ["docker", "handmade", *VM_NAMES], "from its end until all is freed:")
    opened = [
        f"{record.name} {format.quantity(record.opened_seconds, 'second')}"
        for record in context.session.environments
        if record.name in ("handmade", "docker", *VM_NAMES) and record.opened_seconds > 0
    ]
    left = context.session.left_behind
    words = [
        answer.words,
        f"set up in {format.listing(opened)}" if opened else "",
        _from_image(context),
        "" if left is None else f"left behind after the run: {format.listing([format.clean(one, 80) for one in left])}",
    ]
    told = "; ".join(word for word in words if word)
    return Answer("does not hold" if left else "measured", told) if told else OPEN


def _from_image(context: Context) -> str:
    """How long the largest kind of image that was measured takes in Docker until it can be used, and to remove it; and
    whether it is built alike twice."""
    steps = {"first-byte": "fetched and started", "build": "built", "build-cached": "built again", "remove": "removed"}
    for kind in _LARGEST:
        found = {metric: context.find(f"{images.PREFIX}{kind}", metric, "docker") for metric in steps}
        told = [f"{steps[metric]} in {format.cost(row)}" for metric, row in found.items() if row is not None]
        if told:
            record = context.environment("docker")
            rebuilt = record.facts.get(f"{images.PREFIX}{kind}.rebuilt", "") if record else ""
            is_known = rebuilt and not rebuilt.startswith("not known")
            alike = f"; of two builds without a cache, {format.clean(rebuilt, 120)}" if is_known else ""
            return f"an image ({KINDS[kind]}) is {format.listing(told)} by Docker{alike}"
    return ""


def _overhead(context: Context) -> Answer:
    words = []
    for scenario, metric, what in (("syscall", "getppid", "a system call"), ("io", "", "I/O")):
        metrics = context.metrics_of(scenario)
        name = metric if metric in metrics else metrics[0] if metrics else ""
        row = context.find(scenario, name, "docker")
        if row is not None:
            words.append(f"{what} ({row.name}) in Docker costs {format.against(row)}")
    names = ["docker", *VM_NAMES]
    kernels = _seen(context, "kernel", names)
    words += [f"the kernel seen inside: {kernels}"] if kernels else []
    writable = [
        f"{name} {0 if text == 'none' else len(text.split(', '))}"
        for name, text in _facts(context, "writable", ["process", *names]).items()
    ]
    words += [f"kernel files it can open for writing: {format.listing(writable)}"] if writable else []
    made = _seen(context, "host_calls", ["process", *names])
    words += [f"different system calls of the host's kernel for the same work: {made}"] if made else []
    return Answer("measured", "; ".join(words)) if words else OPEN


def _layered(context: Context) -> Answer:
    """An overlay root's cost, and what a second instance of one image adds."""
    overlay = _rung(context, "ns-all+overlay", "ns-all+seccomp", "an overlay root adds")
    copied = _costs(context, "io-copy-up", "copy-up-1m", ["docker"], "the first write to a file of 1 MiB in a layer:")
    second = _costs(context, "sharing", "second", ["docker", *VM_NAMES], "a second instance of one image adds")
    parts = (*(one.words for one in (overlay, copied, second)), _in_layers(context), _one_more(context))
    words = "; ".join(filter(None, parts))
    return Answer("measured", words) if words else _on_its_layers(context)


def _on_its_layers(context: Context) -> Answer:
    """What reading and writing costs on the union file system that Docker makes for a container."""
    record, metrics = context.environment("docker"), context.metrics_of("io")
    row = context.find("io", metrics[0], "docker") if metrics else None
    storage = record.facts.get("storage", "") if record is not None else ""
    if row is None or not storage:
        return OPEN
    words = f"on Docker's storage ({format.clean(storage, 80)}) {row.name} costs {format.against(row)}"
    return Answer("measured", f"{words}; what layers cost is measured by {_IMAGES}")


def _in_layers(context: Context) -> str:
    """The cost of the number of layers, and what existing layers save."""
    for kind in ("layers-120", "layers-50", "layers-10"):
        ratio = images.against(context, "pull", kind, "layers-1", "docker")
        whole, top = (context.find(f"{images.PREFIX}{kind}", metric, "docker") for metric in ("pull", "pull-top"))
        if ratio is not None and whole is not None and top is not None:
            return (
                f"Docker pulls files in {KINDS[kind]} in {format.cost(whole)}, {ratio.words} of what the same files "
                f"take in one, and with all layers but the uppermost there in {format.cost(top)}"
            )
    return ""


def _one_more(context: Context) -> str:
    """What one more instance of the same files takes on the disk, as a container and as a virtual machine."""
    taken = [_disks.container_bytes(context, kind, "docker") for kind in KINDS]
    own = next((value for value in reversed(taken) if value == value), None)
    container = f"one more container takes {format.quantity(own, 'byte')} on the disk" if own is not None else ""
    return "; ".join(filter(None, (container, _disks.sentence(context, VM_NAMES))))


def _facts(context: Context, fact: str, names: list[str]) -> dict[str, str]:
    """What the surface scenario saw in these environments."""
    records = [record for name in names if (record := context.environment(name)) is not None]
    return {r.name: r.facts[f"surface.{fact}"] for r in records if f"surface.{fact}" in r.facts}


def _seen(context: Context, fact: str, names: list[str]) -> str:
    found = _facts(context, fact, names)
    return format.listing([f"{name} {format.clean(text, 80)}" for name, text in found.items()]) if found else ""


def _minimal(context: Context) -> Answer:
    """The largest kind of image that was measured against one from scratch, in each of the three respects. It holds if
    a container starts faster both from an image that is there and from the registry, less is sent, and less is
    exposed."""
    for kind in _LARGEST:
        ratios = {
            metric: ratio
            for metric in ("start-again", "first-byte", "memory")
            if (ratio := images.against(context, metric, kind, "scratch", "docker")) is not None
        }
        if not ratios.keys() >= {"start-again", "first-byte"}:
            continue
        start, first, memory = (ratios[m].words if m in ratios else "" for m in ("start-again", "first-byte", "memory"))
        words = [
            f"{KINDS[kind]} against an image from scratch, in Docker: a container of an image that is there takes "
            f"{start} as long to start, one from the registry {first}",
            f"its processes take {memory} as much memory" if memory else "",
            _less(context, kind),
        ]
        is_slower = all(verdict(*ratios[metric]) == "slower" for metric in ("start-again", "first-byte"))
        holds = is_slower and _has_more(context, kind)
        return Answer("holds" if holds else "measured", "; ".join(filter(None, words)))
    return _within_reach(context)


def _has_more(context: Context, kind: str) -> bool:
    """Whether more is sent of a kind of image than of one from scratch, and it has what an intruder could use."""
    sent, least = (images.told_number(context, one, "wire") for one in (kind, "scratch"))
    return sent > least and any(count_of(images.told(context, kind, fact)) for fact in _USABLE)


def _within_reach(context: Context) -> Answer:
    """What isobench's own image, which is from scratch, exposes in comparison with a host's root file system."""
    files, programs = (_facts(context, fact, ["process", "docker"]) for fact in ("files", "setuid"))
    if not files.keys() & programs.keys() >= {"process", "docker"}:
        return OPEN
    here, there = (
        f"{format.clean(files[name], 30)} files, {format.clean(programs[name], 10)} set-uid"
        for name in ("docker", "process")
    )
    words = f"in isobench's own image, which is from scratch, a program sees {here}, without an image {there}"
    return Answer("measured", f"{words}; start and size of other images are measured by {_IMAGES}")


def _less(context: Context, kind: str) -> str:
    """What a kind of image takes and exposes compared with one from scratch; empty if the run did not record it."""
    if not images.told(context, kind, "wire"):
        return ""
    sent = [format.quantity(images.told_number(context, one, "wire"), "byte") for one in (kind, "scratch")]
    inside = [format.count(count_of(images.told(context, kind, fact)), what) for fact, what in _USABLE.items()]
    words = f"{sent[0]} are sent instead of {sent[1]}, with {format.listing(inside)} instead of none"
    return f"{words}{_boundary(context, kind)}"


def _boundary(context: Context, kind: str) -> str:
    """How many system calls are let through in Docker from a kind of image and from scratch; empty if not recorded."""
    record = context.environment("docker")
    calls = [record.facts.get(f"{images.PREFIX}{one}.inside.calls", "") if record else "" for one in (kind, "scratch")]
    if not all(calls):
        return ""
    here, there = (format.clean(number, 10) for number in calls)
    return f"; {here} system calls are let through" + (", as from scratch" if here == there else f" instead of {there}")


def _costs(context: Context, scenario: str, metric: str, names: list[str], lead: str) -> Answer:
    """The absolute cost and ratio of each of these environments that was measured."""
    rows = [row for name in names if (row := context.find(scenario, metric, name)) is not None]
    parts = [f"{row.environment} {format.cost(row)} ({format.against(row)})" for row in rows]
    return Answer("measured", f"{lead} {format.listing(parts)}") if parts else OPEN


def _rung(context: Context, upper: str, lower: str, lead: str) -> Answer:
    """The paired difference of two neighbouring rungs in time to the first byte."""
    found = [d for d in context.differences if (d.environment, d.compared_with) == (upper, lower)]
    ready = next((d for d in found if (d.scenario, d.metric) == ("startup", "ready")), None)
    return OPEN if ready is None else Answer("measured", f"{lead} {format.difference(ready)} to the start")


def _below_vm(context: Context, scenario: str, metric: str, verb: str) -> Answer:
    """Whether Docker costs less than a VM, by their own paired difference."""
    docker = context.find(scenario, metric, "docker")
    vm = next((row for name in VM_NAMES if (row := context.find(scenario, metric, name)) is not None), None)
    if docker is None or vm is None:
        return OPEN
    words = f"Docker {verb} {_full(docker)}, {vm.environment} {_full(vm)}"
    if not rules.is_choice(context, vm.environment):
        return Answer("measured", f"{words}; {artefact(context, vm.environment)} decides nothing")
    times = rules.apart(context, scenario, metric, "docker", [vm.environment]).get(vm.environment)
    return Answer("measured" if times is None else "holds" if times > 1 else "does not hold", words)


def _full(row: Estimate) -> str:
    return f"{format.cost(row)} ({format.against(row)})"


CLAIMS = (
    Claim(
        "A container is an ordinary process plus namespaces, a cgroup, a new root and fewer privileges",
        _parts,
        _RUNGS,
        _TOO_MANY,
    ),
    Claim("A virtual machine differs in not sharing the host's kernel", _own_kernel, of=(VM_NAMES,)),
    Claim("Each namespace isolates one resource", _namespaces, _RUNGS, _TOO_MANY),
    Claim(
        "cgroups monitor and limit CPU, memory, disk I/O and network bandwidth",
        _cgroup,
        "isobench run -e ladder -s startup,limits",
        "a limit must be reached to be seen, which takes minutes in each block",
    ),
    Claim("chroot gives a process another root", _chroot),
    Claim("Environment variables and the rest of a process's state are its own", _state),
    Claim("Images are layers on a union file system", _layered, _IMAGES, _EVERY_TIME, (_DOCKER,)),
    Claim("Minimal images start faster, take less and expose less", _minimal, _IMAGES, _EVERY_TIME, (_DOCKER,)),
    Claim(
        "Capabilities, user namespaces and the like take privileges away from a container's root",
        _privileges,
        _RUNGS,
        _TOO_MANY,
    ),
    Claim("Containers are lightweight: a very short start, no kernel of their own", _light, of=(_DOCKER, VM_NAMES)),
    Claim(
        "Containers save resources: nothing is reserved per instance",
        _saving,
        "isobench run -s memory,density,memory-touch,capacity",
        "many instances at once take minutes in each block",
        (_DOCKER, VM_NAMES),
    ),
    Claim("Containers are quick to set up and leave the host clean", _clean),
    Claim("Containers have drawbacks: a weaker boundary, dependence on the host, overhead", _overhead),
)


SECTION = Section(110, "claims", "The claims about containers", build, "Claims")
