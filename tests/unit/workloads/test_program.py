"""A program of this host as a workload: what goes with it, and what is refused. Made with the host's compiler."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import pytest

from isobench.core.errors import UsageError
from isobench.images import archive
from isobench.workloads.program import program_workload


@pytest.fixture(autouse=True)
def small_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of its own, and a probe of a few bytes in the archives."""
    (tmp_path / "probe").write_text("probe")
    monkeypatch.setattr(archive, "probe_path", lambda: tmp_path / "probe")
    monkeypatch.setenv("ISOBENCH_CACHE", str(tmp_path / "cache"))


def compiled(target: Path, *options: str) -> Path:
    """A program that does nothing."""
    command = ["/usr/bin/cc", "-x", "c", "-", "-o", str(target), *options]
    subprocess.run(command, input=b"int main(void) { return 0; }", check=True)
    return target


def _inside(program: Path | str) -> set[str]:
    with tarfile.open(program_workload([str(program)]).root().archive) as packed:
        return {member.name for member in packed if not member.isdir()}


def test_its_loader_and_libraries_go_with_it(tmp_path: Path) -> None:
    """At the places where they are here; a static one has none."""
    dynamic = _inside(compiled(tmp_path / "dynamic"))
    assert str(tmp_path / "dynamic").lstrip("/") in dynamic
    assert any("libc.so" in name for name in dynamic) and any("ld-linux" in name for name in dynamic)
    static = _inside(compiled(tmp_path / "static", "-static"))
    assert not any(".so" in name for name in static)


def test_it_is_run_as_it_was_called(tmp_path: Path) -> None:
    """By the path that was typed, as an absolute one, also where that is a link: some programs look at their name."""
    real = compiled(tmp_path / "real-one", "-static")
    (tmp_path / "Tool").symlink_to(real)
    workload = program_workload([str(tmp_path / "Tool"), "-x", "a b"])
    assert workload.command.words == (str(tmp_path / "Tool"), "-x", "a b")
    assert (workload.name, workload.title) == ("program-tool", "Tool -x 'a b'")
    with tarfile.open(workload.root().archive) as packed:
        assert packed.getmember(str(tmp_path / "Tool").lstrip("/")).linkname == str(real)


def test_by_its_name_and_by_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a shell finds it."""
    compiled(tmp_path / "mine", "-static")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert program_workload(["mine"]).command.words == program_workload(["./mine"]).command.words


def test_libraries_that_only_a_variable_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loader inside is told where they are; one that is missing is told before anything is measured."""
    lib = tmp_path / "lib"
    lib.mkdir()
    odd = ["-Wl,--no-as-needed", f"-L{lib}", "-l:libodd.so.1"]
    subprocess.run(["/usr/bin/cc", "-shared", "-o", lib / "libodd.so.1", "-Wl,-soname,libodd.so.1"], check=True)
    program = compiled(tmp_path / "program", *odd)
    with pytest.raises(UsageError, match=r"needs libodd\.so\.1, which is missing"):
        program_workload([str(program)])
    monkeypatch.setenv("LD_LIBRARY_PATH", str(lib))
    assert str(lib) in program_workload([str(program)]).command.environ["LD_LIBRARY_PATH"].split(":")
    assert str(lib / "libodd.so.1").lstrip("/") in _inside(program)


def test_one_in_a_folder_that_containers_have_of_their_own() -> None:
    """It is refused, but for a link to it: then it runs by its own path."""
    folder = Path(tempfile.mkdtemp(dir="/run" if os.geteuid() == 0 else "/run/lock"))
    try:
        with pytest.raises(UsageError, match=r"every container has of its own \(/run\)") as refused:
            program_workload([str(compiled(folder / "mine", "-static"))])
        assert refused.value.remedy == "copy it to another folder"
        (folder / "link").symlink_to("/usr/bin/env")
        assert program_workload([str(folder / "link"), "x"]).command.words == (os.path.realpath("/usr/bin/env"), "x")
    finally:
        shutil.rmtree(folder)


def test_what_is_refused(tmp_path: Path) -> None:
    """Each with what is wrong with it."""
    script, data = tmp_path / "script", tmp_path / "data"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    data.write_text("x")
    data.chmod(0o644)
    foreign = tmp_path / "foreign"
    foreign.write_bytes(_with_loader(Path(os.path.realpath(sys.executable)).read_bytes()))
    foreign.chmod(0o755)
    for word, said in (
        ("no-such-program", "no program is called 'no-such-program'"),
        (f"{tmp_path}/none", "there is no program"),
        (str(tmp_path), "there is no program"),
        (str(data), "is not executable"),
        (str(script), "is not a compiled program"),
        (str(foreign), "does not run on this machine"),
    ):
        with pytest.raises(UsageError, match=said):
            program_workload([word])


def _with_loader(program: bytes) -> bytes:
    """The same program with a loader that no machine has."""
    return program.replace(b"/lib64/ld-", b"/lib65/ld-").replace(b"/lib/ld-", b"/lib/xx-")
