"""The Docker engine's address, found as the docker command finds it: DOCKER_HOST, DOCKER_CONTEXT, the current context.

https://docs.docker.com/reference/cli/docker/context defines the precedence.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import NamedTuple

from isobench.core.errors import Unavailable

DEFAULT_ADDRESS = "unix:///var/run/docker.sock"

_LONGEST = 1 << 20
"""Maximum bytes of a configuration file."""


class Tls(NamedTuple):
    """Paths of the certificates and key, each empty if missing; whether the engine's name is verified."""

    ca: str
    certificate: str
    key: str
    verify: bool


class Address(NamedTuple):
    """An engine's address, its source (empty for the default socket), and how its connection is secured."""

    url: str
    source: str = ""
    tls: Tls | None = None

    def __str__(self) -> str:
        return f"{self.url} ({self.source})" if self.source else self.url

    @property
    def path(self) -> str:
        """The path of its unix socket; empty if it is reached in another way."""
        return self.url.removeprefix("unix://") if self.url.startswith(("unix://", "/")) else ""


def address() -> Address:
    """The engine that `docker` would use. Raises `Unavailable` if it cannot be determined, or cannot be measured."""
    found = _address()
    if found.url.startswith("ssh://"):
        reason = f"the engine at {found} is reached through ssh, which would add its own time to every figure"
        raise Unavailable(reason, remedy=f"run isobench on that host{_or_another(found)}")
    return found


def _address() -> Address:
    host = os.environ.get("DOCKER_HOST", "")
    if host:
        return Address(host, "DOCKER_HOST", _tls_of_environment())
    name, source = os.environ.get("DOCKER_CONTEXT", ""), "DOCKER_CONTEXT"
    if not name:
        name, source = str(_read(config_folder() / "config.json").get("currentContext") or ""), "docker context"
    if name in ("", "default"):
        return Address(DEFAULT_ADDRESS, "", _tls_of_environment())
    return _of_context(name, f"{source} {name}")


def config_folder() -> Path:
    """The docker command's configuration folder."""
    return Path(os.environ.get("DOCKER_CONFIG") or "~/.docker").expanduser()


def _or_another(found: Address) -> str:
    """How to choose another engine, after a comma; empty for the default one."""
    if found.source == "DOCKER_HOST":
        return ", or unset DOCKER_HOST"
    return ", or DOCKER_CONTEXT=default" if found.source else ""


def _of_context(name: str, source: str) -> Address:
    """A context as `docker context inspect` shows it: contexts are stored under the hash of their names."""
    where = hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()
    file = config_folder() / "contexts/meta" / where / "meta.json"
    known = _read(file)
    if not known:
        raise Unavailable(f"no Docker context {name!r} ({source})", remedy="docker context ls, docker context use")
    endpoints = known.get("Endpoints")
    docker = endpoints.get("docker") if isinstance(endpoints, dict) else None
    host = docker.get("Host") if isinstance(docker, dict) else None
    if not isinstance(docker, dict) or not isinstance(host, str) or not host:
        raise Unavailable(f"{file} names no Docker engine ({source})", remedy=f"docker context inspect {name}")
    skip = bool(docker.get("SkipTLSVerify"))
    tls = _tls(config_folder() / "contexts/tls" / where / "docker", verify=not skip)
    return Address(host, source, tls if skip or any(tls[:3]) else None)


def _tls_of_environment() -> Tls | None:
    verify = bool(os.environ.get("DOCKER_TLS_VERIFY"))
    if not verify and not os.environ.get("DOCKER_TLS"):
        return None
    return _tls(Path(os.environ.get("DOCKER_CERT_PATH") or config_folder()), verify=verify)


def _tls(folder: Path, *, verify: bool) -> Tls:
    files = [folder / name for name in ("ca.pem", "cert.pem", "key.pem")]
    ca, certificate, key = (str(file) if file.is_file() else "" for file in files)
    return Tls(ca, certificate, key, verify)


def _read(file: Path) -> dict[str, object]:
    """A JSON object from a file; empty if there is no file. Raises `Unavailable` for any other content."""
    remedy = f"fix {file}, or set DOCKER_HOST to the engine's address"
    try:
        if not file.is_file():
            return {}
        with file.open("rb") as source:
            found = json.loads(source.read(_LONGEST))
    except OSError as error:
        raise Unavailable(f"cannot read {file}: {error.strerror}", remedy=remedy) from error
    except (ValueError, RecursionError) as error:
        raise Unavailable(f"{file} is not JSON: {error}", remedy=remedy) from error
    if not isinstance(found, dict):
        raise Unavailable(f"{file} is not a JSON object", remedy=remedy)
    return found
