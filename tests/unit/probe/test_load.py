"""The probe's verb that makes requests at a fixed rate: when they are due, and what waits behind a late one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from isobench.probe.build import probe_path
from isobench.processes.accounting import children


@contextmanager
def _load(*words: str) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes], IO[bytes]]]:
    pipe = subprocess.PIPE
    with subprocess.Popen([str(probe_path()), "load", *words], stdin=pipe, stdout=pipe, bufsize=0) as probe:
        assert probe.stdin is not None and probe.stdout is not None
        try:
            assert probe.stdout.read(6) == b"ready\n"
            yield probe, probe.stdin, probe.stdout
        finally:
            probe.kill()


def _taken(stdout: Any) -> list[int]:
    line = b""
    while not line.endswith(b"\n"):
        line += stdout.read(65536)
    answer = json.loads(line)
    assert answer["name"] == "request"
    return list(answer["ns"])


def test_as_many_answers_as_were_asked_for_each_time() -> None:
    """No sooner than they are due."""
    with _load("200", "1000", "20") as (_, stdin, stdout):
        for _ in range(2):
            began = time.monotonic()
            stdin.write(b"\n")
            taken = _taken(stdout)
            assert len(taken) == 20 and min(taken) > 0
            assert time.monotonic() - began >= 19 / 200


def test_what_waits_behind_a_late_request_is_late_too() -> None:
    """The server is stopped: all requests that were due meanwhile count from when they were due. Again where the host
    has stopped everybody for so long that they were given up, or has stopped nobody until the last of them."""
    with _load("1000", "1", "500") as (probe, stdin, stdout):
        while not (server := children(probe.pid)):
            time.sleep(0.001)
        for _ in range(50):
            stdin.write(b"\n")
            time.sleep(0.05)
            os.kill(server[0], signal.SIGSTOP)
            time.sleep(0.1)
            os.kill(server[0], signal.SIGCONT)
            taken = _taken(stdout)
            latest = max(taken) / 1e9
            is_seen = 0.05 < latest < 0.18 and taken.index(max(taken)) < 300  # as many as 180 wait behind it
            if is_seen:
                break
    assert is_seen
    assert sum(ns / 1e9 > latest / 2 for ns in taken) >= 0.8 * latest / 2 * 1000


def test_a_load_without_answers_ends_at_a_line() -> None:
    """And at the end of its input, each time with its server."""
    for end in (b"\n", b""):
        with _load("100", "1000") as (probe, stdin, _):
            while not (server := children(probe.pid)):
                time.sleep(0.001)
            stdin.write(end)
            stdin.close()
            assert probe.wait(60) == 0
            assert not Path(f"/proc/{server[0]}").exists()


def test_a_server_that_has_ended_is_an_error() -> None:
    """Which one, depends on whether it had read the last request."""
    with _load("100", "1000") as (probe, _, stdout):
        while not (server := children(probe.pid)):
            time.sleep(0.001)
        os.kill(server[0], signal.SIGKILL)
        error = json.loads(stdout.read(512))["error"]
        assert error in ("a request: Broken pipe", "a request: Connection reset by peer")
        assert probe.wait(60) == 1


def test_a_rate_of_nothing_is_an_error() -> None:
    done = subprocess.run([str(probe_path()), "load", "0", "1"], input=b"", capture_output=True, timeout=60)
    assert done.returncode == 1 and b"1 to 10000 requests a second" in done.stdout
