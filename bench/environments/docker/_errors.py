"""Errors of the Docker engine and of the connection to it, as readable reasons and remedies."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from isobench.core.errors import DeadlineExceeded, MeasurementError, Unavailable
from isobench.core.remedies import as_root, to_start
from isobench.daemons.address import config_folder
from isobench.environments.docker._sdk import docker, requests, urllib3

if TYPE_CHECKING:
    from collections.abc import Iterator

    from isobench.daemons.address import Address

_SHOWN = 300
"""Maximum length of another program's message: a proxy may answer with a whole page."""


HUNG = "check the engine's log, and restart it"
"""The remedy for an engine that does not answer."""


def refusal(address: Address, error: Exception, seconds: float) -> Unavailable:
    """Why the engine cannot be used. `seconds` is how long the attempt was allowed to take."""
    if "URL scheme http+docker" in str(error):  # docker before 7.1 with requests from 2.32 on
        versions = f"the Docker SDK {docker.__version__} does not work with requests {requests.__version__}"
        return Unavailable(f"{versions}: {said(error)}", remedy="pip install --upgrade 'docker>=7.1'")
    chain = list(_chain(error))
    found = (
        *(_of_an_engine(address, one, seconds) for one in chain),
        *(_of_another_program(address, one) for one in chain),
        *(_of_nobody(address, one) for one in chain),
    )
    unknown = Unavailable(f"no connection to the Docker engine at {address}: {said(error)}", remedy=_LOOK)
    return next(filter(None, found), unknown)


def _of_an_engine(address: Address, error: BaseException, seconds: float) -> Unavailable | None:
    """If there is an engine that refuses or does not answer."""
    if isinstance(error, ssl.SSLError):
        remedy = "check DOCKER_TLS_VERIFY and DOCKER_CERT_PATH, or the context's certificates"
        return Unavailable(f"no secure connection to the Docker engine at {address}: {said(error)}", remedy=remedy)
    if isinstance(error, PermissionError):
        remedy = as_root("give this confined root access to the socket", "join the group docker")
        return Unavailable(f"no permission to use {address}", remedy=remedy)
    if isinstance(error, docker.errors.APIError):
        return _answered(address, error.response.status_code if error.response is not None else 0, said(error))
    if isinstance(error, docker.errors.InvalidVersion):
        return Unavailable(f"the Docker engine at {address} is too old: {said(error)}", remedy="install a newer Docker")
    if isinstance(error, (TimeoutError, requests.Timeout)):
        return Unavailable(f"the Docker engine at {address} did not answer within {seconds:.0f} s", remedy=HUNG)
    return None


def _of_another_program(address: Address, error: BaseException) -> Unavailable | None:
    """If what answers is not an engine."""
    if isinstance(error, requests.exceptions.JSONDecodeError):
        reason = f"what answers at {address} is not a Docker engine; it says {_short(str(error.doc))!r}"
        return Unavailable(reason, remedy=_LOOK)
    if isinstance(error, (KeyError, TypeError, ValueError)) and not isinstance(error, requests.RequestException):
        return Unavailable(f"what answers at {address} is not a Docker engine: {said(error)}", remedy=_LOOK)
    return None


def _of_nobody(address: Address, error: BaseException) -> Unavailable | None:
    """If nothing answers."""
    if isinstance(error, OSError) and not isinstance(error, requests.RequestException) and error.strerror:
        reason = f"no Docker engine answers at {address}: {error.strerror}"
        return Unavailable(reason, remedy=to_start("docker", "dockerd") if address.path else _LOOK)
    return None


_LOOK = "check DOCKER_HOST, docker context ls, and any proxies"


def _answered(address: Address, status: int, words: str) -> Unavailable:
    reason = f"the Docker engine at {address} answers {status}: {words}"
    if status == 403:
        return Unavailable(reason, remedy="allow it in the engine's access configuration")
    if "is too old" in words:
        return Unavailable(reason, remedy="pip install --upgrade docker")
    return Unavailable(reason, remedy="check the engine's log" if status >= 500 else _LOOK)


def unusable(address: Address, error: Exception) -> Unavailable:
    """Why the SDK cannot create a client, before anything was sent: its configuration file, address or certificates."""
    if isinstance(error, docker.errors.TLSParameterError):
        return Unavailable(
            f"no connection to the Docker engine at {address}: {said(error)}", remedy="check DOCKER_CERT_PATH"
        )
    of_file = not isinstance(error, docker.errors.DockerException) or isinstance(error, docker.errors.InvalidConfigFile)
    if not of_file or not _can_be_parsed(address.url):
        return Unavailable(f"no connection to the Docker engine at {address}: {said(error)}", remedy=_LOOK)
    file = config_folder() / "config.json"
    return Unavailable(f"{file} cannot be parsed: {said(error)}", remedy=f"fix {file}, or set DOCKER_CONFIG")


def _can_be_parsed(url: str) -> bool:
    try:
        docker.utils.parse_host(url)
    except Exception:  # a port of more than 65535 is a ValueError, everything else the SDK's own
        return False
    return True


def failure(doing: str, error: Exception) -> MeasurementError:
    """An error of the engine or of the connection while something was being done."""
    if isinstance(error, (KeyError, TypeError, IndexError, AttributeError)):
        return MeasurementError(f"{doing}: unexpected form of the engine's answer ({error!r})")
    if isinstance(error, (TimeoutError, requests.Timeout, urllib3.exceptions.TimeoutError)):
        remedy = "--timeout 10m if the host is slow; otherwise see the engine's log"
        return DeadlineExceeded(f"{doing}: the engine did not answer in time", remedy=remedy)
    return MeasurementError(f"{doing}: {said(error)}")


def said(error: Exception) -> str:
    """The message in one line: the engine's own words if it sent any."""
    return _short(str(getattr(error, "explanation", "") or error)) or type(error).__name__


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…"


def _chain(error: BaseException, depth: int = 8) -> Iterator[BaseException]:
    """An error and all its causes: the SDK's libraries wrap them in causes, and in each other's arguments."""
    yield error
    for inner in (error.__cause__, error.__context__, getattr(error, "reason", None), *error.args):
        if isinstance(inner, BaseException) and depth:
            yield from _chain(inner, depth - 1)
