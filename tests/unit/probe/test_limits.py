"""The probe's verbs for limits, on this machine: what they get, and how they say that there is no more."""

from __future__ import annotations

import errno
import json
import os
import resource
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from isobench.probe.build import probe_path


def _probe(*words: str, before: Callable[[], object] | None = None, data: Path | None = None) -> list[dict[str, Any]]:
    environ = {**os.environ, "ISOBENCH_DATA": str(data)}
    done = subprocess.run(
        [str(probe_path()), *words], input=b"", capture_output=True, env=environ, timeout=60, preexec_fn=before
    )
    ready, *lines = done.stdout.splitlines()
    assert ready == b"ready"
    return [json.loads(line) for line in lines]


def test_burning_says_the_longest_stall_and_the_time_of_the_work() -> None:
    """Standard input is at its end, so that it goes on at once."""
    burning, stall, work = _probe("burn", "2", "1000000")
    assert burning == {"burning": 2} and stall["stall"] >= 0 and work["work"] > 0


def test_burning_without_threads_is_an_error() -> None:
    assert _probe("burn", "0", "1") == [{"error": "burn wants 1 to 64 threads"}]


def test_a_hoard_without_a_limit_is_as_large_as_was_asked_for() -> None:
    (had,) = _probe("hoard", str(8 << 20))
    assert (had["bytes"], had["signal"], had["errno"]) == (8 << 20, 0, 0)


def test_a_hoard_says_what_the_kernel_refused() -> None:
    """Here by the limit of its address space; what it had before is counted."""
    (had,) = _probe("hoard", str(1 << 30), before=lambda: resource.setrlimit(resource.RLIMIT_AS, (64 << 20,) * 2))
    assert had["errno"] == errno.ENOMEM and had["signal"] == 0
    assert 16 << 20 < had["bytes"] < 64 << 20


def test_open_files_are_counted_with_those_that_were_open() -> None:
    """The limit is the number of descriptors; without a limit it stops where it was told to."""
    few = _probe("open", "100", before=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40)))
    assert few == [{"count": 40, "errno": errno.EMFILE}]
    assert _probe("open", "30") == [{"count": 30, "errno": 0}]


def test_processes_are_counted_with_the_probe_and_gone_afterwards() -> None:
    assert _probe("fork", "20") == [{"count": 20, "errno": 0}]


def test_what_is_written_is_not_left_behind(tmp_path: Path) -> None:
    for how in ("direct", "fsync", "syncfs"):
        (wrote,) = _probe("write", how, str(1 << 20), data=tmp_path)
        assert 0 < wrote["written"] <= wrote["synced"]
    assert not list(tmp_path.iterdir())


def test_what_is_written_is_written_in_pieces(tmp_path: Path) -> None:
    """The last one is what is left; a piece of nothing would never end."""
    (wrote,) = _probe("write", "fsync", "10000", "4096", data=tmp_path)
    assert 0 < wrote["written"] <= wrote["synced"]
    assert _probe("write", "fsync", "4096", "0", data=tmp_path) == [{"error": "a piece has 1 byte to 1 MiB"}]


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    (said,) = _probe("write", "fsync", "4096", data=tmp_path / "none")
    assert said["error"].endswith("No such file or directory")
