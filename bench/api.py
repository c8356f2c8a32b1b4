"""Everything that a plug-in imports: for environments, scenarios, sections of the report, export formats.

Compatibility. `API_VERSION` is (major, minor). Within one major version nothing in `__all__` is removed or changes its
meaning, no member is added to `Environment`, `Sandbox`, `Instance` or `Scenario` that a plug-in would have to have, and
no field of a record (`Launch`, `Mechanism`, `Engine`, `Keeper`, `Need`, `Tool`, `Metric`, `Purpose`, `Section`,
`Format`) is added without a default. New abilities are added as protocols of their own or as fields with defaults, and
raise the minor version. A removal is announced in the changelog one minor release of isobench before. Whatever is not
in `__all__` may change at any time. `isobench plugin check MODULE` tests a plug-in against this version.

Large modules are imported on first use, since `isobench list` imports every plug-in.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from isobench.contracts.capabilities import (
    Capability,
    ExpectsInterference,
    GivesMemory,
    HasAddress,
    HasBlindSpots,
    HasHarness,
    HasPublished,
    HasSteps,
    Lack,
    LacksSomething,
    Part,
    PublishesPort,
    RestsOnParts,
    TakesTime,
    TellsFacts,
    TellsUse,
)
from isobench.contracts.environment import LAYERS, Environment, Instance, Sandbox
from isobench.contracts.launch import DEFAULT_TIMEOUT, Launch, idle, working
from isobench.contracts.mechanism import Engine, Keeper, Mechanism, Need, Tool, command
from isobench.contracts.scenario import Scenario
from isobench.core.errors import (
    BuildError,
    DeadlineExceeded,
    IsobenchError,
    MeasurementError,
    OutOfMemory,
    ProbeError,
    StoppedShort,
    Unavailable,
)
from isobench.core.model import EVENTS, Metric, Purpose
from isobench.host.counters import Counter

if TYPE_CHECKING:
    from isobench.analysis.results import Estimate, Results
    from isobench.contracts.answers import answers, each_answer, first_answer
    from isobench.contracts.environment import Layer, Role
    from isobench.export._shared import Format
    from isobench.layout.blocks import Block, Heading, Items, Paragraph, Span, Table, table
    from isobench.probe.build import probe_path
    from isobench.probe.launcher import LaunchedInstance, launched
    from isobench.report.context import Context, Section
    from isobench.resources.use import Use

API_VERSION = (1, 3)
"""The version of this module, independent of isobench's."""

__all__ = [
    "API_VERSION",
    "DEFAULT_TIMEOUT",
    "EVENTS",
    "LAYERS",
    "Block",
    "BuildError",
    "Capability",
    "Context",
    "Counter",
    "DeadlineExceeded",
    "Engine",
    "Environment",
    "Estimate",
    "ExpectsInterference",
    "Format",
    "GivesMemory",
    "HasAddress",
    "HasBlindSpots",
    "HasHarness",
    "HasPublished",
    "HasSteps",
    "Heading",
    "Instance",
    "IsobenchError",
    "Items",
    "Keeper",
    "Lack",
    "LacksSomething",
    "Launch",
    "LaunchedInstance",
    "Layer",
    "MeasurementError",
    "Mechanism",
    "Metric",
    "Need",
    "OutOfMemory",
    "Paragraph",
    "Part",
    "ProbeError",
    "PublishesPort",
    "Purpose",
    "RestsOnParts",
    "Results",
    "Role",
    "Sandbox",
    "Scenario",
    "Section",
    "Span",
    "StoppedShort",
    "Table",
    "TakesTime",
    "TellsFacts",
    "TellsUse",
    "Tool",
    "Unavailable",
    "Use",
    "answers",
    "command",
    "each_answer",
    "first_answer",
    "idle",
    "launched",
    "probe_path",
    "table",
    "working",
]

_LATER = {
    **dict.fromkeys(("answers", "each_answer", "first_answer"), "contracts.answers"),
    **dict.fromkeys(("Layer", "Role"), "contracts.environment"),
    **dict.fromkeys(("LaunchedInstance", "launched"), "probe.launcher"),
    "probe_path": "probe.build",
    **dict.fromkeys(("Estimate", "Results"), "analysis.results"),
    "Format": "export._shared",
    "Use": "resources.use",
    **dict.fromkeys(("Context", "Section"), "report.context"),
    **dict.fromkeys(("Block", "Heading", "Items", "Paragraph", "Span", "Table", "table"), "layout.blocks"),
}
"""Name -> the module that it is imported from on first use."""


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"isobench.{_LATER[name]}"), name)
