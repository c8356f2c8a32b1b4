"""Finds the plug-ins: environments and scenarios, by scanning the folders and by entry points."""

from __future__ import annotations

import os
from functools import cache
from types import NoneType
from typing import TYPE_CHECKING, Any

import isobench.environments
import isobench.scenarios
import isobench.workloads.shipped
from isobench.contracts import plugins
from isobench.contracts.capabilities import Capability
from isobench.contracts.environment import LAYERS, Environment
from isobench.contracts.mechanism import Engine, Keeper, Mechanism, Need, Tool
from isobench.contracts.scenario import Scenario
from isobench.core.errors import IsobenchError, UsageError, suggestion
from isobench.core.model import Metric, Purpose

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

GROUPS = {
    "default": "the environments of a plain run",
    "ladder": "every rung from fork and exec to a whole VM",
    "containers": "engines and runtimes",
    "vms": "virtual machines",
    "storage": "other storage paths and drivers",
    "network": "other network paths, in containers and VMs",
    "rootless": "engines or containers without the host's root",
    "kinds": "one environment of each kind",
}
"""Sets of environments that can be named like an environment."""


def _wrong_environment(one: object) -> list[str]:
    found = plugins.wrong_members(
        one,
        Environment,
        {
            **dict.fromkeys(("name", "title", "layer", "adds"), str),
            "compared_with": (str, NoneType),
            "single_factor": bool,
            **dict.fromkeys(("groups", "capabilities"), frozenset),
            "mechanisms": tuple,
        },
    )
    layer = getattr(one, "layer", LAYERS[0])
    if isinstance(layer, str) and layer not in LAYERS:
        found.append(f"its `layer` is {layer!r}, none of {', '.join(LAYERS)}")
    found += [*_odd_values(one, "capabilities", Capability), *_odd_values(one, "mechanisms", Mechanism)]
    return found or [wrong for mechanism in getattr(one, "mechanisms", ()) for wrong in _wrong_mechanism(mechanism)]


def _wrong_mechanism(one: Mechanism) -> list[str]:
    """Parts of a mechanism that do not have the type that `doctor`, `provision`, `clean` and the counters need."""
    parts = {"programs": str, "tools": Tool, "needs": Need, "keepers": Keeper, "cgroups": str, "daemons": str}
    found = [wrong for name, kind in parts.items() for wrong in _odd_values(one, name, kind)]
    found += [f"its `{name}` is no tuple" for name in parts if not isinstance(getattr(one, name), tuple)]
    found += [f"its `{name}` cannot be called" for name in ("sweep", "orphans") if not callable(getattr(one, name))]
    found += ["its `engine` is no Engine"] * (not isinstance(one.engine, Engine | None))
    return [f"of the mechanism {one.name!r}: {wrong}" for wrong in found]


def _odd_values(one: object, name: str, kind: type) -> list[str]:
    values = getattr(one, name, ())
    if not isinstance(values, (tuple, frozenset)):
        return []
    return [f"in its `{name}` is {value!r}, no {kind.__name__}" for value in values if not isinstance(value, kind)]


def _wrong_scenario(one: object) -> list[str]:
    types = {"name": str, "title": str, "metrics": tuple, "needs": frozenset, "groups": frozenset}
    found = plugins.wrong_members(one, Scenario, types)
    found += [*_odd_values(one, "metrics", Metric), *_odd_values(one, "needs", Capability)]
    return found or [
        f"the `purpose` of its metric {metric.name} is no Purpose"
        for metric in getattr(one, "metrics", ())
        if not isinstance(metric.purpose, Purpose | None)
    ]


ENVIRONMENT_PLUGINS = plugins.Kind("an environment", "ENVIRONMENTS", "isobench.environments", _wrong_environment)
SCENARIO_PLUGINS = plugins.Kind("a scenario", "SCENARIOS", "isobench.scenarios", _wrong_scenario)


@cache
def environments() -> Mapping[str, Environment]:
    """Every environment by name, in the order of the ladder's layers. Raises `UsageError` for a broken plug-in."""
    found: dict[str, Environment] = plugins.find(ENVIRONMENT_PLUGINS, isobench.environments)
    return {e.name: e for e in sorted(found.values(), key=lambda e: LAYERS.index(e.layer))}


@cache
def scenarios() -> Mapping[str, Scenario]:
    """Every scenario by name. Raises `UsageError` for a broken plug-in."""
    return plugins.find(SCENARIO_PLUGINS, isobench.scenarios)


