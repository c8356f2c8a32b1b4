"""The probe's verb `run` on this machine: what it says of commands that end, fail, flood, go on or never begin."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from isobench.probe.build import probe_path
from tests.busy import once

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
    once(lambda: int(_shell("sleep 0.05 &")[1]["left"]), lambda left: left == 0)


def test_one_that_cannot_begin(tmp_path: Path) -> None:
    """Which step failed, and why."""
    (tmp_path / "text").write_text("no program")
    (tmp_path / "text").chmod(0o644)
    (tmp_path / "script").write_text("#!/usr/bin/no-such\n")
    (tmp_path / "script").chmod(0o755)
    for step, said in (
        (_step(str(tmp_path / "none")), f"{tmp_path}/none: No such file"),
        (_step(str(tmp_path / "text")), f"{tmp_path}/text: Permission denied"),
        (_step(str(tmp_path / "script")), f"{tmp_path}/script: its interpreter: No such file"),
        (_step('no "such"'), "no  such : No such file"),
        (_step("true", options=(f"cwd={tmp_path}/none",)), "true: its working folder: No such file"),
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


LISTENS = (
    "import socket, time; time.sleep(0.2); s = socket.create_server(('127.0.0.1', %d), reuse_port=True);"
    " print('up'); time.sleep(99)"
)


def test_a_server_is_ready_once_it_accepts_connections() -> None:
    """It goes on while commands run beside it, and says what it took when it is stopped."""
    with socket.socket() as kept:  # by this process, which does not listen, so that nobody else is given the port
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        kept.bind(("127.0.0.1", 0))
        port = kept.getsockname()[1]
        server = _step(sys.executable, "-c", LISTENS % port, options=("as=server", f"port={port}"))
        client = f"import socket; socket.create_connection(('127.0.0.1', {port})); print('in')"
        code, (ready, answer, stopped) = _ran(server, _step(sys.executable, "-c", client), ["as=stop", "--"])
    assert code == 0 and ready["ns"] > 2 * 10**8
    assert (answer["status"], answer["output"], answer["left"]) == (0, "in\n", 0)
    assert stopped["cpu_ns"] > 0 and stopped["peak"] > 10**6 and stopped["late"] == 0


def test_a_server_is_ready_once_it_says_so() -> None:
    """Also where the text comes in two parts; one without a sign is ready once it has been started."""
    says = "printf 'not yet, rea'; sleep 0.2; printf 'dy now'; exec sleep 99"
    code, (ready, stopped) = _ran(_step("sh", "-c", says, options=("as=server", "line=ready now")), ["as=stop", "--"])
    assert code == 0 and ready["ns"] > 2 * 10**8 and ready["output"] == stopped["output"] == "not yet, ready now"
    started = _step("sleep", "99", options=("as=server",)), ["as=stop", "--"]
    once(lambda: _ran(*started), lambda ran: ran[0] == 0 and ran[1][0]["ns"] < 10**9)


def test_a_server_that_does_not_become_ready() -> None:
    """It ends, or it takes too long, or it cannot be started; nothing is run beside it."""
    for words, options, said in (
        (("sh", "-c", "echo no; exit 3"), ("line=x",), {"late": 1, "status": 3, "output": "no\n"}),
        (("sleep", "99"), ("line=x", "within=0"), {"late": 1, "status": 0}),
        (("sleep", "99"), ("port=1", "within=0"), {"late": 1}),
    ):
        code, (answer,) = _ran(_step(*words, options=("as=server", *options)), _step("true"))
        assert code == 1 and answer | said == answer
    code, (answer,) = _ran(_step("/none", options=("as=server",)))
    assert code == 1 and "cannot be started: " in answer["error"]


def test_a_server_that_ends_by_itself_is_told(tmp_path: Path) -> None:
    """When it is to be stopped; a command that fails beside it has the end of its output with it."""
    pid = tmp_path / "pid"
    dies = _step("sh", "-c", f"echo $$ > {pid}; echo dying; sleep 0.3", options=("as=server", "line=dying"))
    until = f"while grep -q '^State:.[^Z]' /proc/$(cat {pid})/status; do sleep 0.1; done"
    code, (_, _, stopped) = _ran(dies, _step("sh", "-c", until), ["as=stop", "--"])
    assert code == 1 and stopped["late"] == 1
    lives = _step("sh", "-c", "echo its log; exec sleep 99", options=("as=server", "line=log"))
    code, (_, answer) = _ran(lives, _step("false"))
    assert code == 1 and answer["log"] == "its log\n"


def test_a_server_that_does_not_mind_a_signal_is_killed() -> None:
    """After some seconds."""
    stubborn = "trap '' TERM; echo up; while :; do sleep 1; done"
    code, (_, stopped) = _ran(_step("sh", "-c", stubborn, options=("as=server", "line=up")), ["as=stop", "--"])
    assert code == 0 and stopped["ns"] > 4 * 10**9


@pytest.mark.parametrize("options", [(), pytest.param(("user=65534:65534",), marks=pytest.mark.root)])
def test_a_command_does_not_outlive_the_probe(options: tuple[str, ...]) -> None:
    """Whoever kills that, and whoever the command is."""
    words = _step("sh", "-c", "echo $$; exec sleep 600", options=("as=server", "line=\n", "cwd=/", *options))
    pipe = subprocess.PIPE
    with subprocess.Popen([str(probe_path()), "run", *words], stdin=pipe, stdout=pipe) as probe:
        assert probe.stdin is not None and probe.stdout is not None
        probe.stdin.write(b"\n")
        probe.stdin.flush()
        assert probe.stdout.readline() == b"ready\n"
        pid = int(json.loads(probe.stdout.readline())["output"])
        command = os.pidfd_open(pid)
        probe.kill()
    try:
        assert select.select([command], [], [], 60)[0]
    finally:
        os.close(command)


def test_a_command_is_tried_until_it_succeeds(tmp_path: Path) -> None:
    """Or until it has taken too long."""
    text = f"echo x >> {tmp_path}/tries; [ $(wc -l < {tmp_path}/tries) -eq 3 ]"
    code, (answer,) = _ran(_step("sh", "-c", text, options=("as=retry",)))
    assert code == 0 and answer["late"] == 0
    code, (answer,) = _ran(_step("sh", "-c", "echo why; false", options=("as=retry", "within=0")))
    assert code == 1 and (answer["late"], answer["output"]) == (1, "why\n")


NO_STEPS = ("true", "words=1 --", "words=2 -- x", "odd=1 words=1 -- x", "words=1", "as=odd words=1 -- x", "as=stop")


@pytest.mark.parametrize("words", [line.split() for line in NO_STEPS])
def test_words_that_are_no_step(words: list[str]) -> None:
    """Told as an error of ours."""
    code, said = _ran(words, go=2)
    assert code == 1 and said == [{"error": "run wants steps: OPTION=VALUE... -- COMMAND"}]


def test_it_has_the_cpus_that_it_is_given() -> None:
    """The first of those that there are; more than there are are refused."""
    assert _shell("nproc", "cpus=1")[1]["output"] == "1\n"
    code, answer = _shell("nproc", "cpus=1000000")
    assert code == 1 and "its CPUs" in answer["error"]


@pytest.mark.root
def test_it_becomes_another_user(tmp_path: Path) -> None:
    """Without the groups of root."""
    _, answer = _shell("id -u; id -G", "user=65534:65534", "cwd=/")
    assert answer["output"] == "65534\n65534\n"
