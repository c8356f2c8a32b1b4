"""A run of a test is measured whatever else the machine does."""

from __future__ import annotations

import pytest

from isobench.run import runner


@pytest.fixture(autouse=True)
def undisturbed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is; a test of what disturbs says so."""
    if "disturbed" not in request.keywords:
        monkeypatch.setattr(runner, "marks", lambda *_: [])
