"""What the folders of an image take, also if somebody changes them meanwhile or forbids them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from isobench.environments._offers import allocated


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(b"x" * 8192)
    return tmp_path


def test_each_file_counts_once(folder: Path) -> None:
    """Also if it has two names, or is in two of the folders."""
    alone = allocated([str(folder)])
    os.link(folder / "here/file", folder / "there/link")
    assert alone is not None and allocated([str(folder), str(folder / "here")]) == alone >= 16384


def test_what_is_not_there_is_not_known(folder: Path) -> None:
    assert allocated([]) is None and allocated([str(folder), str(folder / "none")]) is None


@pytest.mark.parametrize(("error", "is_known"), [(FileNotFoundError, True), (PermissionError, False)])
def test_a_folder_that_may_not_be_looked_into_is_not_left_out(
    folder: Path, monkeypatch: pytest.MonkeyPatch, error: type[OSError], is_known: bool
) -> None:
    """The rest would be a number that is too small; what has just been removed takes nothing."""
    scandir = os.scandir

    def refusing(path: Any) -> Any:
        if str(path).endswith("there"):
            raise error(path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    assert (allocated([str(folder)]) is not None) == is_known
