"""What the documentation says is so: its commands, names, variables, documents and remedies are those of the code."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import verification.validity.__main__ as promises
from isobench import cli
from isobench.analysis.verdicts import SUMMARY_COLUMNS
from isobench.commands import list as listing
from isobench.commands._night import Night
from isobench.export.formats import formats
from isobench.host import reasons
from isobench.planning import catalog
from isobench.run.doctor import Finding
from tests.documents import DOCUMENTS, PAGES, ROOT, commands

SHOWN = [shown for document in DOCUMENTS for shown in commands(document)]


def _page(name: str) -> str:
    return (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("shown", SHOWN, ids=lambda shown: f"{shown.page}: {' '.join(shown.words)}")
def test_every_command_parses(shown: object, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """By the real parser, with the real names of environments and scenarios (but for a tutorial's own)."""
    assert isinstance(shown, tuple)
    monkeypatch.chdir(tmp_path)
    page, environ, words = shown
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    if words == [words[0]] and words[0] in cli.COMMANDS:  # a command's name in a sentence
        return
    own_format = page == "plugins.md" and words[0] == "export"  # which is installed by another test
    arguments = cli._parse(["csv" if own_format and word == "niced" else word for word in words])
    if page == "plugins.md":
        return
    for option in ("environments", "require", "baseline"):
        if getattr(arguments, option, ""):
            catalog.select_environments(getattr(arguments, option))
    if getattr(arguments, "scenarios", ""):
        catalog.select_scenarios(arguments.scenarios)


def test_there_are_commands() -> None:
    """Of every subcommand one; a page whose commands are no longer found would pass everything else."""
    assert {shown.words[0] for shown in SHOWN} == set(cli.COMMANDS)


def test_every_nox_session_exists() -> None:
    """What a page tells to type after `nox -s` is a session of the noxfile."""
    named = {name for page in DOCUMENTS for name in re.findall(r"nox -s ([a-z]+)", page.read_text(encoding="utf-8"))}
    words = [sys.executable, "-m", "nox", "--list"]
    listed = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert named and named <= set(re.findall(r"^[*-] ([a-z]+)", listed, re.MULTILINE))


def test_every_page_is_in_the_navigation() -> None:
    """And the navigation names no other; what a page includes is there, and what runs have written is a page."""
    navigation = re.findall(r": ([\w-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(navigation) == [page.name for page in PAGES]
    included = {name for page in PAGES for name in re.findall(r'^--8<-- "(.+)"$', page.read_text(), re.MULTILINE)}
    elsewhere = {"README.md", "CONTRIBUTING.md", "SECURITY.md"}
    assert included >= {path.name for path in ROOT.glob("*.md")} - elsewhere
    assert all((ROOT / name).is_file() for name in included)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_link_leads_somewhere(document: Path) -> None:
    """Links within the repository, and those to it on GitHub. (`nox -s docs` checks anchors as well.)"""
    for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text(encoding="utf-8")):
        ours = link.removeprefix("https://github.com/isobench/isobench/blob/main/")
        if "://" not in ours:
            place = document.parent if ours == link else ROOT
            assert (place / ours).exists(), link


def test_the_variables_are_those_of_the_code() -> None:
    """Every ISOBENCH_… that the code reads is on the page, and no other."""
    code = "".join(path.read_text() for path in [*(ROOT / "bench").rglob("*.py"), ROOT / "tests/conftest.py"])
    read = set(re.findall(r"""["'](ISOBENCH_[A-Z_]*[A-Z])["']""", code))
    told = set(re.findall(r"ISOBENCH_[A-Z_]*[A-Z]", _page("configuration"))) - {"ISOBENCH_RUN_BLOCKS"}
    assert told == read


def test_the_remedies_are_those_of_the_code() -> None:
    """Each row of the page gets from the code the remedy that the page tells, and no remedy is left out."""
    rows = re.findall(r"^\| (.+?) \| (.+?) \|$", _page("troubleshooting"), re.MULTILINE)[1:]
    told = {words: remedy for words, remedy in rows if not words.startswith("---")}
    assert {words: reasons._known(words) for words in told} == told
    assert set(told.values()) == {remedy for _, remedy in reasons._REMEDIES if isinstance(remedy, str)}


def test_the_documents_are_those_of_the_code() -> None:
    """Every key that --json prints is on the page, and every format of export on the page about nights."""
    named = set(re.findall(r"`([\w ]+)`", _page("json")))
    lists = [rows()[0] for rows in (listing._environments, listing._scenarios, listing._metrics)]
    assert named >= {*SUMMARY_COLUMNS, *Finding._fields, *Night._fields, *(key for row in lists for key in row)}
    assert set(re.findall(r"`(\w+)`", _page("nightly"))) >= formats().keys()
    assert set(re.findall(r"\(([\w.-]+schema\.json)\)", _page("json"))) == {
        path.name for path in ROOT.glob("docs/*.json")
    }


def test_the_groups_and_promises_are_those_of_the_code() -> None:
    """Every group of environments, and every promise that is checked, has its word or line."""
    assert set(re.findall(r"`(\w+)`", _page("choosing"))) >= catalog.GROUPS.keys()
    checked = {check.__name__.upper() for check in (*promises.SIMULATED, *promises.LIVE)}
    assert set(re.findall(r"^\| (G\d+) \|", _page("method"), re.MULTILINE)) == checked


def test_the_man_page_can_be_made_of_the_parser() -> None:
    """Every command has its options and its examples there."""
    parser = cli.whole_parser()
    (commands_of,) = [one for one in parser._actions if one.dest == "command"]
    assert commands_of.choices is not None and set(commands_of.choices) == set(cli.COMMANDS)
    assert isinstance(commands_of.choices, dict)
    assert all(sub.epilog.startswith("examples:") for sub in commands_of.choices.values())
