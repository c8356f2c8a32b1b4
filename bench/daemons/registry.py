"""A private registry of container images: docker-registry on the loopback, with everything that it keeps in one folder.

Nothing comes from outside, and nobody outside reaches it. Its port is one that was free when it started, found by the
socket on which its own process listens, so that it is never taken for another registry.
"""

from __future__ import annotations

import http.client
import json
import socket
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

from isobench import daemons
from isobench.contracts.capabilities import Lack
from isobench.core import deadlines
from isobench.core.errors import MeasurementError, Unavailable
from isobench.core.text import NOT_UTF8
from isobench.daemons import session
from isobench.filesystem.mounts import remove_tree
from isobench.filesystem.paths import check_name
from isobench.processes.programs import find
from isobench.processes.serving import listening_ports

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import BinaryIO

PROGRAM = "docker-registry"
REMEDY = f"apt-get install {PROGRAM}"
LOOPBACK = "127.0.0.1"
_STORED = "data/docker/registry/v2/repositories"
"""Where docker-registry keeps repositories below its folder; the blobs are beside them."""


def why_not() -> Lack | None:
    """What this host lacks for a registry; None if one can be started."""
    if find(PROGRAM) is None:
        return Lack(f"{PROGRAM} is not installed", REMEDY)
    try:
        with socket.create_server((LOOPBACK, 0)) as here:
            socket.create_connection(here.getsockname(), timeout=deadlines.stretched(5)).close()
    except OSError as error:
        words = error.strerror or str(error)
        reason = f"programs of this host cannot reach each other at {LOOPBACK}: {words}"
        return Lack(reason, "see ip address show lo, and sysctl net.ipv4.ip_local_port_range")
    return None


class Registry:
    """A running registry. If it refuses something, that is a `MeasurementError` with its own message."""

    def __init__(self, daemon: daemons.Daemon, state: Path) -> None:
        self._daemon = daemon
        self.state = state

    @property
    def address(self) -> str:
        """`HOST:PORT`, as it begins a reference to an image."""
        return self._daemon.address

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    def answers(self) -> bool:
        """Whether it still runs and answers: it may have been killed."""
        try:
            return _status(self.port, "/v2/") == http.client.OK
        except (OSError, http.client.HTTPException):
            return False

    def put_blob(self, repository: str, digest: str, blob: Path | bytes) -> None:
        """Upload a blob in one piece, unless the repository has it (OCI distribution specification, "Push")."""
        if self._answer("HEAD", f"/v2/{repository}/blobs/{digest}").status == http.client.OK:
            return
        upload = self._said("POST", f"/v2/{repository}/blobs/uploads/").location
        upload += f"{'&' if '?' in upload else '?'}digest={digest}"
        headers = {"Content-Type": "application/octet-stream"}
        if isinstance(blob, bytes):
            self._said("PUT", upload, blob, headers)
            return
        with blob.open("rb") as file:
            self._said("PUT", upload, file, {**headers, "Content-Length": str(blob.stat().st_size)})

    def put_manifest(self, repository: str, tag: str, manifest: bytes, kind: str) -> None:
        """Tag an image whose blobs have been uploaded."""
        self._said("PUT", f"/v2/{repository}/manifests/{tag}", manifest, {"Content-Type": kind})

    def manifest(self, repository: str, tag: str, kind: str) -> dict[str, Any]:
        """The manifest of an image, as a client receives it."""
        answer = self._said("GET", f"/v2/{repository}/manifests/{tag}", headers={"Accept": kind})
        return dict(json.loads(answer.content))

    def forget(self, repository: str) -> None:
        """Remove a repository, or all in this folder, so that the next push uploads everything anew. The registry has
        no list of repositories other than their folders."""
        remove_tree(self.state / _STORED / repository)

    def stop(self) -> None:
        """End it. What it keeps stays in its folder. May be called twice."""
        self._daemon.stop()

    def _said(
        self, method: str, path: str, body: bytes | BinaryIO = b"", headers: Mapping[str, str] | None = None
    ) -> _Answer:
        """The answer to a request. Raises `MeasurementError` if it is an error, or if there is none."""
        answer = self._answer(method, path, body, headers or {})
        if answer.status >= http.client.MULTIPLE_CHOICES:
            raise MeasurementError(f"{self._name}: {_reason(answer)}")
        return answer

    def _answer(
        self, method: str, path: str, body: bytes | BinaryIO = b"", headers: Mapping[str, str] | None = None
    ) -> _Answer:
        try:
            with closing(_connection(self.port)) as connection:
                connection.request(method, path, body, headers or {})
                answer = connection.getresponse()
                return _Answer(answer.status, answer.getheader("Location", ""), answer.read())
        except (OSError, http.client.HTTPException) as error:
            words = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise MeasurementError(f"{self._name}: {words}") from error

    @property
    def _name(self) -> str:
        return f"the registry at {self.address}"


