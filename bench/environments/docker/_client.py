"""The Docker engine: connecting to it, and its error messages."""

from __future__ import annotations

import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from isobench.core import deadlines
from isobench.core.errors import MeasurementError, Unavailable
from isobench.daemons.address import address
from isobench.environments.docker._errors import HUNG, failure, refusal, unusable
from isobench.environments.docker._sdk import docker, requests, urllib3
from isobench.environments.docker._sdk import require as require_sdk

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from isobench.daemons.address import Address, Tls

LABEL = "isobench.run"
"""The label of every container, image and volume; its value is the run's name."""

_ANSWER_SECONDS = 60.0
"""How long the engine may take to answer before it counts as hung."""
_REST_SECONDS = 120.0
"""How long a hung engine is not asked again. Otherwise a dozen variants would wait for it in turn."""
_NOBODY = "isobench.invalid"
"""The name of no registry (RFC 2606)."""
_hung: dict[str, float] = {}
"""Address -> when its engine may be asked again, on the monotonic clock."""


def connect(engine: Address | None = None) -> Any:
    """A low-level client of an engine, by default of that which the docker command would use. Raises `Unavailable` with
    the reason."""
    require_sdk()
    engine = engine or address()
    if time.monotonic() < _hung.get(engine.url, 0.0):
        raise Unavailable(f"the Docker engine at {engine} did not answer in an earlier attempt", remedy=HUNG)
    seconds = deadlines.stretched(_ANSWER_SECONDS)
    try:
        client = _client(engine, seconds, docker.constants.DEFAULT_DOCKER_API_VERSION)  # sends nothing
    except Exception as error:  # a malformed file makes the SDK raise anything
        raise unusable(engine, error) from error
    try:
        with closing(client):  # the SDK's own deadline is one for each byte
            version = deadlines.within(seconds, lambda: client.version(api_version=False)["ApiVersion"])
        client = _client(engine, seconds, version)
        if not deadlines.within(seconds, client.ping):
            raise ValueError("it does not answer a ping")
    except Exception as error:  # and so does a malformed answer
        client.close()
        refused = refusal(engine, error, seconds)
        if refused.remedy == HUNG:
            _hung[engine.url] = time.monotonic() + _REST_SECONDS
        raise refused from error
    return client


@contextmanager
def connected(host_config: Mapping[str, Any]) -> Iterator[Any]:
    """A client of the engine, for containers with this configuration. Raises `Unavailable`."""
    with closing(connect()) as client:
        require(client, host_config)
        yield client


def _client(engine: Address, seconds: float, version: str) -> Any:
    if engine.tls is None:
        client = docker.APIClient(base_url=engine.url, version=version, timeout=seconds)
    else:
        secured = _secured(engine.tls)
        client = docker.APIClient(base_url=engine.url, version=version, timeout=seconds, tls=secured)
        # REQUESTS_CA_BUNDLE would replace the engine's own certificate authority; proxies are kept.
        client.proxies.update(requests.utils.get_environ_proxies(client.base_url))
        client.trust_env = False
    # Images are pulled only from a private registry, so no credentials are needed, and no credential helper may run. If
    # it had none at all, the SDK would look for the user's at each pull, push and build.
    client._auth_configs = docker.auth.AuthConfig({"auths": {_NOBODY: {}}})
    # Nor do containers and builds get the proxies of the user's configuration, as no other environment does.
    client._proxy_configs = docker.utils.proxy.ProxyConfig({})
    return client


def _secured(tls: Tls) -> Any:
    if not tls.verify:  # the user turned verification off: no warning at every request
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    pair = (tls.certificate, tls.key) if tls.certificate and tls.key else None
    return docker.tls.TLSConfig(client_cert=pair, ca_cert=tls.ca or None, verify=tls.verify)


def require(client: Any, host_config: Mapping[str, Any]) -> None:
    """Raise `Unavailable` if this is not Docker, or if the engine lacks what the containers' configuration needs."""
    try:
        with engine_errors("asking the engine for its runtimes and networks"):
            info = client.info()
            components = [str(part["Name"]) for part in client.version().get("Components") or ()]
            other = next((name for name in components if name.startswith("Podman")), "")
            runtimes = sorted(info.get("Runtimes") or ())
            networks = {network["Name"] for network in client.networks()}
    except MeasurementError as error:  # nothing has been created yet
        raise Unavailable(error.reason, remedy="check the engine's log") from error
    if other:
        remedy = "isobench run -e podman; for Docker set DOCKER_HOST to dockerd's address"
        raise Unavailable(f"the engine that answers instead of Docker is the {other}", remedy=remedy)
    if info.get("OSType", "linux") != "linux":
        raise Unavailable(
            f"the engine runs containers of {info['OSType']}", remedy="use an engine for Linux containers"
        )
    runtime = host_config.get("runtime", "")
    if runtime and runtime not in runtimes:
        reason = f"the engine has no runtime {runtime!r}, only {', '.join(runtimes)}"
        raise Unavailable(reason, remedy="install it, and add it to the engine's runtimes (dockerd --add-runtime)")
    network = host_config.get("network_mode", "")
    if network and network not in networks:
        reason = f"the engine has no network {network!r}, only {', '.join(sorted(networks))}"
        raise Unavailable(reason, remedy="start the engine with it (dockerd without --bridge=none)")


@contextmanager
def engine_errors(doing: str) -> Iterator[None]:
    """Turn errors of the engine and of the connection into a `MeasurementError` that says what was being done."""
    answers = (KeyError, TypeError, ValueError, IndexError, AttributeError)
    connections = (requests.RequestException, urllib3.exceptions.HTTPError, OSError)  # the second while it streams
    try:
        yield
    except (docker.errors.DockerException, *connections, *answers) as error:
        raise failure(doing, error) from error
