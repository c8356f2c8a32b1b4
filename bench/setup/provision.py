"""Installs missing dependencies (Debian, Ubuntu) without removing anything; reports what cannot be installed.

Uses only the standard library and modules that import no SDK: it runs before those are installed.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, NamedTuple

from isobench.core.errors import BuildError, UsageError
from isobench.guests.kernel import fetch_guest_kernel, has_guest_kernel
from isobench.setup import apt

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from isobench.contracts.mechanism import Need


class Refused(NamedTuple):
    """A dependency that cannot be installed here, why, and what cannot be measured without it."""

    package: str
    reason: str
    lost: str

    def __str__(self) -> str:
        return f"not {self.package}: {self.reason}; without it: {self.lost}"


class Outcome(NamedTuple):
    """What was (or would be) done, a line each, and what could not be installed."""

    lines: list[str]
    refused: list[Refused]


def provision(wanted: Sequence[Need], *, dry_run: bool = False) -> Outcome:
    """Install missing dependencies, and download a kernel for guests if the host's own cannot be read.

    Announces each step on standard error, and changes nothing with `dry_run`. Nothing is ever removed. A dependency
    that cannot be installed does not affect the others. Raises `UsageError` without root or apt.
    """
    needs = [need for need in wanted if not need.present()]
    kernel = _kernel_is_missing()
    if not needs and not kernel:
        _say("nothing is missing")
        return Outcome(["nothing is missing"], [])
    if not apt.is_here():
        names = " ".join(need.packages[0] for need in needs)
        raise UsageError(
            f"provisioning supports Debian and Ubuntu; install these yourself: {names or 'a kernel image'}"
        )
    if not dry_run and os.geteuid() != 0:
        raise UsageError("provisioning installs packages and needs root", remedy="run it with sudo, or see --dry-run")
    if not dry_run:
        broken = apt.update()
        if broken:
            _say(f"some package lists are not up to date: {broken}")
    known = apt.policy(sorted({name for need in needs for name in need.packages}))
    chosen, refused = _choose(needs, known)
    again = {name for name in chosen if known[name]}
    lines = _announce(chosen, again, refused, kernel=kernel)
    if not dry_run:
        refused += _install(chosen, again)
        if kernel:
            refused += _fetch_kernel()
    return Outcome(lines + [str(one) for one in refused], refused)


def _choose(needs: Sequence[Need], known: Mapping[str, bool]) -> tuple[dict[str, Need], list[Refused]]:
    """The package for each dependency, if apt would install it without removing anything."""
    chosen: dict[str, Need] = {}
    refused: list[Refused] = []
    for need in needs:
        name = next((name for name in need.packages if name in known), None)
        if name is None:
            refused.append(Refused(need.packages[0], "apt finds no such package here", need.lost))
        else:
            chosen.setdefault(name, need)
    whole = apt.outlook(list(chosen))
    if chosen and (whole.removed or whole.why_not):
        chosen, one_by_one = _without_harm(chosen)
        refused += one_by_one
    return chosen, refused


def _without_harm(wanted: dict[str, Need]) -> tuple[dict[str, Need], list[Refused]]:
    """The packages that can be installed together with the ones before them."""
    chosen: dict[str, Need] = {}
    refused = []
    for name, need in wanted.items():
        seen = apt.outlook([*chosen, name])
        if seen.removed:
            what = f"apt would remove {', '.join(seen.removed)} for it; decide that yourself"
            refused.append(Refused(name, what, need.lost))
        elif seen.why_not:
            refused.append(Refused(name, f"apt cannot install it: {seen.why_not}", need.lost))
        else:
            chosen[name] = need
    return chosen, refused


def _announce(
    chosen: dict[str, Need], again: Collection[str], refused: Sequence[Refused], *, kernel: bool
) -> list[str]:
    lines = [f"install {name}" for name in chosen if name not in again]
    lines += [
        f"reinstall {name}: the package is installed, but what it provides is missing"
        for name in chosen
        if name in again
    ]
    upgraded = apt.outlook(list(chosen)).upgraded if chosen else []
    if upgraded:
        lines.append(f"this also upgrades {', '.join(upgraded)}")
    if kernel:
        lines.append("download a kernel for guests (unpacked into the cache, not installed)")
    for line in (*lines, *refused):
        _say(str(line))
    return lines


def _install(chosen: dict[str, Need], again: Collection[str]) -> list[Refused]:
    """Install all at once; if that fails, one by one, so that one cannot affect the others. What failed, and why."""
    refused = []
    failure = apt.install(list(chosen)) if chosen else ""
    for name, need in chosen.items() if failure else ():
        if not apt.is_locked(failure):
            failure = apt.install([name])
        if failure:
            refused.append(Refused(name, f"apt did not install it: {failure}", need.lost))
    failed = {one.package for one in refused}
    for name in chosen:
        if name in again and name not in failed and not chosen[name].present():
            refused.append(Refused(name, "the package is installed, but does not provide it here", chosen[name].lost))
    for one in refused:
        _say(str(one))
    return refused


def _kernel_is_missing() -> bool:
    return not has_guest_kernel()


def _fetch_kernel() -> list[Refused]:
    try:
        fetch_guest_kernel()
    except BuildError as error:
        refused = Refused("a kernel for guests", error.reason, "every virtual machine with a kernel")
        _say(str(refused))
        return [refused]
    return []


def _say(line: str) -> None:
    print(f"provision: {line}", file=sys.stderr, flush=True)
