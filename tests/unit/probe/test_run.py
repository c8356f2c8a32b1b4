"""The probe's verb `run` on this machine: what it says of commands that end, fail, flood, go on or never begin."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from isobench.probe.build import probe_path

PATH = f"env=PATH={os.environ['PATH']}"


def _step(*words: str, options: tuple[str, ...] = ()) -> list[str]:
    return [PATH, *options, f"words={len(words)}", "--", *words]


def _ran(*steps: list[str], go: int | None = None) -> tuple[int, list[dict[str, Any]]]:
    words = [str(probe_path()), "run", *(word for step in steps for word in step)]
    told = b"\n" * (len(steps) + 1 if go is None else go)
    done = subprocess.run(words, input=told, capture_output=True, timeout=60)
    ready, *lines = done.stdout.splitlines()
    assert ready == b"ready"
    return done.returncode, [json.loads(line) for line in lines]


def _shell(text: str, *options: str) -> tuple[int, dict[str, Any]]:
    status, (answer,) = _ran(_step("sh", "-c", text, options=options))
    return status, answer


def test_what_a_command_took() -> None:
    """Time, CPU time and memory of it and its children; standard error is output, too."""
    status, answer = _shell("i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; echo one; echo two >&2; sleep 0.1")
    assert status == 0
    assert answer["output"] == "one\ntwo\n" and answer["written"] == 8
    assert 0 < answer["cpu_ns"] < answer["ns"] and answer["ns"] > 10**8
    assert answer["peak"] > 100_000
    assert [answer[name] for name in ("status", "signal", "left", "flood")] == [0, 0, 0, 0]


def test_it_has_what_it_is_given_and_no_more(tmp_path: Path) -> None:
    """Its variables, its folder, an empty standard input, no terminal, and words that look like options."""
    status, answer = _shell("env; pwd; wc -c; tty; true", "env=A=b=c d", f"cwd={tmp_path}")
    said = answer["output"].splitlines()
    assert status == 0 and "A=b=c d" in said
    assert {line.partition("=")[0] for line in said if "=" in line} <= {"PATH", "A", "PWD", "OLDPWD", "SHLVL", "_"}
    assert str(tmp_path) in said and "0" in said and "not a tty" in said
    _, (answer,) = _ran(_step("printf", "%s|", "--", "words=1", "", "++"))
    assert answer["output"] == "--|words=1||++|"


@pytest.mark.parametrize(
    ("text", "status", "signal"), [("exit 3", 3, 0), ("kill -9 $$", 0, 9), ("kill -SEGV $$", 0, 11)]
)
def test_how_it_ended(text: str, status: int, signal: int) -> None:
    """The probe ends with 1, so that engines look why."""
    code, answer = _shell(f"echo last words; {text}")
    assert code == 1
    assert (answer["status"], answer["signal"], answer["output"]) == (status, signal, "last words\n")


def test_one_that_never_stops_writing_is_stopped() -> None:
    """Also where it does not mind that nobody reads; the end of what it wrote is kept."""
    code, answer = _shell("trap '' PIPE; yes abc", "most=1000000", "keep=8")
    assert code == 1 and answer["flood"] == 1 and answer["written"] > 1_000_000
    assert len(answer["output"]) == 8 and set(answer["output"]) <= set("abc\n")


def test_one_that_goes_into_the_background() -> None:
    """What it leaves is seen, also in a session of its own and with the output closed; what ends soon is not left."""
    for text in ("sleep 50 &", "setsid sleep 50 >/dev/null 2>&1 &"):
        code, answer = _shell(text)
        assert code == 0 and answer["left"] == 1
    assert _shell("sleep 0.05 &")[1]["left"] == 0


def test_one_that_cannot_begin(tmp_path: Path) -> None:
    """Which step failed, and why."""
    (tmp_path / "text").write_text("no program")
    (tmp_path / "text").chmod(0o644)
    for step, said in (
        (_step(str(tmp_path / "none")), "exec: No such file"),
        (_step(str(tmp_path / "text")), "exec: Permission denied"),
        (_step("true", options=(f"cwd={tmp_path}/none",)), "its working folder: No such file"),
    ):
        code, (answer,) = _ran(step)
        assert code == 1 and answer["error"].startswith(f"the program cannot be started: {said}")


def test_every_byte_comes_through() -> None:
    """As the character of the same number, whatever the bytes are."""
    every = "".join(f"\\{number:03o}" for number in range(256))
    _, (answer,) = _ran(_step("printf", every))
    assert answer["output"].encode("latin-1") == bytes(range(256))


def test_steps_come_one_after_the_other(tmp_path: Path) -> None:
    """Each waits for its line, and none comes after one that failed."""
    code, said = _ran(_step("sh", "-c", f"echo 1 > {tmp_path}/x"), _step("cat", f"{tmp_path}/x"))
    assert code == 0 and [answer["output"] for answer in said] == ["", "1\n"]
    code, said = _ran(_step("false"), _step("echo", "never"))
    assert code == 1 and len(said) == 1


@pytest.mark.parametrize(
    "words", [["true"], ["words=1", "--"], ["words=2", "--", "true"], ["odd=1", "words=1", "--", "true"], ["words=1"]]
)
def test_words_that_are_no_step(words: list[str]) -> None:
    """Told as an error of ours."""
    code, said = _ran(words, go=2)
    assert code == 1 and said == [{"error": "run wants steps: OPTION=VALUE... -- COMMAND"}]


@pytest.mark.root
def test_it_becomes_another_user(tmp_path: Path) -> None:
    """Without the groups of root."""
    _, answer = _shell("id -u; id -G", "user=65534:65534", "cwd=/")
    assert answer["output"] == "65534\n65534\n"
