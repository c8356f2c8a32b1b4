"""Every mechanism of the catalogue, undisturbed and with the harness killed: nothing stays on the host."""

from __future__ import annotations

import json
import random
import subprocess
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from isobench.planning import catalog
from verification.faults.place import Line, Tally
from verification.faults.stopping import survivors, unloadable

if TYPE_CHECKING:
    from collections.abc import Callable

    from isobench.planning import catalog
from verification.faults.place import Place

TIMES = 10
"""How often the harness is killed for each family."""
OUTLIVE = ("containerd",)
"""Mechanisms whose instances are meant to outlive their client: the next start, or `clean`, ends them."""
NEXT = ("run", "-e", "process", "-s", "startup", "--blocks", "1", "--no-report", "-q")


class Family(NamedTuple):
    """Environments of one or a few mechanisms, and scenarios that exercise them."""

    environments: str
    scenarios: str = "startup"


FAMILIES = {
    "native": Family("ns-all-user,ns-all+cgroup,handmade,process-tmpfs"),
    "oci": Family("runc,crun"),
    "containerd": Family("containerd", "startup,image-busybox"),
    "podman": Family("podman", "startup,image-busybox"),
    "lxc": Family("lxc"),
    "nspawn": Family("nspawn,bubblewrap"),
    "docker": Family("docker,docker-nonet,docker-privileged", "startup,io-copy-up,image-busybox"),
    "docker-runsc": Family("docker-runsc"),
    "docker-storage": Family("docker-bind,docker-volume,docker-tmpfs", "io-meta"),
    "docker-net": Family("docker-published", "net"),
    "null": Family("tcg-null,kvm-null"),
    "guest": Family("tcg"),
    "guest-storage": Family("tcg-virtiofs", "io-meta"),
    "guest-net": Family("tcg-user,tcg-tap"),
}
"""By the module that defines them. KVM guests with a kernel differ from these in QEMU's accelerator only, and boot only
on other hosts."""

_MINUTES = "isobench.environments.libvirt.distro"
"""The module whose environments take minutes to boot on TCG."""


def _others() -> dict[str, Family]:
    """The environments of all other modules, by module."""
    known = catalog.environments()
    chosen = [name for family in FAMILIES.values() for name in family.environments.split(",")]
    covered = {_MINUTES, *(type(known[name]).__module__ for name in chosen)}
    found: dict[str, list[str]] = {}
    for name, one in known.items():
        if type(one).__module__ not in covered:
            found.setdefault(type(one).__module__.rpartition(".")[2], []).append(name)
    return {module: Family(",".join(names)) for module, names in found.items()}


FAMILIES |= _others()


def undisturbed(place: Place) -> Line:
    """Two blocks and an orderly end."""
    tally, lacking = Tally(place), ""
    for family in FAMILIES.values():
        lacking += "".join(f"; not here: {why}" for why in absent(place, family).values())
        before = place.before()
        code, said = place.call(*_run(family, 2))
        tally.add("" if code in (0, 5) else f"{family.environments}: exit code {code}: {said[-300:]}", before)
    return tally.line(
        "nothing: every mechanism left alone", f"two blocks each; whole trees compared before and after{lacking}"
    )


def killed(place: Place, name: str) -> Line:
    """kill -9 of the harness at random moments, half of them during the blocks.

    Half of the time the next start cleans up, half of the time `isobench clean`.
    """
    tally, family, dice, late = Tally(place), FAMILIES[name], random.Random(name), 0
    lacking = absent(place, family)
    if len(lacking) == len(family.environments.split(",")):
        return tally.line(f"kill -9 over {family.environments}", f"not here: {'; '.join(lacking.values())}")
    for turn in range(TIMES):
        before = place.before()
        process = place.start(*_run(family, 500))
        if turn % 2:
            place.await_block(0, process)
        with suppress(subprocess.TimeoutExpired):
            process.wait(dice.uniform(0, 1.5) if turn % 2 else dice.uniform(0.3, 3.0))
        block = place.block()
        late += block >= 0
        wrong = "" if process.poll() is None else f"it had ended: {place.last_lines()}"
        process.kill()
        process.wait()
        wrong = wrong or unloadable(place, block)
        if name not in OUTLIVE and (living := survivors(place)):
            wrong = wrong or f"still there 5 s after its parent: {living[0]}"
        code, said = place.call("clean") if turn % 4 < 2 else place.call(*NEXT)
        tally.add(wrong or (f"the next start: exit code {code}: {said[-300:]}" if code not in (0, 5) else ""), before)
    note = f"{late} of them during a block; all earlier blocks are on disk"
    if name not in OUTLIVE and tally.survived == tally.injected:
        note += "; nothing outlived its parent by 5 s"
    note += "".join(f"; not here: {why}" for why in lacking.values())
    return tally.line(f"kill -9 over {family.environments}", note)


def absent(place: Place, family: Family) -> dict[str, str]:
    """The environments of a family that this host cannot run, and why: the row shows nothing about them."""
    _, said = place.call("doctor", "-e", family.environments, "--json")
    findings = json.JSONDecoder().raw_decode(said[said.index("{") :])[0]["findings"]
    return {
        one["name"]: f"{one['name']} ({one['reason'][:80]})"
        for one in findings
        if one["kind"] == "environment" and one["outcome"] != "PASS"
    }


def _run(family: Family, blocks: int) -> tuple[str, ...]:
    words = ("run", "-e", family.environments, "-s", family.scenarios, "--no-report")
    return (*words, "--blocks", str(blocks))


ROWS: dict[str, Callable[[Place], Line]] = {
    "undisturbed": undisturbed,
    **{f"kill-{name}": partial(killed, name=name) for name in FAMILIES},
}
