"""Asking other people's programs: what they print, or why not, in one line."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from isobench.core.errors import MeasurementError
from isobench.processes.programs import find, major_version, output, search_path, telling_line, version


def test_what_a_tool_prints() -> None:
    """It is asked nothing: what it could read is empty. Bytes that are no text do not matter."""
    assert output(["sh", "-c", r"cat; printf 'a\377b'"], 60) == "a\ufffdb"


@pytest.mark.parametrize(
    ("script", "seconds", "said"),
    [
        ("echo begun; echo no bridge >&2; exit 2", 60, "sh -c: no bridge"),
        ("printf 'no bridge\n\n  for x\n' >&2; exit 2", 60, "sh -c: no bridge; for x"),
        (
            "printf 'x\nfatal error: no memory\nruntime.main()\n\tproc.go:693 +0xab fp=0x7\n' >&2; exit 2",
            60,
            "sh -c: fatal error: no memory",
        ),
        ("printf 'level=warning msg=\"not shared, failed\"\nno map\n' >&2; exit 2", 60, "sh -c: no map"),
        (
            "printf 'mount: no such device.\n dmesg(1) may have more information after it.\n' >&2; exit 32",
            60,
            "sh -c: mount: no such device.",
        ),
        (
            r"""printf '%s\n' 'time="2026-01-01T00:00:00Z" level=fatal msg="no \"it\"\nnor b" at=c' >&2; exit 1""",
            60,
            'sh -c: no "it" nor b at=c',
        ),
        ("exit 7", 60, "sh -c: it exited with status 7"),
        ("kill -KILL $$", 60, "sh -c: it was killed by SIGKILL"),
        ("kill -40 $$", 60, "sh -c: it was killed by signal 40"),
        ("echo waiting >&2; exec sleep 30", 0.2, "sh -c: it did not end within 0 s"),
    ],
)
def test_why_it_fails(script: str, seconds: float, said: str) -> None:
    with pytest.raises(MeasurementError) as told:
        output(["sh", "-c", script], seconds)
    assert told.value.reason == said


def test_what_is_refused_of_one_that_succeeds() -> None:
    """By words of its errors, of which the others do not matter."""
    script = r"""printf '%s\n' 'old' 'time="2026-01-01" level=warning msg="Failed, retrying in 1s"' >&2; echo done"""
    assert output(["sh", "-c", script], 60, refused="in 2s") == output(["sh", "-c", script], 60) == "done\n"
    with pytest.raises(MeasurementError, match=r"^sh -c: Failed, retrying in 1s$"):
        output(["sh", "-c", script], 60, refused="retrying")


def test_one_that_is_not_there() -> None:
    with pytest.raises(MeasurementError, match="no-such-tool x: No such file or directory"):
        output(["no-such-tool", "x"], 60)


def test_a_tool_that_is_asked_for_its_version_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Podman makes folders before it says it: in its user's folder of a login, or in /tmp if there is none."""
    (tmp_path / "tool").write_text('#!/bin/sh\nmkdir "${XDG_RUNTIME_DIR:=/none}/libpod" && echo "$XDG_RUNTIME_DIR"\n')
    (tmp_path / "tool").chmod(0o755)
    (tmp_path / "mine").mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "mine"))
    told = version(f"{tmp_path}/tool")
    assert told and not Path(told).exists() and list((tmp_path / "mine").iterdir()) == []
    monkeypatch.setattr(tempfile, "tempdir", "/dev/null/none")  # no folder can be made: the tool decides
    assert version(f"{tmp_path}/tool") == f"{tmp_path}/mine"


@pytest.mark.parametrize(
    ("said", "before", "major"),
    [
        ("Docker version 20.10.24+dfsg1, build 297e128", "Docker version ", 20),
        ("podman version 4.3.1", "Docker version ", 0),
        ("6.0.4", "", 6),
        ("tool 6.0.4", "", 0),
        ("version 2", "version ", 0),
        ("", "", 0),
    ],
)
def test_a_major_version(said: str, before: str, major: int, tmp_path: Path) -> None:
    """Only behind the words by which the program is recognised, and with a minor one."""
    (tmp_path / "tool").write_text(f"#!/bin/sh\necho '{said}'\n")
    (tmp_path / "tool").chmod(0o755)
    assert major_version(f"{tmp_path}/tool", before) == major


def test_a_program_in_the_current_folder_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever put it there under the name of a tool that is not installed."""
    (tmp_path / "bin").mkdir()
    for place in (tmp_path, tmp_path / "bin"):
        (place / "no-such-tool").write_text("#!/bin/sh\n")
        (place / "no-such-tool").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"/usr/bin::.:bin:./bin:..:{tmp_path}/none")
    assert find("no-such-tool") is None and search_path().startswith(f"/usr/bin:{tmp_path}/none:")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin")
    assert find("no-such-tool") == f"{tmp_path}/bin/no-such-tool"


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (
            [
                "failed to start daemon: mkdir /work: permission denied",
                "[rootlesskit:child ] error: command [dockerd] exited: exit status 1",
                "[rootlesskit:parent] error: dial unix /work/rootlesskit1/.bp.sock: connect: invalid argument",
            ],
            "failed to start daemon: mkdir /work: permission denied",
        ),
        (
            ["no key", "[rootlesskit:parent] error: failed to setup UID/GID map: newuidmap 7 failed"],
            "[rootlesskit:parent] error: failed to setup UID/GID map: newuidmap 7 failed",
        ),
        (
            ["mount: /a: special device /b does not exist.", "dmesg(1) may have more information after failed mount."],
            "mount: /a: special device /b does not exist.",
        ),
        (["dmesg(1) may have more information after failed mount."],) * 2,
        (['time="2026-01-01T00:00:00Z" level=error msg="no space"'], "no space"),
        (['time="2026-01-01T00:00:00Z" level=error msg=gone'], "gone"),
        ([], ""),
    ],
)
def test_the_line_that_tells(lines: list[str], told: str | list[str]) -> None:
    """Not what a program adds to every cause, nor what follows from it."""
    assert telling_line(lines) == (told if isinstance(told, str) else told[0])
