"""The file of a workload: what it says, and for each mistake the file, the line and what is wrong."""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

from isobench.core.errors import UsageError
from isobench.planning import catalog
from isobench.planning.workloads import select_workloads
from isobench.probe.build import SOURCES
from isobench.workloads.file import line_of, read_workload
from isobench.workloads.measured import TAKEN, Measured
from tests.schemas import FOLDER

WHOLE = """\
title = "A server"
prepare = ["touch /data/x", ["mkdir", "/data/y"]]
environ = { LANG = "C" }

[root]
packages = ["redis-server"]
folder = "tree"
files = { "/etc/a.conf" = "a.conf" }

[server]
command = ["server", "--port", "7"]
ready = { port = 7 }

[driver]
command = "ask it"
expect = "^fine$"
requests = 1000

[[numbers]]
name = "get"
unit = "per second"
meaning = "one GET"
pattern = 'get (\\d+)'

[[numbers]]
name = "p99"
unit = "ms"
meaning = "99th percentile"
json = "gets.0.p99"

[needs]
cpus = 2
memory = "256M"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What the file above refers to."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "a.conf").write_text("")
    return tmp_path


def _written(folder: Path, text: str) -> Path:
    (folder / "mine.toml").write_text(text)
    return folder / "mine.toml"


def test_a_whole_file(folder: Path) -> None:
    """Every field of it; a line is the shell's, a list is run as it is."""
    found = read_workload(_written(folder, WHOLE))
    assert (found.name, found.title, found.cpus, found.memory_bytes) == ("mine", "A server", 2, 256 << 20)
    assert [command.words for command in found.prepare] == [("/bin/sh", "-c", "touch /data/x"), ("mkdir", "/data/y")]
    assert found.server is not None and found.server.command.words == ("server", "--port", "7")
    assert (found.server.port, found.server.line, found.server.asked) == (7, "", None)
    assert found.command.words == ("/bin/sh", "-c", "ask it") and found.command.environ["LANG"] == "C"
    assert found.expect is not None and found.expect.search("x\nfine\n")
    get, p99 = found.numbers
    assert get.read("get 500") == 1 / 500 and p99.read('{"gets": [{"p99": 2.5}]}') == 0.0025
    names = [metric.name for metric in Measured(found).metrics]
    assert names[:6] == ["get", "p99", "first-answer", "wall", "cpu", "peak"]
    assert {"pss", "cgroup-peak", "host-cpu", "host-cpu-engine"} < set(names) <= {"get", "p99"} | TAKEN
    assert found.requests == 1000


def _without(line: str) -> str:
    assert line in WHOLE
    return WHOLE.replace(line, "", 1)


def _with(before: str, after: str) -> str:
    assert before in WHOLE
    return WHOLE.replace(before, after, 1)


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        (_with("cpus = 2", "cpu = 2"), 32, "needs.cpu is not a field of a workload"),
        (_with("cpus = 2", 'cpus = "2"'), 32, "needs.cpus: expected int, got str"),
        (_with("cpus = 2", "cpus = 0"), 32, "needs.cpus: expected int >= 1"),
        (_with('"256M"', '"256"'), 33, "needs.memory: expected str matching regex"),
        (_with("port = 7", "port = 70000"), 12, "server.ready.port: expected int <= 65535"),
        (_with("ready = { port = 7 }", "ready = {}"), 12, "ready by one of port, line and command"),
        (_with("port = 7", 'port = 7, line = "x"'), 12, "ready by one of port, line and command"),
        (_without('title = "A server"'), 1, "title is missing"),
        (_without('command = "ask it"'), 14, "driver.command is missing"),
        (_with('"^fine$"', '"("'), 16, "'(' is not a regular expression"),
        (_with("'get (\\d+)'", "'get \\d+'"), 23, "has no group in parentheses"),
        (_with('json = "gets.0.p99"', ""), 25, "p99 is found by one of pattern and json"),
        (_with('name = "p99"', 'name = "get"'), 26, "another number is called 'get'"),
        (_with('name = "p99"', 'name = "wall"'), 26, "another number is called 'wall'"),
        (_with('name = "p99"', 'name = "P 99"'), 26, "numbers.name: expected str matching regex"),
        (_with('"ms"', '"min"'), 27, "numbers.unit: invalid enum value 'min'"),
        (_with("requests = 1000", 'where = "host"'), 17, "listens at $PORT, which the environment chooses"),
        (
            _with("requests = 1000", 'where = "host"').replace("{ port = 7 }", '{ line = "x" }'),
            17,
            "a driver on the host needs a server that is ready by its port",
        ),
        (_with("requests = 1000", "warm_up = []"), 17, "the command has no words"),
        (_with("requests = 1000", 'where = "there"'), 17, "driver.where: invalid enum value 'there'"),
        (_with("requests = 1000", "requests = -1"), 17, "-1 is not a number of requests"),
        (_with("requests = 1000", "requests = 'done'"), 17, "has no group in parentheses"),
        (_with("requests = 1000", "requests = 1.5"), 17, "driver.requests: expected int | str"),
        (_with('["redis-server"]', '["Redis Server"]'), 6, "'Redis Server' is not a package's name"),
        (_with('"tree"', '"none"'), 7, "there is no folder"),
        (_with('"a.conf"', '"none"'), 8, "there is no"),
        (_with('"/etc/a.conf"', '"../a.conf"'), 8, "is not an absolute path"),
        (_with('command = "ask it"', "command = []"), 15, "the command has no words"),
        (_with("[root]", "[[root]]"), 5, "root: expected object, got array"),
        ('title = "x"\n[root]\n[driver]\ncommand = "x"\n', 2, "the root file system is empty"),
        ('title = "x"\n[root\n', 2, "not TOML"),
    ],
)
def test_a_mistake_is_told_with_its_line(folder: Path, text: str, line: int, said: str) -> None:
    """And with what is wrong there."""
    path = _written(folder, text)
    with pytest.raises(UsageError) as error:
        read_workload(path)
    assert error.value.reason.startswith(f"{path}:{line}: ")
    assert said in error.value.reason


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """Not there, no text, or with a name that cannot be a workload's."""
    (tmp_path / "odd.toml").write_bytes(b"\xff")
    (tmp_path / "My File.toml").write_text('title = "x"\nroot.packages = ["x"]\ndriver.command = "x"\n')
    for name, said in (("none", "No such file"), ("odd", "not UTF-8"), ("My File", "cannot be a workload's name")):
        with pytest.raises(UsageError, match=said):
            read_workload(tmp_path / f"{name}.toml")


