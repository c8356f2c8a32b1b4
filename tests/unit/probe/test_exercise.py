"""The probe's exercise: everything is done once it is told to, and what does not exist here is named."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from isobench.probe.build import probe_path
from isobench.scenarios.syscall import MEANINGS


def _exercise(*words: str, data: Path) -> tuple[int, list[dict[str, Any]]]:
    environ = {**os.environ, "ISOBENCH_DATA": str(data)}
    command = [str(probe_path()), "exercise", *words]
    done = subprocess.run(command, input=b"\n\n", capture_output=True, env=environ, timeout=120)
    ready, *lines = done.stdout.splitlines()
    assert ready == b"ready"
    return done.returncode, [json.loads(line) for line in lines]


def test_each_operation_and_a_file(tmp_path: Path) -> None:
    """All of the table's, and nothing is left on the storage."""
    status, (answer,) = _exercise("2", data=tmp_path)
    assert status == 0 and answer["done"] + len(answer["missing"]) == len(MEANINGS) + 1
    assert set(answer["missing"]) <= {"mount", "pipe-2cpu"}, "only root mounts, and some hosts have one CPU"
    assert list(tmp_path.iterdir()) == []


def test_storage_that_is_not_there_is_missing() -> None:
    _, (answer,) = _exercise("1", data=Path("/nowhere"))
    assert "file" in answer["missing"]


def test_nothing_to_do_is_an_error(tmp_path: Path) -> None:
    assert _exercise("0", data=tmp_path) == (1, [{"error": "exercise wants to do everything 1 to 1000 times"}])
