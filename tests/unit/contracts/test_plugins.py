"""Plug-ins are found by folder and by entry point, and what breaks a contract is named when it is loaded."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from isobench.contracts import plugins
from isobench.contracts.mechanism import Mechanism
from isobench.core.errors import UsageError
from isobench.core.model import Metric
from isobench.planning import catalog, dependencies
from tests.fake import FakeEnvironment, FakeScenario


def _changed(one: Any, **changes: object) -> Any:
    for name, value in changes.items():
        setattr(one, name, value)
    return one


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": 7}, "its `name` is of type int, not str"),
        ({"groups": ["default"]}, "its `groups` is of type list, not frozenset"),
        ({"layer": "cloud"}, "its `layer` is 'cloud', none of process, chroot"),
        ({"capabilities": frozenset({"ready"})}, "in its `capabilities` is 'ready', no Capability"),
        ({"mechanisms": ("nice",)}, "in its `mechanisms` is 'nice', no Mechanism"),
        ({"open": None}, "its `open` cannot be called"),
    ],
)
def test_what_is_wrong_with_an_environment_is_named(changes: dict[str, object], said: str) -> None:
    """Each clause names the member; one that keeps the contract has none."""
    assert catalog.ENVIRONMENT_PLUGINS.wrong(FakeEnvironment("fake")) == []
    (clause,) = catalog.ENVIRONMENT_PLUGINS.wrong(_changed(FakeEnvironment("fake"), **changes))
    assert clause.startswith(said)


def test_what_is_wrong_with_a_scenario_is_named() -> None:
    """Metrics that are words, needs that are words, and what is not there at all."""
    assert catalog.SCENARIO_PLUGINS.wrong(FakeScenario()) == []
    odd = _changed(FakeScenario(), metrics=("ready",), needs=frozenset({"probe"}))
    assert catalog.SCENARIO_PLUGINS.wrong(odd) == [
        "in its `metrics` is 'ready', no Metric",
        "in its `needs` is 'probe', no Capability",
    ]
    assert "it has no `measure`" in catalog.SCENARIO_PLUGINS.wrong(object())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tools": ("ctl",)}, "in its `tools` is 'ctl', no Tool"),
        ({"keepers": ("keeper",)}, "in its `keepers` is 'keeper', no Keeper"),
        ({"cgroups": "docker"}, "its `cgroups` is no tuple"),
        ({"programs": ["ctl"]}, "its `programs` is no tuple"),
        ({"engine": "DOCKER_HOST"}, "its `engine` is no Engine"),
        ({"sweep": None}, "its `sweep` cannot be called"),
        ({"orphans": ()}, "its `orphans` cannot be called"),
    ],
)
def test_what_is_wrong_with_a_mechanism_is_named(changes: dict[str, Any], said: str) -> None:
    """Before doctor, clean or a run asks for it."""
    odd = Mechanism("odd")._replace(**changes)
    wrong = catalog.ENVIRONMENT_PLUGINS.wrong(_changed(FakeEnvironment("fake"), mechanisms=(odd,)))
    assert wrong == [f"of the mechanism 'odd': {said}"]


def test_what_is_wrong_with_a_purpose_is_named() -> None:
    """A word in its place."""
    odd = _changed(FakeScenario(), metrics=(Metric("ready", "second", "")._replace(purpose="Startup"),))  # type: ignore[arg-type]
    assert catalog.SCENARIO_PLUGINS.wrong(odd) == ["the `purpose` of its metric ready is no Purpose"]


def test_every_member_of_a_contract_is_asked_for() -> None:
    """Of an object that has none of them."""
    said = catalog.ENVIRONMENT_PLUGINS.wrong(object())
    assert said == [
        f"it has no `{name}`"
        for name in ("name", "title", "layer", "adds", "compared_with", "single_factor", "groups", "capabilities",
                     "mechanisms", "open")
    ]  # fmt: skip


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A place for distributions of other packages, which leaves nothing loaded."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("other_"):
            del sys.modules[name]


def _install(place: Path, group: str, module: str, text: str) -> None:
    (place / f"{module}.py").write_text(text)
    about = place / f"{module}-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1\n")
    (about / "entry_points.txt").write_text(f"[{group}]\nx = {module}\n")


SWEPT = """
from isobench.contracts.mechanism import Mechanism, Tool
from tests.fake import FakeEnvironment
one = FakeEnvironment("other")
tool = Tool("otherctl", ("other-tools",))
one.mechanisms = (Mechanism("other", lambda run: [f"swept {run}"], ("otherctl",), (tool,), (tool.need("other"),)),)
ENVIRONMENTS = (one,)
"""


def test_the_mechanism_of_another_package_is_asked(installed: Path) -> None:
    """Its sweep is called, its programs are known, its tools shown, its packages wanted."""
    _install(installed, "isobench.environments", "other_swept", SWEPT)
    catalog.environments.cache_clear()
    try:
        assert "swept isobench-x" in catalog.sweep("isobench-x")
        assert "otherctl" in catalog.programs()
        assert "otherctl" in {tool.name for tool in dependencies.tools()}
        assert ("other-tools",) in {need.packages for need in dependencies.wanted()}
    finally:
        catalog.environments.cache_clear()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ENVIRONMENTS = (object(),)", "the plug-in other_broken is not an environment: it has no `name`, and it has"),
        ("raise RuntimeError('half')", "the plug-in other_broken of group isobench.environments does not load: half"),
        ("from tests.fake import FakeEnvironment\nENVIRONMENTS = [FakeEnvironment('process')]",
         "two plug-ins are called 'process': isobench.environments.native.rungs and other_broken"),
    ],
)  # fmt: skip
def test_a_broken_plug_in_is_named_and_costs_no_cleaning(installed: Path, text: str, said: str) -> None:
    """Listing says what is wrong; a sweep does what it can, says so, and keeps the run in mind."""
    _install(installed, "isobench.environments", "other_broken", text)
    catalog.environments.cache_clear()
    try:
        with pytest.raises(UsageError) as caught:
            catalog.environments()
        assert caught.value.reason.startswith(said)
        broken: list[str] = []
        assert {m.name for m in catalog.mechanisms(broken)} >= {"native", "docker", "libvirt"} and len(broken) == 1
        assert any(line.startswith(f"not cleaned: {said}") for line in catalog.sweep("isobench-none"))
    finally:
        catalog.environments.cache_clear()


def test_every_mechanism_is_asked_for_orphans(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also after one that fails; but not by an ordinary user, who may remove none."""
    found = [
        Mechanism("broken", orphans=lambda dry_run: [str(1 / 0)]),
        Mechanism("fine", orphans=lambda dry_run: [f"dry run: {dry_run}"]),
    ]
    monkeypatch.setattr(catalog, "mechanisms", lambda broken: found)
    failed = "not cleaned: ZeroDivisionError('division by zero')"
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert [catalog.orphans(dry_run=dry) for dry in (True, False)] == [
        [failed, "dry run: True"],
        [failed, "dry run: False"],
    ]
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert catalog.orphans(dry_run=False) == []


def test_what_is_exported_may_be_one_or_several() -> None:
    """A NamedTuple is one plug-in, although it is a tuple."""
    kind = plugins.Kind("a thing", "THING", "", lambda one: [])
    assert plugins.exported(Metric("a", "second", "b"), kind) == (Metric("a", "second", "b"),)
    assert plugins.exported([1, 2], kind) == (1, 2)


def test_the_built_in_mechanisms_say_what_they_start() -> None:
    """A pattern that begins with a wildcard would have anybody's program killed; every environment names its own."""
    assert all(one.mechanisms for one in catalog.environments().values())
    assert all(program[0].isalpha() for program in catalog.programs())
    assert isinstance(catalog.mechanisms()[0], Mechanism)