class _Answer(NamedTuple):
    """The parts of an answer that are used."""

    status: int
    location: str
    content: bytes


def _reason(answer: _Answer) -> str:
    """Its own message (OCI distribution specification, "Error Codes"), and for an internal error the cause (a full
    disk)."""
    try:
        error = json.loads(answer.content)["errors"][0]
        words, detail = str(error["message"]), error.get("detail")
    except (ValueError, LookupError, TypeError, AttributeError):
        return f"it answers {answer.status}"
    if isinstance(detail, str) and answer.status >= http.client.INTERNAL_SERVER_ERROR:
        return f"{words}: {detail.rpartition(': ')[2][:200]}"
    return words


def start(state: Path) -> Registry:
    """Start a registry that keeps everything in this folder, which is created for this user only. Raises
    `Unavailable`."""
    if (lack := why_not()) is not None:
        raise Unavailable(lack.reason, remedy=lack.remedy)
    check_name(state, PROGRAM, NOT_UTF8, "ISOBENCH_WORK")
    session.end_orphans(session.made(state))
    (state / "run").mkdir(mode=0o700, exist_ok=True)
    configuration = state / "config.yml"
    configuration.write_text(json.dumps(_configuration(state)))  # JSON is YAML
    port = 0

    def answers() -> bool:
        nonlocal port
        port = _port(state)
        return port > 0

    command = [find(PROGRAM) or PROGRAM, "serve", str(configuration)]
    daemon = daemons.start(PROGRAM, command, state=state, address="", answers=answers)
    daemon.address = f"{LOOPBACK}:{port}"
    return Registry(daemon, state)


def start_in(network: str, kept: Registry, state: Path) -> Registry:
    """Start a second process for the files of a registry, at the same port of another network namespace (a path below
    /proc), with its own state folder. From here it can only be stopped. Raises `Unavailable`."""
    session.end_orphans(session.made(state))
    (state / "run").mkdir(mode=0o700, exist_ok=True)
    configuration = state / "config.yml"
    configuration.write_text(json.dumps(_configuration(kept.state, kept.port)))
    daemon = daemons.start(
        PROGRAM,
        ["nsenter", f"--net={network}", PROGRAM, "serve", str(configuration)],
        state=state,
        address=kept.address,
        answers=lambda: any(kept.port in listening_ports(pid) for pid in session.orphans(state)),
    )
    return Registry(daemon, state)


def _configuration(state: Path, port: int = 0) -> dict[str, Any]:
    """No cache of blobs, because the harness removes repositories itself; no access log."""
    return {
        "version": "0.1",
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {
            "filesystem": {"rootdirectory": str(state / "data")},
            "maintenance": {"uploadpurging": {"enabled": False}},
        },
        "http": {"addr": f"{LOOPBACK}:{port}", "relativeurls": True},
    }


def _port(state: Path) -> int:
    """The port at which the registry of this state answers; 0 if it does not yet."""
    for pid in session.orphans(state):
        for port in listening_ports(pid):
            if _status(port, "/v2/") == http.client.OK:
                return port
    return 0


def _connection(port: int) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(LOOPBACK, port, timeout=deadlines.stretched(60))


def _status(port: int, path: str) -> int:
    with closing(_connection(port)) as connection:
        connection.request("GET", path)
        return connection.getresponse().status
