"""The probe's storage verbs on this machine: many small files, fio in steps, and what goes wrong."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from isobench.images.rootfs import rootfs_path
from isobench.probe.build import probe_path

needs_fio = pytest.mark.tool("fio")
SMALL = ("--name=x", "--size=256k", "--rw=write", "--bs=64k", "--filename=x", "--thread")


def _probe(data: Path, *words: str, told: bytes = b"", root: Path | None = None) -> tuple[int, list[dict[str, Any]]]:
    environ = {**os.environ, "ISOBENCH_DATA": str(data), "ISOBENCH_ROOT": str(root or rootfs_path())}
    done = subprocess.run([str(probe_path()), *words], input=told, capture_output=True, env=environ, timeout=60)
    ready, *lines = done.stdout.splitlines()
    assert ready == b"ready"
    return done.returncode, [json.loads(line) for line in lines]


def test_meta_measures_every_operation_and_leaves_the_files_of_the_tree(tmp_path: Path) -> None:
    """Ten batches of each; what was created was renamed and removed, the trees are as large as they should be."""
    status, (placed, *said) = _probe(tmp_path, "meta", "20")
    assert status == 0 and "folders" in placed
    assert [answer["name"] for answer in said] == [
        *("create", "stat", "rename", "unlink", "unpack", "unpack-sync", "lower-stat", "lower-read")
    ]
    assert [len(answer["ns"]) for answer in said] == [10, 10, 10, 10, 1, 1, 10, 10]
    assert all(value > 0 for answer in said for value in answer["ns"])
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 2 * 128
    assert {path.stat().st_mode & 0o777 for path in files} == {0o640}
    assert len({path.stat().st_size for path in files}) > 100


def test_copy_up_writes_what_is_there(tmp_path: Path) -> None:
    """The first byte is written with its own value: the files stay what they were."""
    lower = tmp_path / "lower"
    lower.mkdir()
    before = {"1k": b"a" * 1024, "1m": b"b" * (1 << 20), "100m": b"c" * (3 << 20)}
    for name, content in before.items():
        (lower / name).write_bytes(content)
    status, said = _probe(tmp_path, "copyup")
    assert status == 0
    assert [a["name"] for a in said] == [f"{what}-{size}" for size in before for what in ("copy-up", "again")]
    assert {name: (lower / name).read_bytes() for name in before} == before
    (tmp_path / "own").mkdir()
    assert _probe(tmp_path / "own", "copyup")[0] == 0, "beside the instance's own folder, too"
    assert _probe(Path("/proc"), "copyup") == (
        1,
        [{"error": "the files of the lower layer: No such file or directory"}],
    )


@needs_fio
def test_fio_in_steps(tmp_path: Path) -> None:
    """A step may have the file read whole, or dropped, before fio runs; it says what the page cache holds."""
    words = ("fio", *SMALL, "--end_fsync=1", "next", "warm=x", *SMALL, "next", "cold=x", *SMALL)
    status, said = _probe(tmp_path, *words, told=b"\n")
    assert status == 0
    assert [next(iter(answer)) for answer in said] == [
        "fio version",
        "warm",
        "fio version",
        "cold",
        "cold",
        "fio version",
    ]
    warm, cold = said[1], said[4]
    assert warm["resident"] == warm["pages"] == 64
    assert cold["pages"] == 64 and (cold["resident"] == 0 or _is_tmpfs(tmp_path))


def _is_tmpfs(folder: Path) -> bool:
    done = subprocess.run(["stat", "-f", "-c", "%T", str(folder)], capture_output=True, text=True, check=True)
    return done.stdout.strip() == "tmpfs"


@needs_fio
def test_fio_says_itself_what_is_wrong(tmp_path: Path) -> None:
    """An option that there is not, an engine that there is not, a folder that is not there: fio's words, one line."""
    for words, expected in (
        (("--name=x", "--colour=red"), "colour"),
        ((*SMALL, "--ioengine=magic"), "magic"),
        ((*SMALL, "--directory=/nowhere"), "/nowhere"),
    ):
        status, said = _probe(tmp_path, "fio", *words)
        assert status == 1 and expected in said[-1]["error"], said


def test_a_root_file_system_without_fio(tmp_path: Path) -> None:
    """Said before anything else is tried."""
    assert _probe(tmp_path, "fio", *SMALL, root=tmp_path) == (
        1,
        [{"error": "there is no fio in the root file system"}],
    )


@needs_fio
@pytest.mark.parametrize("name", ["a:b", "::", "w\u00f6rk, a:b 'c'", "back\\slash"])
def test_fio_works_in_a_folder_of_any_name(name: str, tmp_path: Path) -> None:
    """A colon ends a folder's name for fio."""
    (tmp_path / name).mkdir()
    status, said = _probe(tmp_path / name, "fio", *SMALL)
    assert status == 0, said
    assert [file.name for file in (tmp_path / name).iterdir()] == ["x"]
    assert [file.name for file in tmp_path.iterdir()] == [name]
