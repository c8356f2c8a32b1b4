"""The needs for which people choose an isolation, the metric of each, and the representative of each kind of
isolation."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from isobench.contracts.environment import LAYERS
from isobench.layout import format

if TYPE_CHECKING:
    from collections.abc import Sequence

    from isobench.analysis.results import Estimate
    from isobench.report.context import Context


class Need(NamedTuple):
    """A need, a description of its number, and the metrics that can represent it, the best first."""

    title: str
    unit_of: str
    candidates: tuple[tuple[str, str], ...]

    @property
    def word(self) -> str:
        """The need inside a sentence."""
        return self.title if self.title.isupper() else self.title.lower()


_BEFORE = (
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
"""The needs of older runs, whose records have no purposes of metrics."""

_MOST = 5
"""Columns of the verdict's table where the run does not say which."""

REPRESENTATIVE = 12
"""A table shows all environments up to this number; beyond, only one of each kind."""

KINDS = "kinds"
"""The group of environments that represent their kinds in short tables."""

_KINDS_BEFORE = (
    "process", "chroot", "ns-all", "ns-all-user", "handmade", "runc", "crun", "docker", "docker-runsc", "podman",
    "kvm", "tcg", "kvm-null", "tcg-null", "kvm-distro", "tcg-distro",
)  # fmt: skip
"""The same for older runs, whose records have no groups."""


def needs_of(context: Context) -> list[Need]:
    """The needs that the run's metrics represent, according to their scenarios, in their order."""
    found: dict[tuple[int, str, str], list[tuple[str, str]]] = {}
    for scenario in context.session.scenarios:
        for metric in scenario.metrics:
            if (purpose := metric.purpose) is not None:
                key = (purpose.order, format.clean(purpose.title, 40), format.clean(purpose.number, 60))
                found.setdefault(key, []).append((scenario.name, metric.name))
    if not found and any(rows_for(context, need) for need in _BEFORE):
        return list(_BEFORE)
    if not any(context.select(*candidate) for candidates in found.values() for candidate in candidates):
        return _first_of_each(context)
    in_order = sorted(found.items(), key=lambda one: one[0][0])  # equal orders stay as in the run
    return [Need(title, number, tuple(candidates)) for (_, title, number), candidates in in_order]


def _first_of_each(context: Context) -> list[Need]:
    """For a run without any need: the first cost of each scenario, as many as fit into a table."""
    needs = []
    for scenario in context.session.scenarios:
        metric = next((one for one in scenario.metrics if context.select(scenario.name, one.name)), None)
        if metric is not None:
            title, number = format.clean(scenario.title, 40), format.clean(metric.meaning or metric.name, 60)
            needs.append(Need(title, number, ((scenario.name, metric.name),)))
    return needs[:_MOST]


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


def _strength(layer: str) -> tuple[int, str]:
    """Stronger layers are later; a layer of another version of isobench is last."""
    known: Sequence[str] = LAYERS
    return (known.index(layer) if layer in known else len(known), layer)


def spokesmen(context: Context, names: Sequence[str]) -> list[str]:
    """One of these environments for each layer of isolation, the weakest layer first: the first default one, else the
    first that represents a kind, else the first of the record."""
    layers = {name: record.layer for name in names if (record := context.environment(name)) is not None}
    places = {name: place for place, name in enumerate(_kinds(context))}
    return [
        min((name for name in names if layers.get(name) == layer), key=lambda name: places.get(name, len(places)))
        for layer in sorted(set(layers.values()), key=_strength)
    ]


def representatives(context: Context) -> list[str]:
    """Every environment that was measured, or one of each kind if there are too many for a table."""
    names = context.measured({row.environment for row in context.estimates if not row.control})
    if len(names) <= REPRESENTATIVE:
        return names
    kinds = set(_kinds(context))
    kept = [name for name in names if name in kinds or name == context.baseline]
    return kept if len(kept) > 3 else names[:REPRESENTATIVE]


def _kinds(context: Context) -> list[str]:
    """The environments that represent their kinds, default ones first."""
    groups = {record.name: record.groups for record in context.session.environments}
    if not any(groups.values()):
        return list(_KINDS_BEFORE)
    return sorted(
        (name for name, own in groups.items() if KINDS in own), key=lambda name: "default" not in groups[name]
    )
