"""The five things people choose an isolation for, and the metric that stands for each."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from isobench.analysis.results import Estimate
    from isobench.report.context import Context


class Need(NamedTuple):
    """A need, what its number is, and the metrics that can stand for it, the best first."""

    title: str
    unit_of: str
    candidates: tuple[tuple[str, str], ...]

    @property
    def word(self) -> str:
        """The need inside a sentence."""
        return self.title if self.title.isupper() else self.title.lower()


NEEDS = (
    Need("Startup", "request to first byte", (("startup", "ready"),)),
    Need("Memory", "per instance", (("memory", "pss"), ("memory", "cgroup"))),
    Need("System call", "one trivial call", (("syscall", "getppid"),)),
    Need(
        "I/O",
        "4 KiB random read",
        (("io", "randread-4k"), ("io", "randread"), ("io", "rand-read"), ("io", "randread-4k-qd1")),
    ),
    Need("Teardown", "end until all is freed", (("startup", "gone"),)),
)

REPRESENTATIVE = 12
"""Environments up to which a table shows them all; beyond, only one of each kind."""

_KINDS = (
    "process", "chroot", "ns-all", "ns-all-user", "handmade", "runc", "crun", "docker", "docker-runsc", "podman",
    "kvm", "tcg", "kvm-null", "tcg-null", "kvm-distro", "tcg-distro",
)  # fmt: skip
"""One environment of each kind that people ask about, for the tables that must stay short."""


def metric_for(context: Context, need: Need) -> tuple[str, str] | None:
    """The first candidate that the run has values of; else the first metric of that scenario; else None."""
    for scenario, metric in need.candidates:
        if context.select(scenario, metric):
            return scenario, metric
    first = need.candidates[0][0]
    metrics = context.metrics_of(first)
    return (first, metrics[0]) if metrics and need.title == "I/O" else None


def rows_for(context: Context, need: Need) -> list[Estimate]:
    """The estimates of a need in every environment, the baseline among them."""
    chosen = metric_for(context, need)
    return context.select(*chosen) if chosen else []


LAYERS = ("process", "chroot", "namespace", "runtime", "engine", "vmm", "vm")
"""Layers of isolation, each keeping more apart than those before it (`isobench.contracts.environment.Layer`)."""


def _strength(layer: str) -> tuple[int, str]:
    return (LAYERS.index(layer) if layer in LAYERS else len(LAYERS), layer)


def spokesmen(context: Context, names: Sequence[str]) -> list[str]:
    """One of these environments for each layer of isolation, the weakest layer first: of those that people ask about
    the first, else the first of the record."""
    layers = {name: record.layer for name in names if (record := context.environment(name)) is not None}
    found = []
    for layer in sorted(set(layers.values()), key=_strength):
        inside = [name for name in names if layers.get(name) == layer]
        found += [next((name for name in _KINDS if name in inside), inside[0])] if inside else []
    return found


def representatives(context: Context) -> list[str]:
    """Every environment that was measured, or one of each kind where there are too many for a table."""
    names = context.measured({row.environment for row in context.estimates if not row.control})
    if len(names) <= REPRESENTATIVE:
        return names
    kept = [name for name in names if name in _KINDS or name == context.baseline]
    return kept if len(kept) > 3 else names[:REPRESENTATIVE]
