"""Engines whose processes cannot be seen: real Docker from another PID namespace, and through a tunnel."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from isobench.contracts.answers import answers
from isobench.contracts.capabilities import Part
from isobench.contracts.launch import idle, working
from isobench.core import deadlines
from isobench.core.errors import Unavailable
from isobench.daemons import address as docker_address
from isobench.environments.docker import _client, _daemons
from isobench.environments.docker._plain import plain
from isobench.filesystem.mounts import remove_tree
from isobench.probe import launcher
from isobench.processes.accounting import children, cpu_seconds, parent, peer_pid, process_name
from tests.contract.opening import opened

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.root, pytest.mark.docker]

PROGRAM = """
import json, time
from isobench.contracts.launch import idle
from tests.contract.opening import opened
with opened("docker-nonet") as sandbox:
    with sandbox.launch(idle(timeout=60)) as instance:
        pids = dict(instance.host_pids())
        status = instance.wait()
    print(json.dumps([status, pids, sorted(instance.cpu), dict(sandbox.unseen()), sandbox.daemons()]))
"""


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """A program of this test's, in a process of its own."""
    return subprocess.run(
        [*command, "-c", PROGRAM], capture_output=True, text=True, check=False, timeout=deadlines.stretched(300)
    )


def test_in_another_pid_namespace_nothing_is_taken_for_the_container() -> None:
    """The engine's pids are of its own namespace: here they are nobody, or a stranger."""
    done = run("unshare", "--pid", "--fork", "--mount-proc", sys.executable)
    assert done.returncode == 0, done.stderr
    status, pids, spenders, unseen, daemons = json.loads(done.stdout)
    assert status == 0
    assert (pids, daemons) == ({}, [])
    assert {Part.PROCESSES, Part.MEMORY, Part.DAEMONS, Part.END} <= unseen.keys()
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


SYSTEMD = """
import ctypes, os, socket, sys
path, *command = sys.argv[1:]
ctypes.CDLL(None).prctl(15, b"systemd", 0, 0, 0)
listening = socket.socket(socket.AF_UNIX)
listening.bind(path)
listening.listen(16)
daemon = os.fork()
if daemon == 0:
    ctypes.CDLL(None).prctl(1, 15, 0, 0, 0)  # ends with its parent
    os.dup2(listening.fileno(), 3)
    os.set_inheritable(3, True)
    os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
    os.execvp(command[0], command)
os.waitpid(daemon, 0)
"""


@contextmanager
def activated() -> Iterator[str]:
    """A dockerd that was handed its socket, as docker.socket and docker.service do.

    In a network namespace of its own: without a bridge of its own dockerd removes the one that it finds. It also has a
    /run of its own, because it uses the system's containerd if it finds one.
    """
    folder = Path(tempfile.mkdtemp(prefix="iso", dir="/var/tmp"))  # a socket's path has 107 letters at most
    path = folder / "docker.sock"
    kept = [f"--data-root={folder}/data", f"--exec-root={folder}/exec", f"--pidfile={folder}/pid"]
    options = ["--host=fd://", "--bridge=none", "--iptables=false", "--ip-forward=false", "--ip-masq=false", *kept]
    apart = ["unshare", "--net", "--mount", "sh", "-c", 'mount -t tmpfs run /run && exec "$@"', "sh"]
    command = [*apart, sys.executable, "-c", SYSTEMD, str(path), "dockerd", *options, "--storage-driver=vfs"]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(command, stdout=log, stderr=log) as init,
    ):
        try:
            while "API listen on" not in (folder / "log").read_text():
                assert init.poll() is None, (folder / "log").read_text()
                time.sleep(0.1)
            yield f"unix://{path}"
        finally:
            for pid in children(init.pid):
                os.kill(pid, signal.SIGTERM)
            init.wait(deadlines.stretched(60))
            remove_tree(folder)


