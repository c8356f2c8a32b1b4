"""Engines whose processes cannot be seen: real Docker from another PID namespace, and through a tunnel."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

from bench.environment import DAEMONS, END, MEMORY, PROCESSES
from bench.environments import _docker, _docker_address
from tests.contract.opening import opened

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.root, pytest.mark.docker]

PROGRAM = """
import json, time
from tests.contract.opening import opened
with opened("docker-nonet") as sandbox:
    with sandbox.launch("ready", timeout=60) as instance:
        pids = dict(instance.host_pids())
        status = instance.wait()
    print(json.dumps([status, pids, sorted(instance.cpu), dict(sandbox.unseen()), sandbox.daemons()]))
"""


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """A program of this test's, in a process of its own."""
    return subprocess.run([*command, "-c", PROGRAM], capture_output=True, text=True, check=False, timeout=300)


def test_in_another_pid_namespace_nothing_is_taken_for_the_container() -> None:
    """The engine's pids are of its own namespace: here they are nobody, or a stranger."""
    done = run("unshare", "--pid", "--fork", "--mount-proc", sys.executable)
    assert done.returncode == 0, done.stderr
    status, pids, spenders, unseen, daemons = json.loads(done.stdout)
    assert status == 0
    assert (pids, daemons) == ({}, [])
    assert {PROCESSES, MEMORY, DAEMONS, END} <= unseen.keys()
    assert all("PID namespace" in reason for reason in unseen.values())
    assert "payload" not in spenders and "helper" not in spenders


def test_at_home_everything_is_seen_and_python_has_nothing_to_complain() -> None:
    """Also of what is closed late, which Python says in its development mode (and from 3.13 on in every one)."""
    done = run(sys.executable, "-X", "dev", "-W", "ignore")
    assert done.returncode == 0, done.stderr
    status, pids, _, unseen, daemons = json.loads(done.stdout)
    assert status == 0
    assert sorted(pids.values()) == ["helper", "payload"]
    assert (unseen, len(daemons)) == ({}, 2)
    assert "Exception ignored" not in done.stderr


@contextmanager
def tunnel(here: Path, there: str) -> Iterator[None]:
    """Passes everything on, as ssh and socat do."""

    def passed(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def accepting() -> None:
        while True:
            try:
                near, _ = listening.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            far.connect(there)
            kept.extend([near, far])
            for pair in ((near, far), (far, near)):
                threading.Thread(target=passed, args=pair, daemon=True).start()

    kept: list[Any] = []
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(here))
        listening.listen(8)
        threading.Thread(target=accepting, daemon=True).start()
        yield
        listening.shutdown(socket.SHUT_RDWR)
    for end in kept:
        end.close()


def test_behind_a_tunnel_the_containers_are_seen_and_the_daemons_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What passes on is not the engine; a container is known by its own id, whoever tells its pid."""
    direct = _docker.engine_pids()
    real = _docker_address.address().path
    with tunnel(tmp_path / "t.sock", real):
        monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/t.sock")
        with opened("docker-nonet") as sandbox:
            with sandbox.launch("ready", timeout=60) as instance:
                assert sorted(instance.host_pids().values()) == ["helper", "payload"]
                assert instance.wait() == 0
            assert sandbox.daemons() == []
            unseen = sandbox.unseen()  # type: ignore[attr-defined]
        assert set(unseen) == {DAEMONS}
        assert f"({os.getpid()})" in unseen[DAEMONS] and "none of dockerd" in unseen[DAEMONS]
    assert len(direct) == 2
