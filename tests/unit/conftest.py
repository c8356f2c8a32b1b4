"""A unit test begins as a fresh process does: what real environments taught an earlier test is forgotten. It measures
whatever else the machine does."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from isobench.cells import runner
from isobench.core import deadlines
from isobench.environments.docker import _client
from isobench.environments.libvirt import _connection, _sandbox
from isobench.images import archive
from isobench.processes import serving


@pytest.fixture(autouse=True)
def nothing_learned(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Deadlines are the usual ones, no engine has hung, no kind of guest has failed, no daemon was found."""
    deadlines.begin(None)
    monkeypatch.setattr(_sandbox, "_heard", {})
    monkeypatch.setattr(_client, "_hung", {})
    monkeypatch.setattr(_connection, "_hung", {})
    monkeypatch.setattr(serving, "_known", {})
    yield
    deadlines.begin(None)


@pytest.fixture(autouse=True)
def undisturbed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is; a test of what disturbs says so."""
    if "disturbed" not in request.keywords:
        monkeypatch.setattr(runner, "marks", lambda *_: [])


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Compiled, and static; with a cache of the test's own, and a probe of a few bytes in its archives."""
    (tmp_path / "probe").write_text("probe")
    monkeypatch.setattr(archive, "probe_path", lambda: tmp_path / "probe")
    monkeypatch.setenv("ISOBENCH_CACHE", str(tmp_path / "cache"))
    target = tmp_path / "mine"
    command = ["/usr/bin/cc", "-x", "c", "-", "-static", "-o", str(target)]
    subprocess.run(command, input=b"int main(void) { return 0; }", check=True)
    return target
