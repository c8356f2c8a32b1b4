"""What is said on the way to Docker is told: servers that answer wrongly over a real socket."""

from __future__ import annotations

import base64
import http.server
import json
import os
import socketserver
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from isobench.core.errors import DeadlineExceeded, MeasurementError, Unavailable
from isobench.daemons.address import Address
from isobench.environments.docker import _client, _errors, _leftovers

docker = pytest.importorskip("docker")
requests = pytest.importorskip("requests")
urllib3 = pytest.importorskip("urllib3")

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

VERSION: dict[str, Any] = {"ApiVersion": "1.41", "Version": "20.10", "Components": []}
INFO: dict[str, Any] = {"Runtimes": {"runc": {}}, "OSType": "linux"}
FINE: dict[str, Any] = {
    "/version": VERSION,
    "/_ping": b"OK",
    "/info": INFO,
    "/networks": [{"Name": "none"}, {"Name": "host"}],
}


class _Unix(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

    def get_request(self) -> tuple[Any, tuple[str, int]]:
        return super().get_request()[0], ("here", 0)


@contextmanager
def engine(path: Path, answers: Mapping[str, Any], status: int = 200) -> Iterator[None]:
    """Serves these answers by the end of the request's path; for all others the status and what is said of them."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None: ...

        def do_GET(self) -> None:
            found = next(
                (body for end, body in answers.items() if self.path.partition("?")[0].endswith(end)),
                answers.get("other", {}),
            )
            data = found if isinstance(found, bytes) else json.dumps(found).encode()
            if found == "nothing":
                released.wait(20)
                return
            if found == "a byte now and then":
                while not released.wait(0.05):
                    self.wfile.write(b"x")
                return
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_HEAD = do_GET

    released = threading.Event()
    with _Unix(str(path), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield
        finally:
            released.set()
            server.shutdown()
            thread.join()


@pytest.fixture(autouse=True)
def where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The way to a server of this test's own."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/e.sock")
    return tmp_path / "e.sock"


def refused(where: Path, answers: Mapping[str, Any], status: int = 200) -> Unavailable:
    """What `connect` raises for an engine of these answers; it never speaks of an init system."""
    with engine(where, answers, status), pytest.raises(Unavailable) as caught:
        _client.connect()
    assert "systemctl" not in caught.value.remedy
    assert str(where) in caught.value.reason
    return caught.value


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (403, {"message": "authorization denied by plugin opa"}, "answers 403: authorization denied by plugin opa"),
        (500, {"message": "layer store is read-only"}, "answers 500: layer store is read-only"),
        (502, b"<html>" + b"bad gateway " * 1000, "answers 502: <html>bad gateway bad"),
        (400, {"message": "client version 1.41 is too old"}, "answers 400: client version 1.41 is too old"),
        (200, b"<html>proxy login</html>", "is not a Docker engine; it says '<html>proxy login</html>'"),
        (200, b"", "is not a Docker engine"),
        (200, {}, "is not a Docker engine"),
        (200, [], "is not a Docker engine"),
        (200, {"ApiVersion": "1.12"}, "is too old"),
        (200, {"ApiVersion": 7}, "no connection to the Docker engine"),
    ],
)
def test_what_was_said_is_told(where: Path, status: int, body: object, said: str) -> None:
    """The engine's words, or those of whoever answers in its place; a page only by its beginning."""
    error = refused(where, {"other": body}, status)
    assert said in error.reason
    assert len(error.reason) < 600
    assert error.remedy


@pytest.mark.parametrize("answer", ["nothing", "a byte now and then"])
def test_an_engine_that_hangs_is_given_up_and_not_asked_again(
    answer: str, where: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next variant need not wait as long again."""
    monkeypatch.setattr(_client, "_ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(_client, "_hung", {})
    assert "did not answer within" in refused(where, {"other": answer}).reason
    where.unlink()
    assert "in an earlier attempt" in refused(where, FINE).reason


def test_an_engine_that_does_not_answer_in_time_is_late_and_not_broken() -> None:
    """Beside a neighbour that holds up the file system, say."""
    error = _errors.failure("starting the container", requests.exceptions.ReadTimeout("pool: Read timed out."))
    assert isinstance(error, DeadlineExceeded) and "--timeout" in error.remedy
    assert error.reason == "starting the container: the engine did not answer in time"


@pytest.mark.parametrize(
    "broken",
    [
        urllib3.exceptions.ReadTimeoutError(urllib3.HTTPConnectionPool("localhost"), "/", "Read timed out."),
        TimeoutError("timed out"),
    ],
)
def test_an_engine_that_stops_in_the_middle_of_its_answer_is_late(broken: Exception) -> None:
    """The SDK passes on what its libraries raise while lines come, as of a pull from a registry that hangs."""
    with pytest.raises(DeadlineExceeded, match=r"^pulling the image: the engine did not answer in time$"):
        raise_in("pulling the image", broken)


def test_an_engine_that_ends_in_the_middle_of_its_answer_is_no_internal_error() -> None:
    with pytest.raises(MeasurementError, match=r"pulling the image: .*IncompleteRead"):
        raise_in("pulling the image", urllib3.exceptions.ProtocolError("Connection broken: IncompleteRead(0 bytes)"))


def raise_in(doing: str, error: Exception) -> None:
    with _client.engine_errors(doing):
        raise error


def test_an_sdk_that_is_too_old_is_named() -> None:
    """It is not the engine: docker 7.0 with a newer requests asks nobody."""
    inner = docker.errors.DockerException(
        "Error while fetching server API version: Not supported URL scheme http+docker"
    )
    error = _errors.refusal(Address("unix:///x"), inner, 1.0)
    assert "SDK" in error.reason and "docker>=7.1" in error.remedy


def test_no_engine_and_no_permission(where: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told apart; another protocol, too."""
    with pytest.raises(Unavailable, match=r"no Docker engine answers at .*: No such file or directory"):
        _client.connect()
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    with pytest.raises(Unavailable, match=r"127.0.0.1:1 \(DOCKER_HOST\): Connection refused"):
        _client.connect()
    monkeypatch.setenv("DOCKER_HOST", "gopher://x")
    with pytest.raises(Unavailable, match="Invalid bind address protocol"):
        _client.connect()
    if os.geteuid() != 0:
        where.touch(mode=0)
        monkeypatch.setenv("DOCKER_HOST", f"unix://{where}")
        with pytest.raises(Unavailable, match="permission"):
            _client.connect()


@pytest.mark.parametrize(
    "text", ['{"auths": {"https://registry.example/v1/": "dXNlcjpwYXNz"}}', "[]", '{"proxies": 7}']
)
def test_a_bad_configuration_file_is_named(where: Path, tmp_path: Path, text: str) -> None:
    """It is not the engine that fails."""
    (tmp_path / "config.json").write_text(text)
    with engine(where, FINE), pytest.raises(Unavailable, match=r"config\.json cannot be parsed"):
        _client.connect()


@pytest.mark.parametrize("host", ["tcp://127.0.0.1:99999", "tcp://[::1", "not a url", "npipe:////./pipe/docker_engine"])
def test_an_address_that_is_none_is_named(host: str, where: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not the configuration file that is wrong."""
    monkeypatch.setenv("DOCKER_HOST", host)
    with pytest.raises(Unavailable) as told:
        _client.connect()
    assert f"{host} (DOCKER_HOST)" in told.value.reason and "DOCKER_HOST" in told.value.remedy


@pytest.mark.parametrize(
    "config",
    [
        '{"credsStore": "nowhere"}',
        '{"credHelpers": {"127.0.0.1:5000": "nowhere", "localhost:5000": "nowhere"}}',
        '{"auths": {"127.0.0.1:5000": {"auth": "dXNlcjpzZWNyZXQ="}}}',
    ],
)
def test_credentials_of_registries_are_not_asked_for(where: Path, tmp_path: Path, config: str) -> None:
    """The registry is the run's own: a helper that is not there does not matter, also to a pull, a push or a build."""
    (tmp_path / "config.json").write_text(config)
    with engine(where, FINE):
        client = _client.connect()
        assert docker.auth.get_config_header(client, "127.0.0.1:5000") is None
        assert docker.auth.get_config_header(client, "localhost:5000") is None
        sent: dict[str, bytes] = {}
        client._set_auth_headers(sent)
        assert json.loads(base64.urlsafe_b64decode(sent["X-Registry-Config"])) == {_client._NOBODY: {}}
        client.close()


def test_a_container_gets_no_proxies_of_the_user(where: Path, tmp_path: Path) -> None:
    """Which would be variables in Docker alone, and arguments of each build."""
    (tmp_path / "config.json").write_text('{"proxies": {"default": {"httpProxy": "http://127.0.0.1:9"}}}')
    with engine(where, FINE):
        client = _client.connect()
        assert client._proxy_configs.get_environment() == {}
        client.close()


@pytest.mark.parametrize(
    ("wanted", "changed", "said"),
    [
        ({"runtime": "runsc"}, {}, "has no runtime 'runsc', only runc"),
        ({"network_mode": "bridge"}, {}, "has no network 'bridge', only host, none"),
        ({}, {"/info": {**INFO, "OSType": "windows"}}, "runs containers of windows"),
        ({}, {"/version": {**VERSION, "Components": [{"Name": "Podman Engine"}]}}, "the Podman Engine"),
    ],
)
def test_what_the_engine_lacks_is_no_failure(
    where: Path, wanted: dict[str, str], changed: dict[str, Any], said: str
) -> None:
    """It is skipped, with the reason and what mends it."""
    with engine(where, {**FINE, **changed}):
        client = _client.connect()
        with pytest.raises(Unavailable, match=said) as caught:
            _client.require(client, wanted)
        client.close()
    assert caught.value.remedy


def test_what_it_has_is_enough(where: Path) -> None:
    """Nothing is asked for beyond what is wanted."""
    with engine(where, FINE):
        client = _client.connect()
        _client.require(client, {"network_mode": "none", "runtime": "runc"})
        client.close()


@pytest.mark.parametrize("answer", [[], 7, {"Runtimes": 7}, None, b"<html>"])
def test_answers_of_another_form_are_an_error(where: Path, answer: object) -> None:
    """Of the engine, not of isobench."""
    with engine(where, {**FINE, "/info": answer}):
        client = _client.connect()
        with pytest.raises(Unavailable, match="asking the engine for its runtimes and networks"):
            _client.require(client, {})
        client.close()


def test_an_engine_that_a_run_never_used_has_nothing_of_it(
    where: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it answers to a sweep does not matter then; where the run had used it, it does."""
    monkeypatch.setenv("ISOBENCH_WORK", str(tmp_path))
    monkeypatch.setattr(_leftovers, "_SWEEPS", 0)
    with engine(where, {**FINE, "/containers/json": b"<html>"}):
        assert _leftovers.sweep("isobench-20260101T000000Z-abcdef") == []
        monkeypatch.setattr(_leftovers, "opened", lambda run, family, *, but: True)
        with pytest.raises(MeasurementError, match="cleaning up"):
            _leftovers.sweep("isobench-20260101T000000Z-abcdef")
