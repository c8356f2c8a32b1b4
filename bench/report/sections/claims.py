"""11. What people say of containers, and what this run measured of it. What it did not measure is listed as open."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bench.report import format
from bench.report.blocks import Block, Paragraph, Span, table
from bench.report.context import Section

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.report.blocks import Style, Text
    from bench.report.context import Context, Estimate

VM_NAMES = ("kvm", "tcg")


class Answer(NamedTuple):
    """What the run says: "holds", "does not hold", "measured" (a number, no yes or no) or "open"; and the numbers."""

    verdict: str
    words: str = ""


class Claim(NamedTuple):
    said: str
    answer: Callable[[Context], Answer]


OPEN = Answer("open")


def build(context: Context) -> list[Block]:
    if not context.estimates:
        return []
    answers = [(claim.said, _answer(context, claim)) for claim in CLAIMS]
    rows: list[list[Text]] = [
        [said, Span(a.verdict, _STYLES[a.verdict]), a.words or "not measured by this run"] for said, a in answers
    ]
    is_open = sum(a.verdict == "open" for _, a in answers)
    text = f"{len(answers) - is_open} of {len(answers)} claims have a measurement in this run, {is_open} are open."
    columns = ["what is said", "verdict", "what was measured"]
    return [Paragraph(text), table("Claims, each with its measured verdict", columns, rows, left=3)]


_STYLES: dict[str, Style] = {"holds": "good", "does not hold": "bad", "measured": "strong", "open": "neutral"}


def _answer(context: Context, claim: Claim) -> Answer:
    return claim.answer(context)


def _parts(context: Context) -> Answer:
    hand, docker = (context.find("startup", "ready", name) for name in ("handmade", "docker"))
    if hand is None or docker is None:
        return _costs(context, "startup", "ready", ["ns-all"], "all namespaces together start in")
    return Answer(
        "measured",
        f"a container made by hand starts in {hand.value_text} ({hand.ratio_text}), Docker's in {docker.value_text}: "
        f"{format.about(hand.median / docker.median)} of it is the kernel's isolation",
    )


def _own_kernel(context: Context) -> Answer:
    for vm in VM_NAMES:
        null, full = context.find("startup", "ready", f"{vm}-null"), context.find("startup", "ready", vm)
        if null is not None and full is not None:
            gap = format.signed(full.median - null.median, "second")
            return Answer(
                "measured",
                f"{vm}: VMM and firmware take {null.value_text}, guest kernel and user space {gap} more",
            )
    return OPEN


def _namespaces(context: Context) -> Answer:
    names = ["mnt", "uts", "ipc", "pid", "net", "user", "cgroup", "time"]
    found = [(n, context.find("startup", "ready", f"ns-{n}")) for n in names]
    alone = [f"{name} {row.ratio_text}" for name, row in found if row is not None]
    if not alone:
        return _costs(context, "startup", "ready", ["ns-all", "ns-all-user"], "start of all together:")
    return Answer("measured", f"start with one namespace against none: {format.listing(alone, 8)}")


def _cgroup(context: Context) -> Answer:
    return _rung(context, "ns-all+cgroup", "ns-all", "a fresh cgroup with limits adds")


def _chroot(context: Context) -> Answer:
    return _costs(context, "startup", "ready", ["chroot", "pivot-root"], "start with another root:")


def _layers(context: Context) -> Answer:
    return _rung(context, "ns-all+overlay", "ns-all+seccomp", "an overlay root adds")


def _privileges(context: Context) -> Answer:
    answer = _rung(context, "ns-all+caps", "ns-all+cgroup", "fewer capabilities add")
    seccomp = _rung(context, "ns-all+seccomp", "ns-all+caps", "a seccomp filter adds")
    if answer is OPEN or seccomp is OPEN:
        return answer if seccomp is OPEN else seccomp
    return Answer("measured", f"{answer.words}; {seccomp.words}")


def _light(context: Context) -> Answer:
    return _below_vm(context, "startup", "ready", "starts in")


def _saving(context: Context) -> Answer:
    for scenario, metric in (("density", "memavailable-slope"), ("density", "pss-slope"), ("memory", "pss")):
        answer = _below_vm(context, scenario, metric, "takes")
        if answer is not OPEN:
            return answer
    return OPEN


def _clean(context: Context) -> Answer:
    return _costs(context, "startup", "gone", ["docker", "handmade", *VM_NAMES], "from its end until all is freed:")


def _overhead(context: Context) -> Answer:
    words = []
    for scenario, metric, what in (("syscall", "getppid", "a system call"), ("io", "", "I/O")):
        metrics = context.metrics_of(scenario)
        name = metric if metric in metrics else metrics[0] if metrics else ""
        row = context.find(scenario, name, "docker")
        if row is not None:
            words.append(f"{what} ({row.name}) in Docker costs {row.ratio_text}")
    return Answer("measured", "; ".join(words)) if words else OPEN


def _unmeasured(context: Context) -> Answer:
    return OPEN


def _costs(context: Context, scenario: str, metric: str, names: list[str], lead: str) -> Answer:
    """The absolute cost and ratio of each of these environments that was measured."""
    rows = [row for name in names if (row := context.find(scenario, metric, name)) is not None]
    parts = [f"{row.environment} {row.value_text} ({row.ratio_text})" for row in rows]
    return Answer("measured", f"{lead} {format.listing(parts)}") if parts else OPEN


def _rung(context: Context, upper: str, lower: str, lead: str) -> Answer:
    """The paired difference of two neighbouring rungs in time to the first byte."""
    found = [d for d in context.differences if (d.environment, d.compared_with) == (upper, lower)]
    ready = next((d for d in found if (d.scenario, d.metric) == ("startup", "ready")), None)
    return OPEN if ready is None else Answer("measured", f"{lead} {ready.text} to the start")


def _below_vm(context: Context, scenario: str, metric: str, verb: str) -> Answer:
    """Whether Docker costs less than a VM: their intervals of the ratio to the same baseline do not meet."""
    docker = context.find(scenario, metric, "docker")
    vm = next((row for name in VM_NAMES if (row := context.find(scenario, metric, name)) is not None), None)
    if docker is None or vm is None:
        return OPEN
    words = f"Docker {verb} {_full(docker)}, {vm.environment} {_full(vm)}"
    if docker.ratio_high < vm.ratio_low:
        return Answer("holds", words)
    return Answer("does not hold" if docker.ratio_low > vm.ratio_high else "measured", words)


def _full(row: Estimate) -> str:
    return f"{row.value_text} ({row.ratio_text})"


CLAIMS = (
    Claim("A container is an ordinary process plus namespaces, a cgroup, a new root and fewer privileges", _parts),
    Claim("A virtual machine differs in not sharing the host's kernel", _own_kernel),
    Claim("Each namespace isolates one resource", _namespaces),
    Claim("cgroups monitor and limit CPU, memory, disk I/O and network bandwidth", _cgroup),
    Claim("chroot gives a process another root", _chroot),
    Claim("Environment variables and the rest of a process's state are its own", _unmeasured),
    Claim("Images are layers on a union file system", _layers),
    Claim("Minimal images start faster, take less and expose less", _unmeasured),
    Claim("Capabilities, user namespaces and the like take privileges away from a container's root", _privileges),
    Claim("Containers are lightweight: a very short start, no kernel of their own", _light),
    Claim("Containers save resources: nothing is reserved per instance", _saving),
    Claim("Containers are quick to set up and leave the host clean", _clean),
    Claim("Containers have drawbacks: a weaker boundary, dependence on the host, overhead", _overhead),
)


SECTION = Section(110, "claims", "The claims about containers", build)
