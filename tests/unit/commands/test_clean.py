"""Bounding the cache, and not below a run; what is told of a fleet's plays, and of other users' guests."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from isobench import cli
from isobench.core.errors import UsageError
from isobench.filesystem.cache import cached
from isobench.planning import catalog


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache and a state of this test's own, with one entry of 2 MiB."""
    monkeypatch.setattr("isobench.commands.clean.measures_now", list)  # whatever else measures on this machine
    monkeypatch.setattr(catalog, "orphans", lambda *, dry_run: [])  # whatever else was left on this machine
    for name in ("STATE", "WORK", "CACHE"):
        monkeypatch.setenv(f"ISOBENCH_{name}", str(tmp_path / name.lower()))
    return cached("kind", "1", lambda folder: (folder / "file").write_bytes(b"x" * (2 << 20)) and None)  # type: ignore[arg-type]


def test_the_cache_is_bounded(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Only if that is asked for, and only if it is too large; a dry run removes nothing."""
    for words in ([], ["--cache"], ["--cache", "2G"], ["--cache", "1M", "--dry-run"]):
        assert cli.main(["clean", *words]) == 0
        assert place.exists(), words
    assert "would remove" in capsys.readouterr().out
    assert cli.main(["clean", "--cache", "1M"]) == 0
    assert not place.exists() and "removed" in capsys.readouterr().out


def test_not_while_a_run_measures(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be about to use what would be removed."""
    monkeypatch.setattr("isobench.commands.clean.measures_now", lambda: [7])
    assert cli.main(["clean", "--cache", "1M"]) == UsageError.exit_code
    assert place.exists()


def test_a_killed_plays_folder_is_named_and_removed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By `--dry-run` and `--json`, too."""
    folder = tmp_path / "work" / f"isobench-play-{os.uname().nodename}-0123456789"
    folder.mkdir(parents=True)
    os.utime(folder, (0, 0))
    assert cli.main(["clean", "--dry-run"]) == 0
    assert capsys.readouterr().out == f"would remove {folder}\n" and folder.exists()
    assert cli.main(["clean", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["done"] == [f"folder {folder}"] and not folder.exists()
    assert cli.main(["clean"]) == 0
    assert capsys.readouterr().out == "nothing to clean\n"


@pytest.mark.parametrize(("line", "code"), [("log of another user's guest", 0), ("not cleaned: no list of guests", 1)])
def test_what_is_left_of_other_users(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str, code: int
) -> None:
    """It is told, and what failed decides the exit code; a dry run only asks."""
    asked: list[bool] = []

    def orphans(*, dry_run: bool) -> list[str]:
        asked.append(dry_run)
        return [line]

    monkeypatch.setattr(catalog, "orphans", orphans)
    assert cli.main(["clean"]) == code and capsys.readouterr().out == f"{line}\n"
    assert cli.main(["clean", "--dry-run"]) == code and asked == [False, True]