def _wrong_workload(one: object) -> list[str]:
    is_file = hasattr(one, "suffix") and hasattr(one, "read_text")  # a pathlib.Path, which is not imported here
    return [] if is_file and getattr(one, "suffix", "") == ".toml" else [f"{one!r} is not the path of a TOML file"]


WORKLOAD_PLUGINS = plugins.Kind("a workload", "WORKLOADS", "isobench.workloads", _wrong_workload, "stem")


@cache
def workloads() -> Mapping[str, Path]:
    """The file of every workload by its name. Raises `UsageError` for a broken plug-in."""
    return plugins.find(WORKLOAD_PLUGINS, isobench.workloads.shipped)


def mechanisms(broken: list[str] | None = None) -> list[Mechanism]:
    """The mechanisms of all environments, each once. Plug-ins that do not load are added to `broken`, if given."""
    if broken is None:
        every: Iterable[Environment] = environments().values()
    else:
        every = plugins.find(ENVIRONMENT_PLUGINS, isobench.environments, broken).values()
    return list(dict.fromkeys(mechanism for environment in every for mechanism in environment.mechanisms))


def programs() -> frozenset[str]:
    """Patterns of the programs that environments start for a run, including the probe."""
    return frozenset(("probe", *(program for mechanism in mechanisms([]) for program in mechanism.programs)))


def engines() -> list[Engine]:
    """The daemons that create instances, each once."""
    every = [mechanism.engine for mechanism in mechanisms([]) if mechanism.engine is not None]
    return list({engine.variable: engine for engine in every}.values())


def keepers() -> list[Keeper]:
    """The processes by which instances are recognised, whoever started them."""
    return list(dict.fromkeys(keeper for mechanism in mechanisms([]) for keeper in mechanism.keepers))


def select_environments(words: str) -> list[Environment]:
    """The environments named in a comma-separated list of names and groups, each once, in the catalogue's order.

    Raises `UsageError` with a suggestion for a name that is unknown.
    """
    return _select("environment", words, environments(), GROUPS)


def beneath(chosen: Sequence[Environment]) -> list[Environment]:
    """The rungs between the chosen ones and the bottom of the ladder that were not chosen."""
    known, names = environments(), {e.name for e in chosen}
    between: set[str] = set()
    for one in chosen:
        lower = one.compared_with
        while lower is not None and lower in known and lower not in between:
            between.add(lower)
            lower = known[lower].compared_with
    return [e for name, e in known.items() if name in between - names]


def select_scenarios(words: str) -> list[Scenario]:
    """The same for scenarios ("default", "all" or names)."""
    return _select("scenario", words, scenarios(), {"default": ""})


def sweep(run: str) -> list[str]:
    """Let every mechanism remove what a dead run of this name left behind, and remove the trace instances of dead runs;
    returns what was or could not be removed."""
    from isobench.host import tracing  # ctypes, too

    broken: list[str] = []
    done: list[str] = []
    for mechanism in mechanisms(broken):
        try:
            done += mechanism.sweep(run)
        except Exception as error:  # the other mechanisms are swept, and the run is kept for the next clean
            done.append(_not_cleaned(error))
    return [*done, *tracing.sweep(), *(f"not cleaned: {reason}" for reason in broken)]


def orphans(*, dry_run: bool) -> list[str]:
    """Let every mechanism remove what dead runs of other users left behind; returns what was, would be or could not be
    removed. Only root may remove it."""
    done: list[str] = []
    for mechanism in mechanisms([]) if os.geteuid() == 0 else ():
        try:
            done += mechanism.orphans(dry_run)
        except Exception as error:  # the other mechanisms are asked
            done.append(_not_cleaned(error))
    return done


def _not_cleaned(error: Exception) -> str:
    return f"not cleaned: {error.reason if isinstance(error, IsobenchError) else repr(error)}"


def _select(kind: str, words: str, known: Mapping[str, Any], groups: Mapping[str, str]) -> list[Any]:
    chosen: set[str] = set()
    for word in filter(None, (w.strip() for w in words.split(","))):
        members = [name for name, one in known.items() if word == "all" or word in one.groups]
        if word in known:
            chosen.add(word)
        elif members or word in groups:
            chosen.update(members)
        else:
            raise UsageError(
                f"no {kind} is called {word!r}{suggestion(word, [*known, *groups])}", remedy=f"isobench list {kind}s"
            )
    if not chosen:
        raise UsageError(f"no {kind} was named", remedy=f"isobench list {kind}s")
    return [one for name, one in known.items() if name in chosen]
