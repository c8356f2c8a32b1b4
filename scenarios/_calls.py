"""Which system calls an instance permits, from the outcome of each there (bench/probe/calls.c).

Let through: the kernel's own code answered. Denied: a seccomp filter answered, or killed the caller. Refused: the
kernel itself did not permit it (EPERM, EACCES: a capability is missing, or the kernel is locked down). A call that
answers ENOSYS is absent, unless a process of the harness on the same kernel can make it: then a filter denied it.
"""

from __future__ import annotations

import errno
import io
import signal
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from isobench.contracts.answers import read_answers
from isobench.images import seccomp
from isobench.probe.on_host import probe_on_host

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_WHY = {
    "rt_sigreturn": "it goes on wherever the stack says",
    "sync": "it writes out what all programs of the host have written",
}
"""Why the probe leaves a system call out."""
_NOT_ASKED = -1000
_REFUSED = (errno.EPERM, errno.EACCES)


class Calls(NamedTuple):
    """The names of the system calls, by their outcome."""

    let_through: list[str]
    denied: list[str]
    """By a filter, with an error; those for which it kills the caller are in `killed`."""
    killed: list[str]
    refused: list[str]
    absent: list[str]
    unknown: list[str]
    """Those whose outcome the probe could not determine."""


def last() -> int:
    """The number of the last system call that has a name here. Raises `Unavailable`."""
    return max(_names())


def facts(seen: Any, *, same_kernel: bool, filtered: bool) -> dict[str, str]:
    """The outcomes of the calls as counts and names; `filtered`: there is a seccomp filter. Raises `TypeError` and
    `ValueError` if this is not an answer of the probe's."""
    found = sorted_out(((int(number), int(asked), int(said)) for number, asked, said in seen), same_kernel=same_kernel)
    tried = {name for names in found for name in names}
    told = {
        "calls": str(len(found.let_through)),
        "calls.known": str(len(_names())),
        **{f"calls.{what}": _listed(names) for what, names in found._asdict().items() if what != "let_through"},
        "calls.left_out": _listed(_left_out(set(_names().values()) - tried)),
    }
    return told | ({"calls.profile": _against_docker(found)} if filtered else {})


def _left_out(names: Iterable[str]) -> list[str]:
    return [f"{name} ({_WHY[name]})" if name in _WHY else name for name in sorted(names)]


def sorted_out(outcomes: Iterable[tuple[int, int, int]], *, same_kernel: bool) -> Calls:
    """Each call once. An outcome has its number, the filter's answer (0: let through), and the call's result: an errno,
    or a signal as a negative number."""
    found = Calls([], [], [], [], [], [])
    for number, asked, said in outcomes:
        if number in _names():
            _place_of(found, number, asked, said, same_kernel).append(_names()[number])
    return Calls(*(sorted(set(names)) for names in found))


def _place_of(found: Calls, number: int, asked: int, said: int, same_kernel: bool) -> list[str]:
    if -signal.SIGSYS in (asked, said):
        return found.killed
    if asked not in (0, _NOT_ASKED) and not _is_exempt(number, asked, said):
        return found.denied
    if said == _NOT_ASKED or (asked == _NOT_ASKED and said in _REFUSED):
        return found.unknown
    if said in _REFUSED:
        return found.refused
    if said != errno.ENOSYS:
        return found.let_through
    return found.denied if same_kernel and number in _on_the_host() else found.absent


def _is_exempt(number: int, asked: int, said: int) -> bool:
    """Whether it is a call that this kernel makes whatever the filters say, also the probe's, which asks them."""
    return _names()[number] in _EXEMPT and asked == said and said not in (*_REFUSED, errno.ENOSYS)


_EXEMPT = frozenset({"uprobe", "uretprobe"})
"""Only a trampoline of the kernel's own may make these; newer kernels for x86-64 ask no filter about them
(kernel/seccomp.c)."""


@cache
def _names() -> Mapping[int, str]:
    return seccomp.names()


@cache
def _on_the_host() -> frozenset[int]:
    """The calls that a process of the harness can make."""
    _, told = read_answers(io.BytesIO(probe_on_host("surface", str(last()))))
    return frozenset(number for number, _, said in told["calls"] if said != errno.ENOSYS)


def _against_docker(found: Calls) -> str:
    """Whether the filter denies the calls that Docker's default profile denies according to its documentation."""
    denied = {*found.denied, *found.killed}
    documented = {name for names in found for name in names if not seccomp.allowed(name)}
    more, fewer = sorted(denied - documented), sorted(documented - denied)
    parts = [f"also denies {_listed(more)}"] if more else []
    parts += [f"lets through {_listed(fewer)}"] if fewer else []
    return "; ".join(parts) or "as documented"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
