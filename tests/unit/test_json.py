"""What `--json` prints: one document of a published schema from every command, errors included."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from isobench import cli
from tests.schemas import FOLDER, schemas

ROOT = Path(__file__).parents[2]
Printed = Callable[..., dict[str, object]]


def obeys(document: object, name: str) -> None:
    """The document is one of docs/NAME.schema.json, and has no key that the schema does not know."""
    schema = json.loads((FOLDER / f"{name}.schema.json").read_text())
    jsonschema.validate(document, schema)
    top = schema["$defs"][schema["$ref"].rpartition("/")[2]]["properties"]
    assert isinstance(document, dict) and document.keys() <= top.keys()


@pytest.fixture
def printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Printed:
    """Run a command in a folder with the example's run in `RUN` and in results/; gives its document."""
    shutil.copytree(ROOT / "reports/example/run", tmp_path / "RUN")
    shutil.copytree(ROOT / "reports/example/run", tmp_path / "results/host/20260101T000000Z")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", os.environ["PATH"])  # main changes it

    def call(*words: str, code: int = 0) -> dict[str, object]:
        assert cli.main(words) == code
        document: dict[str, object] = json.loads(capsys.readouterr().out)
        return document

    return call


def test_the_published_schemas_are_those_of_the_code() -> None:
    """`python -m tests.schemas` writes them; there is none for a document that nothing prints."""
    published = {path.name: path.read_text() for path in FOLDER.glob("*.schema.json")}
    assert {name: json.loads(text) for name, text in published.items()} == {
        name: json.loads(text) for name, text in schemas().items()
    }


def test_every_command_has_a_document_and_the_option(capsys: pytest.CaptureFixture[str]) -> None:
    """Of a command without `--json` nothing could be read by a program."""
    for command in cli.COMMANDS:
        assert cli.main([command, "--help"]) == 0
        assert "--json" in capsys.readouterr().out, command


def test_every_key_is_written_alike() -> None:
    """Lower case with underscores, in every schema."""

    def keys(part: object) -> set[str]:
        if isinstance(part, list):
            return set().union(*map(keys, part))
        if not isinstance(part, dict):
            return set()
        own = set(part["properties"]) if isinstance(part.get("properties"), dict) else set()
        return own.union(*map(keys, part.values()))

    assert all(
        re.fullmatch("[a-z0-9]+(_[a-z0-9]+)*", key) for text in schemas().values() for key in keys(json.loads(text))
    )


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("list",), "list"),
        (("list", "environments"), "list"),
        (("list", "scenarios"), "list"),
        (("list", "metrics"), "list"),
        (("completion", "bash"), "completion"),
        (("clean", "--dry-run"), "clean"),
        (("run", "--dry-run", "-e", "process", "-s", "startup"), "plan"),
        (("report", "RUN", "--format", "md"), "report"),
        (("compare", "RUN", "results/host/20260101T000000Z"), "compare"),
        (("export", "RUN", "--to", "csv", "--out", "run.csv"), "export"),
        (("trend",), "trend"),
        (("site",), "site"),
        (("prune", "--keep", "1"), "prune"),
    ],
)
def test_it_obeys_its_schema(printed: Printed, words: tuple[str, ...], name: str) -> None:
    """What is really printed is held against the published schema."""
    obeys(printed(*words, "--json"), name)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("rnu",), "no command is called 'rnu'"),
        (("run", "-e", "dokcer"), "no environment is called 'dokcer'"),
        (("report", "nowhere"), "nowhere"),
        (("export", "RUN", "--to", "csv"), "standard output"),
        (("compare", "RUN"), "required: B"),
    ],
)
def test_an_error_is_a_document_too(printed: Printed, words: tuple[str, ...], reason: str) -> None:
    """With the exit code, what is wrong and what mends it, also where the words could not be read."""
    document = printed(*words, "--json", code=2)
    obeys(document, "error")
    assert document["exit_code"] == 2 and reason in str(document["error"])


def test_an_abbreviated_option_is_one_too(printed: Printed) -> None:
    """argparse takes it, so data is wanted also where the words could not be read."""
    obeys(printed("run", "--js", "--blocks", "x", code=2), "error")
