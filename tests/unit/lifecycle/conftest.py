"""A run of a test has folders of the test's own."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folders of this test's own."""
    for name in ("STATE", "WORK", "CACHE"):
        (tmp_path / name.lower()).mkdir()
        monkeypatch.setenv(f"ISOBENCH_{name}", str(tmp_path / name.lower()))
    return tmp_path