@pytest.mark.tool("dockerd")
def test_systemd_made_the_socket_and_dockerd_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever made the socket spends nothing; of two engines on a host the other's containerd is none of its."""
    others = _daemons.engine_pids()
    with activated() as address:
        monkeypatch.setenv("DOCKER_HOST", address)
        assert process_name(peer_pid(address.removeprefix("unix://"))) == "systemd"
        found = _daemons.engine_pids()
        assert [process_name(pid) for pid in found] == ["dockerd", "containerd"]
        assert parent(found[1]) == found[0]
        assert not set(found) & set(others)
        before = [cpu_seconds(pid) for pid in found]
        with opened("docker-nonet") as sandbox, sandbox.launch(idle(timeout=60)) as instance:
            assert sandbox.daemons() == found
            assert sandbox.unseen() == {}  # type: ignore[attr-defined]
            assert instance.wait() == 0
        spent = sum(cpu_seconds(pid) - was for pid, was in zip(found, before, strict=True))
        assert 0 < instance.cpu["engine"] < spent
        monkeypatch.setenv("DOCKER_HOST", address)
        with pytest.raises(Unavailable, match="has no network 'bridge'"), opened("docker"):
            pass


@contextmanager
def tunnel(listening: socket.socket, there: str, secured: ssl.SSLContext | None = None) -> Iterator[None]:
    """Passes everything on, as ssh and socat do; or ends what is secured, as a proxy before an engine does."""

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
                if secured is not None:
                    near = plain(secured.wrap_socket(near, server_side=True))
            except ssl.SSLError:
                continue
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            far.connect(there)
            kept.extend([near, far])
            for pair in ((near, far), (far, near)):
                threading.Thread(target=passed, args=pair, daemon=True).start()

    kept: list[Any] = []
    with listening:
        threading.Thread(target=accepting, daemon=True).start()
        yield
        listening.shutdown(socket.SHUT_RDWR)
    for end in kept:
        end.close()


def test_behind_a_tunnel_the_containers_are_seen_and_the_daemons_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What passes on is not the engine; a container is known by its own id, whoever tells its pid."""
    direct = _daemons.engine_pids()
    real = docker_address.address().path
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(f"{tmp_path}/t.sock")
    listening.listen(8)
    with tunnel(listening, real):
        monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/t.sock")
        with opened("docker-nonet") as sandbox:
            with sandbox.launch(idle(timeout=60)) as instance:
                assert sorted(instance.host_pids().values()) == ["helper", "payload"]
                assert instance.wait() == 0
            assert sandbox.daemons() == []
            unseen = sandbox.unseen()  # type: ignore[attr-defined]
        assert set(unseen) == {Part.DAEMONS}
        assert f"({os.getpid()})" in unseen[Part.DAEMONS] and "none of dockerd" in unseen[Part.DAEMONS]
    assert len(direct) == 2


@pytest.mark.tool("openssl")
def test_a_secured_way_is_a_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the engine's own authority, whatever others the host's programs are told to believe."""
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    files = ["-keyout", f"{tmp_path}/key.pem", "-out", f"{tmp_path}/ca.pem", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*words, *files], check=True, capture_output=True)
    shutil.copy(tmp_path / "ca.pem", tmp_path / "cert.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    real, listening = docker_address.address().path, socket.create_server(("127.0.0.1", 0))
    monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{listening.getsockname()[1]}")
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", f"{tmp_path}/none.pem")
    with tunnel(listening, real, context):
        monkeypatch.setenv("DOCKER_CERT_PATH", f"{tmp_path}/none")
        with pytest.raises(Unavailable, match="CERTIFICATE_VERIFY_FAILED"):
            _client.connect()
        monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path))
        with (
            opened("docker-nonet") as sandbox,
            sandbox.launch(working("fio", *_JOB, disk=True, timeout=60)) as instance,
        ):
            assert answers(instance)[0]["jobs"][0]["write"]["total_ios"] == 16
            assert instance.events["requested"] < instance.events["ready"]


_JOB = ("--name=x", "--size=1m", "--rw=write", "--bs=64k", "--filename=x", "--thread")


@pytest.mark.root
def test_a_process_that_has_exited_is_not_watched() -> None:
    """It has no network namespace to name, and that fails nobody's cell; a living one is watched."""
    exited = subprocess.Popen(["true"])
    exited.wait()
    living = subprocess.Popen(["unshare", "--net", "sleep", "60"])
    try:
        for process, watched in ((exited, False), (living, True)):
            watch = launcher.NetnsWatch(30)
            try:
                assert watch.watch(process.pid) is watched
            finally:
                watch.close()
    finally:
        living.kill()
        living.wait()
