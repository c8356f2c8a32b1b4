"""What tells the use of an instance: the files of its cgroup on both versions, or those of its process."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from isobench.core.errors import MeasurementError
from isobench.resources import use
from isobench.resources.use import Use, UseFiles, parse_stat, parse_usage


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process is in one cgroup, every other in another."""
    own = os.getpid()
    monkeypatch.setattr(use, "cgroups_of", lambda pid: "0::/here\n" if pid == own else "0::/there\n")


@pytest.mark.usefixtures("elsewhere")
def test_version_2_has_one_folder(tmp_path: Path) -> None:
    folder = tmp_path / "there"
    folder.mkdir()
    (folder / "cpu.stat").write_text("usage_usec 2500000\nuser_usec 1\n")
    (folder / "memory.current").write_text("4096\n")
    files = UseFiles(7, tmp_path)
    assert files.read() == Use(2.5, 4096)
    assert files.words == "files of its cgroup: cpu.stat, memory.current"
    (folder / "memory.current").write_text("max\n")
    with pytest.raises(MeasurementError, match="its use cannot be read"):
        files.read()


def test_version_2_counts_in_a_cgroup_above(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of systemd-nspawn, whose program is in one without controllers; but not in one that has this process, too."""
    said = {7: "0::/run/nspawn/payload\n", 8: "0::/run/other/payload\n", os.getpid(): "0::/run/own\n"}
    monkeypatch.setattr(use, "cgroups_of", lambda pid: said[pid])
    for folder, seconds in (("run/nspawn", 2), ("run/nspawn/payload", 1), ("run/other/payload", 1), ("run", 9)):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / "cpu.stat").write_text(f"usage_usec {seconds}000000\n")
    for folder in ("run", "run/nspawn"):
        (tmp_path / folder / "memory.current").write_text("4096\n")
    assert UseFiles(7, tmp_path).read() == Use(2.0, 4096)
    assert UseFiles(8, tmp_path).words.startswith("files of its process")


def test_version_1_has_one_folder_for_each_controller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = {7: "2:cpu,cpuacct:/a\n3:memory:/b\n", os.getpid(): "2:cpu,cpuacct:/\n3:memory:/\n"}
    monkeypatch.setattr(use, "cgroups_of", lambda pid: said[pid])
    for name, text in (("cpuacct/a/cpuacct.usage", "1500000000"), ("memory/b/memory.usage_in_bytes", "8192")):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)
    assert UseFiles(7, tmp_path).read() == Use(1.5, 8192)


def test_without_a_cgroup_of_its_own_it_is_the_process() -> None:
    """As this process, which is in its own cgroup."""
    files = UseFiles(os.getpid())
    assert files.words.startswith("files of its process")
    before = files.read()
    until = time.process_time() + 0.05
    while time.process_time() < until:
        pass
    after = files.read()
    assert after.cpu_seconds > before.cpu_seconds and after.memory_bytes > 1 << 20


def test_a_process_that_is_gone_tells_nothing() -> None:
    with pytest.raises(MeasurementError, match="its use cannot be read"):
        UseFiles(0).read()


def test_what_the_kernel_says_is_read() -> None:
    """A program's name may hold anything."""
    ticks = os.sysconf("SC_CLK_TCK")
    assert parse_stat(f"7 (a) b) S {' '.join(['0'] * 10)} {ticks} {ticks} 0") == 2.0
    assert parse_usage("nr_periods 1\nusage_usec 5\n") == 5e-6 and parse_usage("7\n") == 7e-9
    for text in ("", "usage_usec x"):
        with pytest.raises(ValueError):
            parse_usage(text)
