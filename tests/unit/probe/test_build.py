"""The compiler as people name it, and what it may do wrong."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from isobench.core.errors import BuildError, IsobenchError, UsageError
from isobench.guests.nullkernel import null_kernel
from isobench.probe.build import compiled, compiler, probe_path
from isobench.processes import programs


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What is built here is built anew, and is nobody else's."""
    monkeypatch.setenv("ISOBENCH_CACHE", str(tmp_path / "cache"))
    probe_path.cache_clear()
    null_kernel.cache_clear()
    yield
    probe_path.cache_clear()
    null_kernel.cache_clear()


def tool(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
    return file


def test_cc_may_have_options_and_another_program_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As make takes it. A compiler that warns is no failure; CFLAGS is another program's affair."""
    wrapper = tool(tmp_path, "ccache", 'echo "warning: cold cache" >&2; exec "$@"')
    monkeypatch.setenv("CC", f'"{wrapper}" gcc -g0')
    monkeypatch.setenv("CFLAGS", "-no-such-option")
    assert compiler() == [str(wrapper), "gcc", "-g0"]
    done = subprocess.run([str(probe_path()), "ready"], input=b"\n", capture_output=True, timeout=60, check=True)
    assert done.stdout == b"ready\n"
    assert null_kernel().is_file()


def test_an_empty_cc_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """As an unset one."""
    monkeypatch.setenv("CC", " ")
    assert Path(compiler()[0]).name in ("cc", "gcc", "clang")


@pytest.mark.parametrize(
    ("told", "kind", "said"),
    [
        ('gcc "-m64', UsageError, "CC is not a command line"),
        ("/nowhere/gcc -m64", BuildError, "CC names /nowhere/gcc, which is not installed"),
        ("false", BuildError, "`false --version` fails"),
        ("true", BuildError, "true ends without an error, and has not built the probe"),
        ("gcc --no-such-option", BuildError, "does not compile|fails"),
    ],
)
def test_what_is_wrong_with_cc_is_told(
    told: str, kind: type[IsobenchError], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what to do."""
    monkeypatch.setenv("CC", told)
    with pytest.raises(kind, match=said) as error:
        probe_path()
    assert error.value.remedy


def test_a_compiler_for_another_machine_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it makes does not run: found when it is built, not in every environment."""
    makes = 'for word; do [ "$last" = -o ] && printf "\\177ELF other" > "$word" && chmod 755 "$word"; last=$word; done'
    monkeypatch.setenv("CC", str(tool(tmp_path, "cross-gcc", f'[ "$1" = --version ] && echo 12; {makes}; exit 0')))
    with pytest.raises(BuildError, match="do not run on this machine"):
        probe_path()


def test_without_a_compiler_that_is_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the package."""
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(programs, "_ALSO", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BuildError, match="no C compiler found") as error:
        probe_path()
    assert "gcc" in error.value.remedy
    assert os.listdir(tmp_path) == []


def test_a_full_disk_is_no_fault_of_the_compilers() -> None:
    """Another compiler would not mend it."""
    with pytest.raises(BuildError, match="No space left") as caught:
        compiled(["sh", "-c", "echo 'ld: final link failed: No space left on device' >&2; exit 1"], what="it")
    assert "free space" in caught.value.remedy and "CC" not in caught.value.remedy


def test_a_compiler_without_a_static_library_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As that of a Conda environment, which sets CC: the system's may have one."""
    fails = tool(tmp_path, "conda-cc", "echo 'ld: cannot find -lc: No such file or directory' >&2; exit 1")
    for told in (str(fails), ""):
        monkeypatch.setenv("CC", told)
        with pytest.raises(BuildError, match=r"conda-cc: libc\.a is missing") as caught:
            compiled([str(fails)], what="the probe")
        assert ("unset CC" in caught.value.remedy) == bool(told)
