"""The folder of a site: nothing of others is lost, and nothing is written for nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from isobench.core.errors import UsageError
from isobench.site.folder import MARK, Folder
from isobench.site.summary import Summary

SUMMARY = Summary("host", "host", "", 1, "2026", "2026", "", "", 1.0, 0, [], [])


def write(path: Path, inputs: str = "a", **pages: str) -> int:
    """A site of one machine, as a build writes it; gives how many files it wrote."""
    folder = Folder(path)
    kept = {"host"} if folder.still("host", inputs) else set()
    folder.begin(kept, {"host"})
    if not kept:
        folder.put("host", inputs, SUMMARY, {f"{name}.html": text for name, text in pages.items()})
    folder.finish({"index.html": "index"})
    return folder.written


def test_a_folder_of_somebody_elses_is_refused(tmp_path: Path) -> None:
    """One that holds anything but a site; an empty one becomes a site."""
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not empty, and is not a site"):
        Folder(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]
    (tmp_path / "notes.txt").unlink()
    assert write(tmp_path, one="1") == 2 and (tmp_path / MARK).is_file()


def test_only_what_changed_is_written(tmp_path: Path) -> None:
    """Nothing for the same inputs; for others the pages that differ; pages that are no more are removed."""
    assert write(tmp_path, "a", one="1", two="2") == 3
    assert write(tmp_path, "a", one="x", two="x") == 0
    assert write(tmp_path, "b", one="1", two="3") == 1
    assert write(tmp_path, "c", two="3") == 0
    assert [file.name for file in (tmp_path / "hosts/host").iterdir()] == ["two.html"]


@pytest.mark.parametrize("damage", ["removed", "changed", "a link"])
def test_a_page_that_is_not_as_it_was_left_is_made_again(tmp_path: Path, damage: str) -> None:
    """Even though nothing else has changed."""
    write(tmp_path, one="1")
    page = tmp_path / "hosts/host/one.html"
    page.unlink()
    if damage == "changed":
        page.write_text("2")
    if damage == "a link":
        (tmp_path / "notes.txt").write_text("mine")
        page.symlink_to(tmp_path / "notes.txt")
    assert write(tmp_path, one="1") == 1
    assert page.read_text() == "1" and not page.is_symlink()
    assert damage != "a link" or (tmp_path / "notes.txt").read_text() == "mine"


def test_links_lead_nowhere_and_other_files_stay(tmp_path: Path) -> None:
    """A folder that is a link is replaced; what the site did not make stays in its folders."""
    site, other = tmp_path / "site", tmp_path / "other"
    write(site, one="1")
    (site / "notes.txt").write_text("mine")
    (site / "hosts/host/notes.txt").write_text("mine")
    (site / "hosts/host").rename(other)
    (site / "hosts/host").symlink_to(other)
    write(site, one="2")
    assert (site / "hosts/host/one.html").read_text() == "2" and (other / "one.html").read_text() == "1"
    (site / "hosts").rename(tmp_path / "all")
    (site / "hosts").symlink_to(tmp_path / "all")
    write(site, one="2")
    assert not (site / "hosts").is_symlink() and (site / "hosts/host/one.html").read_text() == "2"
    folder = Folder(site)
    (site / "hosts/host/notes.txt").write_text("mine")
    folder.begin(set(), set())
    folder.finish({})
    assert sorted(str(file.relative_to(site)) for file in site.rglob("*.*")) == [
        MARK, "hosts/host/notes.txt", "index.html", "notes.txt",
    ]  # fmt: skip


def test_a_build_that_was_killed_is_finished_by_the_next(tmp_path: Path) -> None:
    """What it had begun to make counts as not made."""
    write(tmp_path, one="1")
    folder = Folder(tmp_path)
    folder.begin(set(), {"host"})
    (tmp_path / "hosts/host").mkdir(exist_ok=True)
    (tmp_path / "hosts/host/one.html").write_text("half")
    assert write(tmp_path, one="1") == 1
    assert (tmp_path / "hosts/host/one.html").read_text() == "1"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"machines": {"../x": 1}}', '{"machines": 3}'])
def test_a_damaged_mark_still_marks(tmp_path: Path, text: str) -> None:
    """Everything is made again."""
    write(tmp_path, one="1")
    (tmp_path / MARK).write_text(text)
    write(tmp_path, one="1")
    assert json.loads((tmp_path / MARK).read_text())["machines"].keys() == {"host"}


def test_a_mark_may_name_anything(tmp_path: Path) -> None:
    """Names in it lead nowhere: nothing outside of the folder is written or removed."""
    site = tmp_path / "site"
    write(site, one="1")
    (tmp_path / "x.html").write_text("mine")
    mark = json.loads((site / MARK).read_text())
    mark["machines"]["../.."] = {**mark["machines"]["host"], "pages": {"x.html": [4, 1], "\0": [1, 1]}}
    (site / MARK).write_text(json.dumps(mark))
    write(site, one="1")
    assert (tmp_path / "x.html").read_text() == "mine"