def test_lines_of_keys() -> None:
    """Dotted, quoted, in a list of tables; of what is inside a value the line of its key."""
    text = 'a.b = 1\n"c d" = 2\n[x.y]\nz = { w = 1 }\n[[n]]\nk = 1\n[[n]]\nk = 2\n'
    for keys, line in (
        (("a", "b"), 1), (("c d",), 2), (("x", "y"), 3), (("x", "y", "z", "w"), 4), (("n", 0, "k"), 6),
        (("n", 1, "k"), 8), (("n", 1, "none"), 7), (("none",), 1),
    ):  # fmt: skip
        assert line_of(text, keys) == line


def test_what_is_compiled_is_the_whole_probe() -> None:
    """A file that was added to it and not to the workload: the linker did not find what is in it."""
    path = catalog.workloads()["compile"].resolve()
    files = tomllib.loads(path.read_text())["root"]["files"]
    named = {
        (path.parent / source).resolve() for place, source in files.items() if place == f"/src/{Path(source).name}"
    }
    assert {file for file in named if file.suffix in (".c", ".h")} == set(SOURCES.resolve().glob("*.[ch]"))


@pytest.mark.parametrize("name", catalog.workloads())
def test_a_shipped_one(name: str) -> None:
    """It obeys the published schema, and has numbers of its own."""
    path = catalog.workloads()[name]
    jsonschema.validate(tomllib.loads(path.read_text()), json.loads((FOLDER / "workload.schema.json").read_text()))
    found = read_workload(path)
    assert found.name == name and found.numbers and found.packages


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An installed package with a workload."""
    (tmp_path / "theirs-1.dist-info").mkdir()
    (tmp_path / "theirs-1.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1\n")
    (tmp_path / "theirs-1.dist-info/entry_points.txt").write_text("[isobench.workloads]\ntheirs = theirs_workloads\n")
    module = "from pathlib import Path\nWORKLOADS = (Path(__file__).parent / 'theirs.toml',)\n"
    (tmp_path / "theirs_workloads.py").write_text(module)
    (tmp_path / "theirs.toml").write_text('title = "x"\nroot.packages = ["sqlite3"]\ndriver.command = "true"\n')
    monkeypatch.syspath_prepend(tmp_path)
    catalog.workloads.cache_clear()
    yield tmp_path
    catalog.workloads.cache_clear()
    sys.modules.pop("theirs_workloads", None)


def test_one_of_another_package(package: Path) -> None:
    """It is found by its entry point, and measured like one that is shipped."""
    assert catalog.workloads()["theirs"] == package / "theirs.toml"
    assert [one.name for one in select_workloads("sqlite,theirs")] == ["sqlite", "theirs"]


def test_what_can_be_named(folder: Path) -> None:
    """Names and files; unknown ones, and those of two files or of a scenario, are refused."""
    mine = _written(folder, WHOLE)
    assert [one.name for one in select_workloads(f"sqlite, {mine}")] == ["sqlite", "mine"]
    (folder / "io.toml").write_text(WHOLE)
    (folder / "tree/mine.toml").write_text('title = "x"\nroot.packages = ["x1"]\ndriver.command = "x"\n')
    for words, said in (
        ("sqlit", "no workload is called 'sqlit'; did you mean 'sqlite'"),
        (",", "no workload was named"),
        (str(folder / "io.toml"), "a scenario is called 'io'"),
        (f"{mine},{folder}/tree/mine.toml", "have the same name"),
    ):
        with pytest.raises(UsageError, match=said):
            select_workloads(words)
