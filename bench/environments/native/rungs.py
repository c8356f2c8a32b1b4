"""Rungs made by the probe's own launcher: raw processes, chroot, namespaces, and a container made by hand.

Each rung is one value of `Isolation`, its exact configuration. If two rungs claim to differ in one thing only, tests
compare them field by field.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from isobench.contracts.capabilities import OF_A_CGROUP, Capability
from isobench.contracts.mechanism import Mechanism, Need
from isobench.core.errors import Unavailable
from isobench.setup.packages import library

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from isobench.contracts.environment import Environment, Layer
    from isobench.environments.native._sandbox import NativeSandbox

NAMESPACES = ("mnt", "uts", "ipc", "pid", "net", "cgroup")
"""The namespaces of `ns-all`: those that Docker gives a container by default (no user or time namespace)."""


class Isolation(NamedTuple):
    """What a rung isolates (bench/probe/isolate.h): the namespaces to clone, then the steps before exec."""

    namespaces: tuple[str, ...] = ()
    plain_fork: bool = False
    user_map: bool = False
    chroot: bool = False
    pivot: bool = False
    cgroup: bool = False
    caps: bool = False
    seccomp: bool = False
    overlay: bool = False
    mounts: bool = False


class Native:
    """One rung (`isobench.contracts.environment.Environment`)."""

    capabilities = frozenset(Capability) - {Capability.IMAGES, Capability.SIGNED_IMAGES, Capability.DISKS}

    def __init__(
        self,
        name: str,
        title: str,
        isolation: Isolation,
        *,
        layer: Layer = "namespace",
        adds: str = "",
        compared_with: str | None = None,
        single_factor: bool = True,
        groups: tuple[str, ...] = ("ladder",),
    ) -> None:
        self.name = name
        self.title = title
        self.isolation = isolation
        self.layer: Layer = layer
        self.adds = adds
        self.compared_with = compared_with
        self.single_factor = single_factor and compared_with is not None
        self.groups = frozenset(groups)
        if "net" not in isolation.namespaces:  # it shares the host's network
            self.capabilities = self.capabilities - {Capability.LIMIT_NETWORK}
        if not isolation.cgroup:
            self.capabilities = self.capabilities - OF_A_CGROUP
        if isolation.pivot and not isolation.mounts:  # its new root lacks the /proc that is mounted below the old one
            self.capabilities = self.capabilities - {Capability.COMMAND}

    @property
    def mechanisms(self) -> tuple[Mechanism, ...]:
        return (MECHANISM,)

    @property
    def needs_root(self) -> bool:
        """Every kind of isolation but a user namespace needs root."""
        return self.isolation._replace(plain_fork=False) != Isolation() and not self.isolation.user_map

    def sandbox(self, workdir: Path) -> NativeSandbox:
        """The sandbox that `open` yields."""
        from isobench.environments.native._sandbox import NativeSandbox

        return NativeSandbox(self.isolation, workdir)

    @contextmanager
    def open(self, workdir: Path) -> Iterator[NativeSandbox]:
        if self.needs_root and os.geteuid() != 0:
            raise Unavailable("needs root", remedy="run isobench as root")
        sandbox = self.sandbox(workdir)
        try:
            yield sandbox
        finally:
            sandbox.close()


def sweep(run: str) -> list[str]:
    """Remove the cgroups of a dead run."""
    from isobench.resources.cgroups import remove

    return remove(run)


MECHANISM = Mechanism(
    "native",
    sweep,
    programs=("probe",),
    needs=(Need(("libseccomp2",), library("libseccomp.so.2"), "the rungs with a seccomp filter"),),
)


def _namespace_rungs() -> Iterator[Native]:
    titles = {
        "mnt": "mount",
        "uts": "UTS",
        "ipc": "IPC",
        "pid": "PID",
        "net": "network",
        "user": "user",
        "cgroup": "cgroup",
        "time": "time",
    }
    for kind, title in titles.items():
        isolation = Isolation((kind,), user_map=kind == "user")
        adds = f"{'an' if title[0] == 'I' else 'a'} {title} namespace"
        yield Native(f"ns-{kind}", f"{title} namespace", isolation, adds=adds, compared_with="process")
    for kind in NAMESPACES:
        others = Isolation(tuple(k for k in NAMESPACES if k != kind))
        title = f"all namespaces but {titles[kind]}"
        adds = f"no {titles[kind]} namespace"
        yield Native(f"ns-all-no-{kind}", title, others, adds=adds, compared_with="ns-all")


_ALL = Isolation(NAMESPACES)
_CGROUP = _ALL._replace(cgroup=True)
_CAPS = _CGROUP._replace(caps=True)
_SECCOMP = _CAPS._replace(seccomp=True)
_OVERLAY = _SECCOMP._replace(overlay=True, pivot=True)
_HANDMADE = _OVERLAY._replace(mounts=True)

ENVIRONMENTS: tuple[Environment, ...] = (
    Native("process", "raw process", Isolation(), layer="process", groups=("default", "ladder", "kinds")),
    Native(
        "process-fork",
        "raw process, fork",
        Isolation(plain_fork=True),
        layer="process",
        adds="fork instead of vfork: a copied address space",
        compared_with="process",
    ),
    Native(
        "chroot",
        "chroot",
        Isolation(chroot=True),
        layer="chroot",
        adds="chroot",
        compared_with="process",
        groups=("default", "ladder", "kinds"),
    ),
    Native(
        "pivot-root",
        "pivot_root",
        Isolation(("mnt",), pivot=True),
        layer="chroot",
        adds="a bind mount and pivot_root",
        compared_with="ns-mnt",
    ),
    *_namespace_rungs(),
    Native(
        "ns-all",
        "all namespaces",
        _ALL,
        adds="mount, UTS, IPC, PID, network and cgroup namespaces",
        compared_with="process",
        single_factor=False,
        groups=("default", "ladder", "kinds"),
    ),
    Native(
        "ns-all-user",
        "all namespaces, as a user",
        Isolation(("user", *NAMESPACES), user_map=True),
        adds="a user namespace",
        compared_with="ns-all",
        groups=("ladder", "kinds"),
    ),
    Native("ns-all+cgroup", "… and a cgroup", _CGROUP, adds="a fresh cgroup with limits", compared_with="ns-all"),
    Native(
        "ns-all+caps",
        "… and fewer capabilities",
        _CAPS,
        adds="Docker's default capabilities and no_new_privs",
        compared_with="ns-all+cgroup",
    ),
    Native(
        "ns-all+seccomp",
        "… and a seccomp filter",
        _SECCOMP,
        adds="a seccomp filter like Docker's default",
        compared_with="ns-all+caps",
    ),
    Native(
        "ns-all+overlay",
        "… and an overlay root",
        _OVERLAY,
        adds="pivot_root into an overlay mount",
        compared_with="ns-all+seccomp",
    ),
    Native(
        "handmade",
        "container made by hand",
        _HANDMADE,
        adds="the mounts of a container: proc, dev, pts, shm, mqueue, sys, masked paths",
        compared_with="ns-all+overlay",
        groups=("ladder", "kinds"),
    ),
)
