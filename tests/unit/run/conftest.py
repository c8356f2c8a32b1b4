"""A run of a test is measured whatever else the machine does; its own program is small."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from isobench.images import archive
from isobench.run import runner


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
