"""An engine that dies while an environment opens: what it has made by then is kept in mind, and cleaned later."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from isobench.environments.docker import _client as docker
from isobench.lifecycle import leftovers
from isobench.planning import catalog
from isobench.run.doctor import check_environments

pytestmark = pytest.mark.docker

ENGINE = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")


class Engine:
    """The way to the host's engine, which breaks when an image has been imported and before that is said."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(16)
        self.died = False
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._path.unlink(missing_ok=True)
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                engine = socket.socket(socket.AF_UNIX)
                engine.connect(ENGINE)
                threading.Thread(target=self._up, args=(client, engine), daemon=True).start()

    def _up(self, client: socket.socket, engine: socket.socket) -> None:
        data = client.recv(1 << 16)
        threading.Thread(target=self._down, args=(client, engine, b"/images/create" in data), daemon=True).start()
        with suppress(OSError):
            while data:
                engine.sendall(data)
                data = client.recv(1 << 16)
            engine.shutdown(socket.SHUT_WR)

    def _down(self, client: socket.socket, engine: socket.socket, dies: bool) -> None:
        with suppress(OSError):
            while data := engine.recv(1 << 16):
                if dies and b"sha256:" in data:
                    self.died = True
                    self.close()
                    break
                if not dies:
                    client.sendall(data)
        for one in (client, engine):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


@contextmanager
def images(run: str) -> Iterator[list[str]]:
    client = docker.connect()
    yield [image["Id"] for image in client.images(filters={"label": f"{docker.LABEL}={run}"})]
    client.close()


def test_its_image_is_cleaned_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was opened, and all the same an image is there: the run is not done with before that is gone."""
    monkeypatch.setenv("ISOBENCH_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("ISOBENCH_WORK", str(tmp_path))
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("DOCKER_HOST", f"unix://{tmp_path}/engine")
        engine = Engine(tmp_path / "engine")
        (finding,) = check_environments([catalog.environments()["docker"]])
        assert finding.outcome == "FAIL" and engine.died
        (run,) = leftovers.dead_runs()
        with monkeypatch.context() as direct:
            direct.setenv("DOCKER_HOST", f"unix://{ENGINE}")
            with images(run) as there:
                assert len(there) == 1
        assert any(line.startswith("not cleaned") for line in leftovers.clean(catalog.sweep))
        back = Engine(tmp_path / "engine")
        assert any(line.startswith("image ") for line in leftovers.clean(catalog.sweep))
        back.close()
    assert leftovers.dead_runs() == []
    with images(run) as there:
        assert there == []
