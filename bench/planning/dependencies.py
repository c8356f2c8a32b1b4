"""What isobench and its environments use of the host: programs and packages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isobench.planning import catalog
from isobench.setup.packages import NEEDS, TEST_NEEDS, TOOLS

if TYPE_CHECKING:
    from isobench.contracts.mechanism import Need, Tool


def tools() -> list[Tool]:
    """The programs that isobench and its environments use, each once."""
    return list({tool.name: tool for tool in (*TOOLS, *(t for m in catalog.mechanisms() for t in m.tools))}.values())


def wanted(*, for_tests: bool = False) -> list[Need]:
    """The dependencies of a full run, each once; with `for_tests` also those of the tests."""
    every = [*NEEDS, *(need for mechanism in catalog.mechanisms() for need in mechanism.needs)]
    every = [need for need in every if need.everyday] + [need for need in every if for_tests and not need.everyday]
    found: dict[tuple[str, ...], Need] = {}
    for need in (*every, *(TEST_NEEDS if for_tests else ())):
        found.setdefault(need.packages, need)
    return list(found.values())
