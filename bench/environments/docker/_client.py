"""The Docker engine: connecting to it, its error messages, its daemons, and cleaning up after a dead run."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING

from isobench.contracts.capabilities import Part
from isobench.contracts.mechanism import Mechanism, Need, Tool, command
from isobench.core import deadlines
from isobench.core.errors import IsobenchError
from isobench.host.accounting import cgroups_of, children, command_line, parent, process_name, users_of
from isobench.host.serving import Server, connected_to, proc_is_ours, remembered, server_of, server_of_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any
    from urllib.parse import SplitResult

    from isobench.daemons.address import Address, Tls

LABEL = "isobench.run"
"""Carried by every container, image and volume; its value is the run's name."""

_ANSWER_SECONDS = 60.0
"""How long the engine may take to answer before it counts as hung."""
_REST_SECONDS = 120.0
"""How long a hung engine is not asked again. Otherwise a dozen variants would wait for it in turn."""
_hung: dict[str, float] = {}
"""Address -> when its engine may be asked again, on the monotonic clock."""


def connect() -> Any:
    """A low-level client of the engine that the docker command would use. Raises `Unavailable` with the reason."""
    from isobench.core.errors import Unavailable
    from isobench.daemons.address import address
    from isobench.environments.docker._errors import HUNG, refusal, unusable

    try:
        docker = _sdk()
    except ImportError as error:
        raise Unavailable("the Docker SDK is not installed", remedy="pip install 'isobench[docker]'") from error
    engine = address()
    if time.monotonic() < _hung.get(engine.url, 0.0):
        raise Unavailable(f"the Docker engine at {engine} did not answer in an earlier attempt", remedy=HUNG)
    seconds = deadlines.stretched(_ANSWER_SECONDS)
    try:
        client = _client(docker, engine, seconds, docker.constants.DEFAULT_DOCKER_API_VERSION)  # sends nothing
    except Exception as error:  # a malformed file makes the SDK raise anything
        raise unusable(engine, error) from error
    try:
        with closing(client):
            version = client.version(api_version=False)["ApiVersion"]
        client = _client(docker, engine, seconds, version)
        if not client.ping():
            raise ValueError("it does not answer a ping")
    except Exception as error:  # and so does a malformed answer
        client.close()
        refused = refusal(engine, error, seconds)
        if refused.remedy == HUNG:
            _hung[engine.url] = time.monotonic() + _REST_SECONDS
        raise refused from error
    return client


def _client(docker: Any, engine: Address, seconds: float, version: str) -> Any:
    if engine.tls is None:
        client = docker.APIClient(base_url=engine.url, version=version, timeout=seconds)
    else:
        secured = _secured(docker, engine.tls)
        client = docker.APIClient(base_url=engine.url, version=version, timeout=seconds, tls=secured)
        # REQUESTS_CA_BUNDLE would replace the engine's own certificate authority; proxies are kept.
        from requests.utils import get_environ_proxies

        client.proxies.update(get_environ_proxies(client.base_url))
        client.trust_env = False
    # Nothing is pulled, so no credentials are needed, and no credential helper may run.
    client._auth_configs = docker.auth.AuthConfig({})
    return client


def _secured(docker: Any, tls: Tls) -> Any:
    if not tls.verify:  # the user turned verification off: no warning at every request
        from urllib3 import disable_warnings
        from urllib3.exceptions import InsecureRequestWarning

        disable_warnings(InsecureRequestWarning)
    pair = (tls.certificate, tls.key) if tls.certificate and tls.key else None
    return docker.tls.TLSConfig(client_cert=pair, ca_cert=tls.ca or None, verify=tls.verify)


def require(client: Any, host_config: Mapping[str, Any]) -> None:
    """Raise `Unavailable` if this is not Docker, or if the engine lacks what the containers' configuration needs."""
    from isobench.core.errors import MeasurementError, Unavailable

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


def _sdk() -> Any:
    """The package. Signals that arrive during its import are delivered after it.

    An import that is interrupted by Ctrl-C leaves half a package in `sys.modules`, which cannot be imported again, and
    the sweep at the end of the run needs it.
    """
    came: list[int] = []
    here = threading.current_thread() is threading.main_thread()  # only this thread can set and run handlers
    before = {number: signal.getsignal(number) for number in _SIGNALS if here}
    try:
        for number in before:
            signal.signal(number, lambda number, frame: came.append(number))
        import docker
        import requests  # noqa: F401 (docker imports parts of it)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    for late in came:
        signal.raise_signal(late)
    return docker


_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def engine_errors(doing: str) -> Iterator[None]:
    """Turn errors of the engine and of the connection into a `MeasurementError` that says what was being done."""
    import docker
    import requests

    from isobench.environments.docker._errors import failure

    answers = (KeyError, TypeError, ValueError, IndexError, AttributeError)
    try:
        yield
    except (docker.errors.DockerException, requests.RequestException, OSError, *answers) as error:
        raise failure(doing, error) from error


_DOCKERD = frozenset({"dockerd"})
CONTAINERD = frozenset({"containerd", "docker-containe"})
"""The daemons' names in /proc/PID/comm, which is cut to fifteen letters."""


