"""A plug-in of pytest for two processes (`-p tests.apart --numprocesses=2`): one has all tests that change this host,
in their order; the other one has the rest meanwhile, file by file.

pytest-xdist's own groups of tests do not work with pytest 9.2.
"""

from __future__ import annotations

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.conftest import REAL, remove_what_is_left

CHANGE_THE_HOST = (*REAL, "tests/unit/daemons/", "tests/unit/lifecycle/", "tests/unit/resources/")
BUT_FOR = (
    *(f"tests/e2e/test_{name}.py" for name in ("completion", "documents", "example", "history", "otava", "packaging")),
    *(f"tests/e2e/test_{name}_browser.py" for name in ("report", "site", "site_charts")),
)
"""They measure nothing, or only raw processes, and look at no one else's."""


def changes_the_host(nodeid: str) -> bool:
    return nodeid.startswith(CHANGE_THE_HOST) and not nodeid.startswith(BUT_FOR)


class Apart(LoadScopeScheduling):  # type: ignore[misc] # the library is not typed
    """Gives whole scopes to the processes, the largest first."""

    def _split_scope(self, nodeid: str) -> str:
        return "host" if changes_the_host(nodeid) else nodeid.partition("::")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Apart:
    return Apart(config, log)


def pytest_xdist_node_collection_finished(node: Any, ids: list[str]) -> None:
    """What is left of killed runs is removed once, before the first of the processes begins."""
    if node.gateway.id == "gw0" and any(one.startswith(REAL) for one in ids):
        remove_what_is_left()


@pytest.fixture(scope="session", autouse=True)
def as_near_as_without_xdist(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tests that let other users reach their folder do not know of the one more in which each process has its own."""
    above = tmp_path_factory.getbasetemp().parent.parent
    if hasattr(request.config, "workerinput") and above.name.startswith("pytest-of-"):
        above.chmod(0o711)


@pytest.fixture(autouse=True)
def another_state(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A run that a unit test begins does not wait for the one that the other process measures."""
    if hasattr(request.config, "workerinput") and not changes_the_host(request.node.nodeid):
        monkeypatch.setenv("ISOBENCH_STATE", str(tmp_path_factory.getbasetemp() / "state"))
