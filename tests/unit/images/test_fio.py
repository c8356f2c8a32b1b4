"""What fio may be on a host: static, a script, with libraries elsewhere, damaged. Made with the host's compiler."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from isobench.images import rootfs
from isobench.images.fio import COMMAND, Fio, host_fio
from isobench.probe.build import probe_path
from isobench.processes import programs
from isobench.scenarios.io import Io

FIO = 'int printf(const char *, ...); int main(void) { printf("fio-9.%d\\n", MINOR); return 0; }'


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The one folder of PATH that may have a fio; a cache of its own."""
    folder = tmp_path / "bin"
    folder.mkdir()
    probe = probe_path()
    monkeypatch.setattr(rootfs, "probe_path", lambda: probe)
    monkeypatch.setattr(programs, "_ALSO", ())
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("ISOBENCH_CACHE", str(tmp_path / "cache"))
    host_fio.cache_clear()
    rootfs.rootfs_path.cache_clear()
    yield folder
    host_fio.cache_clear()
    rootfs.rootfs_path.cache_clear()


def cc(*words: str, source: str = "") -> None:
    environ = {**os.environ, "PATH": "/usr/bin:/bin"}
    subprocess.run(["/usr/bin/cc", "-x", "c", "-", *words], input=source.encode(), check=True, env=environ)


def compiled(target: Path, *options: str, minor: int = 1) -> Path:
    """A fio that knows its version alone."""
    target.parent.mkdir(parents=True, exist_ok=True)
    cc(f"-DMINOR={minor}", "-o", str(target), *options, source=FIO)
    return target


def odd_library(folder: Path) -> list[str]:
    """A library where no loader looks; the options to link with it."""
    folder.mkdir()
    cc("-shared", "-o", str(folder / "libodd.so.1"), "-Wl,-soname,libodd.so.1")
    return ["-Wl,--no-as-needed", f"-L{folder}", "-l:libodd.so.1"]


def script(target: Path, text: str) -> None:
    target.write_text(f"#!/bin/sh\n{text}\n")
    target.chmod(0o755)


def found() -> Fio:
    host_fio.cache_clear()
    return host_fio()


def test_a_static_one(path: Path) -> None:
    """Nothing goes with it, and nothing says how it is started."""
    compiled(path / "fio", "-static", minor=39)
    fio = found()
    assert (fio.version, fio.why_not, fio.command) == ("fio-9.39", "", "")
    assert set(fio.files) == {Path("usr/bin/fio")}
    assert "static" in fio.origin
    assert Io().lacks() is None


def test_a_script_is_seen_through(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To what it starts, or to the next in PATH; else it is told, and I/O alone is lost."""
    real = compiled(tmp_path / "opt/fio-real")
    script(path / "fio", f'nice -n 5 {real} "$@"')
    assert found().files[Path("usr/bin/fio")] == real
    script(path / "fio", 'exec other-fio "$@"')
    fio = found()
    assert "is not an executable program" in fio.why_not and "first in PATH" in fio.remedy and not fio.files
    assert Io().lacks() == (fio.why_not, fio.remedy)
    assert rootfs.fio_fact() == {"without.fio": f"I/O is not measured: {fio.why_not}"}
    assert not (rootfs.rootfs_path() / "usr/bin/fio").exists()
    monkeypatch.setenv("PATH", f"{path}:{tmp_path / 'opt'}")
    compiled(tmp_path / "opt/fio", minor=7)
    assert found().version == "fio-9.7" and "in the place of" in found().origin


def test_libraries_that_only_a_variable_shows(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They go where the instance's loader is told to look; one that is missing loses I/O alone."""
    lib = tmp_path / "elsewhere"
    compiled(path / "fio", *odd_library(lib), minor=5)
    assert "libodd.so.1, which is missing" in found().why_not
    monkeypatch.setenv("LD_LIBRARY_PATH", str(lib))
    fio = found()
    assert fio.why_not == ""
    assert fio.files[Path("usr/lib/fio/libodd.so.1")] == lib / "libodd.so.1"
    assert fio.command.splitlines()[2] == "always"
    assert (rootfs.rootfs_path() / COMMAND).read_text() == fio.command


@pytest.mark.root
def test_it_starts_in_an_instance(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the probe, in a root of its own and beside one: static, with an odd library, as usual."""
    lib = tmp_path / "elsewhere"
    with_odd = odd_library(lib)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(lib))
    for number, options in enumerate((["-static"], with_odd, [])):
        compiled(path / "fio", *options, minor=number)
        host_fio.cache_clear()
        rootfs.rootfs_path.cache_clear()
        root = rootfs.rootfs_path()
        beside = {"ISOBENCH_ROOT": str(root), "ISOBENCH_DATA": str(tmp_path)}
        for command, environ in (([str(root / "probe")], beside), (["/usr/sbin/chroot", str(root), "/probe"], {})):
            # It says no JSON, which it is asked for: the probe sends what begins with a brace, so nothing.
            done = subprocess.run([*command, "fio", "--x"], env=environ, capture_output=True, text=True, check=False)
            assert done.returncode == 0 and "error" not in done.stdout, (options, command, done.stdout)


def test_what_is_no_program_is_told(path: Path, tmp_path: Path) -> None:
    """None, one of another machine, an empty one, a link to what starts any snap."""
    assert found().why_not == "this host has no fio"
    (path / "fio").write_bytes(b"\x7fELF" + bytes(100))
    (path / "fio").chmod(0o755)
    assert "does not run" in found().why_not
    (path / "fio").write_bytes(b"")
    assert found().why_not
    (path / "fio").unlink()
    (path / "fio").symlink_to(compiled(tmp_path / "usr/bin/snap"))
    assert found().why_not


def test_this_hosts_own() -> None:
    """Where there is one: it is started as usual if its loader finds its libraries by itself. Debian's since 13 needs
    one of ceph's, which lies in a folder of its own."""
    fio = found()
    if fio.why_not:
        pytest.skip(fio.why_not)
    assert fio.version.startswith("fio-")
    _, folders, *forced = [*fio.command.splitlines(), "", ""]
    assert not any(forced) or len(folders.split(":")) > 1 or "static" in fio.origin