def engine() -> list[Server]:
    """dockerd and its containerd, each verified, or the reason why it is not known."""
    from urllib.parse import urlsplit

    from isobench.daemons.address import address

    try:
        where = address()
    except IsobenchError as error:
        return [Server(0, error.reason)]
    if where.path:
        dockerd = server_of(where.path, _DOCKERD)
    else:
        parts = urlsplit(where.url)
        dockerd = server_of_port(parts.hostname or "", _port(parts), _DOCKERD)
    if not dockerd.pid:
        return [dockerd]
    return [dockerd, remembered(f"containerd of {dockerd.pid}", CONTAINERD, lambda: _containerd(dockerd.pid))]


def _port(parts: SplitResult) -> int:
    with suppress(ValueError):
        return parts.port or 2375
    return 0


def _containerd(dockerd: int) -> Server:
    """A containerd that dockerd started is its child. Otherwise it is the one that dockerd is connected to, or the one
    named on its command line."""
    own = [pid for pid in children(dockerd) if process_name(pid) in CONTAINERD]
    found = own or connected_to(dockerd, CONTAINERD)
    if found:
        return Server(found[0])
    option = re.search(rb"--containerd[=\0]([^\0]+)", command_line(dockerd))
    if option:
        return server_of(os.fsdecode(option[1]), CONTAINERD)
    return Server(0, "it cannot be determined which containerd dockerd uses")


def engine_pids() -> list[int]:
    """The processes of dockerd and of its containerd, as far as they are known."""
    return [server.pid for server in engine() if server.pid]


def unseen() -> dict[Part, str]:
    """Why some daemons, or their memory, cannot be observed from here."""
    lacking = [server.why_not for server in engine() if not server.pid]
    found = {Part.DAEMONS: "; ".join(lacking)} if lacking else {}
    if os.geteuid() != 0:
        found[Part.MEMORY] = "only root can read the memory of another user's processes"
    return found


def is_of(pid: int, container: str) -> bool:
    """Whether this process is the container's: its shim's command line or its own cgroup contains the container's id.
    An engine in another PID namespace reports the pids of its own namespace."""
    if not proc_is_ours():
        return False
    shim = parent(pid)
    return container in cgroups_of(pid) or (any(users_of(shim)) and container.encode() in command_line(shim))


def sweep(run: str) -> list[str]:
    """Remove the containers, volumes and images that carry this run's label.

    Raises `Unavailable` if the engine does not answer and the run had used it.
    """
    from isobench.core.errors import MeasurementError, Unavailable
    from isobench.daemons.private import ended
    from isobench.filesystem.paths import opened

    used = opened(run, "docker")
    try:
        client = connect()
    except Unavailable:
        if used and not ended("DOCKER_HOST"):
            raise
        return []
    removed: list[str] = []
    with closing(client):
        for attempt in range(_SWEEPS, -1, -1):
            try:
                with engine_errors("cleaning up"):
                    _sweep(client, run, removed)
                break
            except MeasurementError:
                if not used:
                    break
                if attempt == 0:
                    raise
                time.sleep(0.5)
    return removed


_SWEEPS = 6
"""The engine may still be processing the dead run's last request: its image is then in use for a while."""


_DOCKERD_TOOL, _RUNC, _RUNSC = (
    Tool(name, (package,)) for name, package in (("dockerd", "docker.io"), ("runc", "runc"), ("runsc", "runsc"))
)
MECHANISM = Mechanism(
    "docker",
    sweep,
    programs=("containerd-shim*",),
    tools=(_DOCKERD_TOOL, _RUNC, _RUNSC),
    needs=(
        _DOCKERD_TOOL.need("Docker"),
        Need(("iptables",), command("iptables"), "a private Docker engine"),
        _RUNC.need("runc, containerd and Docker"),
        _RUNSC.need("gVisor", everyday=False),
    ),
)


def _sweep(client: Any, run: str, removed: list[str]) -> None:
    wanted = {"label": f"{LABEL}={run}"}
    for container in client.containers(all=True, filters=wanted):
        client.remove_container(container["Id"], force=True, v=True)
        removed.append(f"container {container['Id'][:12]}")
        forget(container["Id"])
    for volume in client.volumes(filters=wanted)["Volumes"] or ():
        client.remove_volume(volume["Name"], force=True)
        removed.append(f"volume {volume['Name']}")
    for image in client.images(filters=wanted):
        tags = [tag for tag in image.get("RepoTags") or () if tag != _UNTAGGED]
        for tag in _own_tags(tags, run) or [image["Id"]] * (not tags):
            client.remove_image(tag, force=True)
            removed.append(f"image {tag.removeprefix('sha256:')[:60]}")


def forget(container: str) -> None:
    """Remove what remains of a removed container whose shim was killed: its cgroups and the shim's socket.

    Neither the engine nor containerd looks for them again. They are named after the container's id, so a container on
    another host has none here.
    """
    from isobench.daemons.shims import remove_socket
    from isobench.environments.runtimes.containerd import settings
    from isobench.host.cgroups import remove

    if os.geteuid() == 0:
        with suppress(OSError):
            remove(f"*{container}*")
        remove_socket(settings()["address"], "moby", container)


_UNTAGGED = "<none>:<none>"
"""What the engine reports for an image without a tag, for example if its tag was removed while it was in use."""


def _own_tags(tags: list[str], run: str) -> list[str]:
    """The tags that the run gave. A tag that somebody else has given to its image since then is left alone."""
    return [tag for tag in tags if tag.startswith(f"{run.lower()}:")]
