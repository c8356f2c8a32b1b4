"""A dead run is swept at the engines that it used, whatever whoever cleans has chosen."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from isobench.daemons.address import address
from isobench.lifecycle import leftovers
from isobench.lifecycle.workspace import workspace
from tests.unit.lifecycle.made import NAME


def test_it_is_swept_at_the_engines_that_it_used(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not at the ones that whoever cleans has set; the private one is known by its place."""
    monkeypatch.setenv("DOCKER_HOST", "unix:///cleaner")
    monkeypatch.setenv("ISOBENCH_LIBVIRT_URI", "cleaner:///")
    private = f"unix://{place}/state/daemons/docker/run/docker.sock"
    record = {"name": NAME, "engines": {"DOCKER_HOST": private, "PATH": "/evil"}}
    (place / "state" / f"{NAME}.json").write_text(json.dumps(record))
    seen: list[str | None] = []
    leftovers.clean(lambda run: seen.extend(map(os.environ.get, ("DOCKER_HOST", "ISOBENCH_LIBVIRT_URI", "PATH"))) or [])  # type: ignore[func-returns-value]
    assert seen == [private, None, os.environ["PATH"]]
    assert os.environ["DOCKER_HOST"] == "unix:///cleaner"


def test_a_docker_contexts_engine_is_written_down(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also the usual one. When another context is the current one, that engine is not asked in its place; what whoever
    cleans has as the current context is believed, and stays told by it (its certificates)."""
    monkeypatch.setenv("DOCKER_CONFIG", str(place))
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    for name in ("mine", "other"):
        meta = place / "contexts/meta" / hashlib.sha256(name.encode()).hexdigest() / "meta.json"
        meta.parent.mkdir(parents=True)
        meta.write_text(json.dumps({"Endpoints": {"docker": {"Host": f"unix:///{name}.sock"}}}))

    def use(name: str) -> None:
        (place / "config.json").write_text(json.dumps({"currentContext": name}))

    def killed_run() -> None:
        with workspace(NAME.removeprefix("isobench-")):
            record = (place / "state" / f"{NAME}.json").read_text()
        (place / "state" / f"{NAME}.json").write_text(record)

    seen: list[str] = []

    def look(run: str) -> list[str]:
        seen.append(str(address()))
        return []

    use("mine")
    killed_run()
    use("other")
    (line,) = leftovers.clean(look)
    assert line.startswith(f"not cleaned: {NAME} used another engine; set DOCKER_HOST=unix:///mine.sock if")
    assert leftovers.dead_runs() == [NAME]
    use("mine")
    leftovers.clean(look)
    assert seen == ["unix:///mine.sock (docker context mine)"] and leftovers.dead_runs() == []

    use("default")
    killed_run()
    use("other")
    leftovers.clean(look)
    assert seen[1:] == ["unix:///var/run/docker.sock (DOCKER_HOST)"] and "DOCKER_HOST" not in os.environ
