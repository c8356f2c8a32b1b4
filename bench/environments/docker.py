"""Docker containers through the engine's API: one class, each variant a different host configuration.

The image is imported from the shared root file system; nothing is ever pulled. create, attach, start, wait and remove
are separate calls, each stamped; the streams are attached before the start, so that the first byte is not missed.
"""

from __future__ import annotations

import io
import itertools
import os
import select
import struct
import threading
import time
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING

from bench.accounting import cpu_seconds, descendants, parent, peer_pid, process_name
from bench.environment import DEFAULT_TIMEOUT, LOWER, PROBE, READY, ROOTFS

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from typing import Any, BinaryIO

    from bench.environment import Layer, Role
    from bench.launcher import NetnsWatch

DEFAULT_ADDRESS = "unix:///var/run/docker.sock"
LABEL = "isobench.run"
"""Carried by every container, image and volume; its value is the run's name."""


class Docker:
    """One variant (`bench.environment.Environment`). `host_config` is what `docker run` would be told by flags."""

    offers = frozenset({READY, PROBE, ROOTFS, LOWER})
    layer: Layer = "engine"

    def __init__(
        self,
        name: str,
        title: str,
        adds: str,
        compared_with: str,
        host_config: Mapping[str, Any] | None = None,
        *,
        single_factor: bool = True,
        groups: tuple[str, ...] = ("containers",),
    ) -> None:
        self.name = name
        self.title = title
        self.adds = adds
        self.compared_with: str | None = compared_with
        self.host_config = dict(host_config or {})
        self.single_factor = single_factor and compared_with is not None
        self.groups = frozenset(groups)
        if self.host_config.get("read_only"):
            self.offers = frozenset({READY, PROBE})

    def sandbox(self, client: Any, workdir: Path) -> DockerSandbox:
        """What `open` gives."""
        return DockerSandbox(client, self, workdir)

    @contextmanager
    def open(self, workdir: Path) -> Iterator[DockerSandbox]:
        client = connect()
        sandbox = self.sandbox(client, workdir)
        try:
            yield sandbox
        finally:
            sandbox.close()
            client.close()


def connect() -> Any:
    """A low-level client of the engine at DOCKER_HOST, or at the usual socket. Raises `Unavailable`."""
    from bench.errors import Unavailable

    try:
        import docker
    except ImportError as error:
        raise Unavailable("the Docker SDK is not installed", remedy="pip install 'isobench[docker]'") from error
    address = os.environ.get("DOCKER_HOST", DEFAULT_ADDRESS)
    try:
        client = docker.APIClient(base_url=address, version="auto", timeout=60)
        client.ping()
    except (docker.errors.DockerException, OSError) as error:
        denied = "PermissionError" in repr(error) or "Permission denied" in str(error)
        reason = f"no permission to use {address}" if denied else f"no Docker engine answers at {address}"
        remedy = "run isobench as root or join the group docker" if denied else "systemctl start docker"
        raise Unavailable(reason, remedy=remedy) from error
    return client


class DockerSandbox:
    """The imported image and what containers of it are started with."""

    image_changes: tuple[str, ...] = ("WORKDIR /",)
    """What the image says beside its files, as in a Dockerfile."""

    def __init__(self, client: Any, environment: Docker, workdir: Path) -> None:
        from bench.images.rootfs import fio_version, rootfs_tar

        run = workdir.parent.name
        self._client = client
        self._environment = environment
        self._workdir = workdir
        self._run = run
        self._numbers = itertools.count(1)  # also from several threads
        self._fio = fio_version()
        tag = f"{environment.name}-{os.urandom(3).hex()}"
        repository = run.lower()  # a reference has no capitals
        self._image = f"{repository}:{tag}"
        self._with_lower = ""
        with engine_errors("importing the image"), rootfs_tar().open("rb") as file:
            client.import_image_from_data(
                file, repository=repository, tag=tag, changes=[f"LABEL {LABEL}={run}", *self.image_changes]
            )
        self._info = client.info()

    def facts(self) -> Mapping[str, str]:
        with engine_errors("asking for its version"):
            version = self._client.version()
        facts = {
            "version.docker": version["Version"],
            "version.fio": self._fio,
            "storage": f"{self._info['Driver']} on {self._info['DockerRootDir']}",
            "security": ", ".join(self._info.get("SecurityOptions") or []),
            "runtime": str(self._environment.host_config.get("runtime", self._info.get("DefaultRuntime", ""))),
            "cgroup": f"v{self._info.get('CgroupVersion', '1')}, {self._info.get('CgroupDriver', '')}",
            "host_config": repr(self._environment.host_config),
        }
        for component in version.get("Components", ()):
            if component["Name"] in ("containerd", "runc"):
                facts[f"version.{component['Name']}"] = component["Version"]
        return facts

    @contextmanager
    def launch(self, *probe_args: str, timeout: float = DEFAULT_TIMEOUT) -> Iterator[Container]:
        number = next(self._numbers)
        name = f"{self._run}-{self._environment.name}-{os.getpid()}-{number}"
        container = self.container(name, timeout)
        image = self._lower_image() if probe_args[:1] == ("copyup",) else self._image
        with self.storage(name, probe_args) as options:
            try:
                container.start(image, self._run, ["/probe", *probe_args], {**self._environment.host_config, **options})
                yield container
            finally:
                container.destroy()

    def container(self, name: str, timeout: float) -> Container:
        """One that is not yet made."""
        return Container(self._client, name, timeout)

    @contextmanager
    def storage(self, name: str, probe_args: tuple[str, ...]) -> Iterator[Mapping[str, Any]]:
        """What a container's host configuration has besides, for storage that is made for it and goes after it."""
        yield {}

    def _lower_image(self) -> str:
        """The image with one more layer, the files whose copy-up is timed; built when first asked for."""
        from bench.images.lower import lower_build

        if not self._with_lower:
            tag = f"{self._image}-lower"
            with engine_errors("building the image with a lower layer"), lower_build(self._image) as context:
                for line in self._client.build(fileobj=context, custom_context=True, tag=tag, rm=True, decode=True):
                    if "error" in line:
                        from bench.errors import MeasurementError

                        raise MeasurementError(f"building the image with a lower layer: {line['error']}")
            self._with_lower = tag
        return self._with_lower

    def close(self) -> None:
        for image in filter(None, (self._with_lower, self._image)):
            with suppress(Exception):  # an engine that has died has taken the image with it, or `clean` will
                self._client.remove_image(image, force=True)


class Container:
    """One container (`bench.environment.Instance`)."""

    def __init__(self, client: Any, name: str, timeout: float) -> None:
        from bench.launcher import NetnsWatch

        self._client = client
        self._name = name
        self._deadline = time.monotonic() + timeout
        self._id = ""
        self._pid = 0
        self._pidfd = -1
        self._status: int | None = None
        self._netns: NetnsWatch | None = NetnsWatch(timeout) if os.geteuid() == 0 else None
        self._watching = False
        self._attached: Any = None
        self._errors = bytearray()
        self._engine = {pid: cpu_seconds(pid) for pid in engine_pids()}
        self.stdin: BinaryIO = io.BytesIO()
        self.stdout: BinaryIO = io.BytesIO()
        self.events: dict[str, int] = {}
        self.cpu: dict[str, float] = {}

    def start(self, image: str, run: str, command: list[str], host_config: Mapping[str, Any]) -> None:
        """create, attach, start; returns when the first byte has come."""
        with engine_errors("starting the container"):
            config = self._client.create_host_config(**host_config)
            self.events["requested"] = time.monotonic_ns()
            created = self._client.create_container(
                image, command, name=self._name, labels={LABEL: run}, stdin_open=True, host_config=config
            )
            self.events["created"] = time.monotonic_ns()
            self._id = created["Id"]
            parameters = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
            self._attached = self._client.attach_socket(self._id, params=parameters)
            self.events["attached"] = time.monotonic_ns()
            stream = self._attached._sock  # the SDK hands out a reader; writing and polling want the socket
            first = _FirstByte(stream, self._deadline)
            self.events["started"] = time.monotonic_ns()
            self._client.start(self._id)  # the program may speak before this returns
        ready = first.wait()
        self.stdout = io.BufferedReader(_Frames(stream, self._deadline, self._errors))
        self.stdin = stream.makefile("wb", buffering=0)
        self._look()
        if ready is None:
            self._raise_not_ready()
        else:
            self.events["ready"] = ready

    def host_pids(self) -> Mapping[int, Role]:
        """The processes in the container are the payload; its shim is a helper."""
        shim = parent(self._pid)
        pids: dict[int, Role] = {pid: "payload" for pid in (self._pid, *descendants(self._pid)) if pid}
        if shim > 1:
            pids[shim] = "helper"
        return pids

    def harness_pids(self) -> list[int]:
        """Processes of the harness beside this container: no cost of it, but in the host's memory."""
        return [self._netns.pid] if self._netns is not None else []

    def wait(self) -> int:
        if self._status is None:
            shim = parent(self._pid)
            self.cpu["payload"] = cpu_seconds(self._pid)
            self._count_shim(shim)
            self.events["released"] = time.monotonic_ns()
            with suppress(OSError):  # a working verb may have ended by itself
                self.stdin.write(b"\n")
            exited = self._await_exit()
            self._count_shim(shim)
            with engine_errors("waiting for its end"):
                answer = self._client.wait(self._id, timeout=max(1.0, self._deadline - time.monotonic()))
            self.events["exited"] = exited or time.monotonic_ns()
            self.events["released"] = min(self.events["released"], self.events["exited"])
            self._status = int(answer["StatusCode"])
            if self._status:
                self._raise_if_out_of_memory()
        return self._status

    def _raise_if_out_of_memory(self) -> None:
        """The engine's word for it: also where not the first process but one that it started was killed."""
        from bench.errors import OutOfMemory

        with engine_errors("inspecting the container"):
            found = self._client.inspect_container(self._id)
        if found["State"].get("OOMKilled"):
            limit = found["HostConfig"].get("Memory", 0)
            words = f"the container's limit is {limit / 2**20:.0f} MiB" if limit else "the host had none left"
            raise OutOfMemory(f"killed for want of memory ({words})", console=self._console())

    def _count_shim(self, shim: int) -> None:
        """It ends with its container, so it is looked at as long as it lives; the runc it started is its child."""
        self.cpu["helper"] = max(self.cpu.get("helper", 0.0), cpu_seconds(shim, with_children=True))

    def destroy(self) -> None:
        """Remove it, whatever state it is in, and stamp when everything is gone."""
        try:
            if self._id:
                with engine_errors("removing the container"):
                    self._client.remove_container(self._id, force=True, v=True)
                self.events["removed"] = time.monotonic_ns()
            gone = self._netns.await_gone() if self._watching and self._netns else time.monotonic_ns()
            self.events["gone"] = gone
            spent = (cpu_seconds(pid) - before for pid, before in self._engine.items())
            self.cpu["engine"] = sum(max(0.0, seconds) for seconds in spent)
        finally:
            self.stdout.close()
            self.stdin.close()
            if self._attached is not None:
                self._attached.close()
            if self._netns is not None:
                self._netns.close()
            if self._pidfd >= 0:
                os.close(self._pidfd)

    def _look(self) -> None:
        """Between ready and released: its init process, and the network namespace to watch."""
        with engine_errors("inspecting the container"):
            self._pid = int(self._client.inspect_container(self._id)["State"]["Pid"])
        if self._pid == 0:
            return
        with suppress(OSError):
            self._pidfd = os.pidfd_open(self._pid)
            own = os.readlink("/proc/self/ns/net") != os.readlink(f"/proc/{self._pid}/ns/net")  # noqa: PTH115
            if own and self._netns is not None:
                self._netns.watch(self._pid)
                self._watching = True

    def _await_exit(self) -> int | None:
        """The moment its init process ended; None where it had ended before anybody looked."""
        if self._pidfd < 0:
            return None
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        if not poll.poll(max(0.0, self._deadline - time.monotonic()) * 1000):
            from bench.errors import DeadlineExceeded

            raise DeadlineExceeded("the container was told to finish and went on", console=self._console())
        return time.monotonic_ns()

    def _raise_not_ready(self) -> None:
        from bench.errors import DeadlineExceeded, MeasurementError

        with engine_errors("inspecting the container"):
            state = self._client.inspect_container(self._id)["State"]
        if state["Running"]:
            raise DeadlineExceeded("deadline: the container did not say ready", console=self._console())
        self._raise_if_out_of_memory()
        raise MeasurementError(f"it ended with status {state['ExitCode']} before it was ready", console=self._console())

    def _console(self) -> str:
        with suppress(Exception):
            return str(self._client.logs(self._id, tail=20).decode(errors="replace"))
        return self._errors.decode(errors="replace")


class _FirstByte:
    """Watches a socket from another thread and stamps the moment it has something to read."""

    def __init__(self, stream: socket.socket, deadline: float) -> None:
        self._stamp: int | None = None
        self._deadline = deadline
        self._thread = threading.Thread(target=self._watch, args=(stream,), daemon=True)
        self._thread.start()

    def _watch(self, stream: socket.socket) -> None:
        import socket

        poll = select.poll()
        poll.register(stream, select.POLLIN)
        if poll.poll(max(0.0, self._deadline - time.monotonic()) * 1000):
            stamp = time.monotonic_ns()
            if stream.recv(1, socket.MSG_PEEK):
                self._stamp = stamp

    def wait(self) -> int | None:
        self._thread.join()
        return self._stamp


class _Frames(io.RawIOBase):
    """Standard output out of an attach stream: frames of an eight-byte header (kind, length) and data."""

    def __init__(self, stream: socket.socket, deadline: float, errors: bytearray) -> None:
        from bench.streams import DeadlineReader

        super().__init__()
        self._source = io.BufferedReader(DeadlineReader(os.dup(stream.fileno()), deadline))
        self._errors = errors
        self._left = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def] # the buffer protocol has no name in 3.11
        while self._left == 0:
            header = self._source.read(8)
            if len(header) < 8:
                return 0
            kind, length = struct.unpack(">BxxxL", header)
            if kind == 1:
                self._left = length
            else:
                self._errors += self._source.read(length)[: max(0, 8192 - len(self._errors))]
        data = self._source.read1(min(self._left, len(buffer)))
        buffer[: len(data)] = data
        self._left -= len(data)
        return len(data)

    def close(self) -> None:
        self._source.close()
        super().close()


@contextmanager
def engine_errors(doing: str) -> Iterator[None]:
    """Whatever the engine or the way to it says, as a `MeasurementError` with what was being done."""
    import docker
    import requests

    from bench.errors import MeasurementError

    try:
        yield
    except docker.errors.APIError as error:
        raise MeasurementError(f"{doing}: {error.explanation or error}") from error
    except (docker.errors.DockerException, requests.RequestException, OSError) as error:
        raise MeasurementError(f"{doing}: {error}") from error


def engine_pids() -> list[int]:
    """dockerd, known by its end of the socket, and its containerd: its child, or the system's."""
    dockerd = peer_pid(os.environ.get("DOCKER_HOST", DEFAULT_ADDRESS).removeprefix("unix://"))
    if not dockerd:
        return []
    others = [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and process_name(int(pid)) == "containerd"]
    own = [pid for pid in others if parent(pid) == dockerd]
    return [dockerd, *(own or others)]


def sweep(run: str) -> list[str]:
    """Remove the containers, volumes and images that carry this run's label.

    Raises `Unavailable` where the engine does not answer and the run had come as far as to use it.
    """
    from bench.errors import MeasurementError, Unavailable
    from bench.paths import opened

    try:
        client = connect()
    except Unavailable:
        if opened(run, "docker"):
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
                if attempt == 0:
                    raise
                time.sleep(0.5)
    return removed


_SWEEPS = 6
"""A request that the run had made when it was stopped may still be worked on: its image is then in use for a while."""


def _sweep(client: Any, run: str, removed: list[str]) -> None:
    wanted = {"label": f"{LABEL}={run}"}
    for container in client.containers(all=True, filters=wanted):
        client.remove_container(container["Id"], force=True, v=True)
        removed.append(f"container {container['Id'][:12]}")
    for volume in client.volumes(filters=wanted)["Volumes"] or ():
        client.remove_volume(volume["Name"], force=True)
        removed.append(f"volume {volume['Name']}")
    for image in client.images(filters=wanted):
        for tag in _own_tags(image.get("RepoTags"), run) or [image["Id"]] * (not image.get("RepoTags")):
            client.remove_image(tag, force=True)
            removed.append(f"image {tag.removeprefix('sha256:')[:60]}")


def _own_tags(tags: list[str] | None, run: str) -> list[str]:
    """Those that the run gave; one that somebody else has given to its image since is not touched."""
    return [tag for tag in tags or () if tag.startswith(f"{run.lower()}:")]


ENVIRONMENTS = (
    Docker(
        "docker-nonet",
        "Docker, no network",
        "dockerd: its API, image layers, logs and bookkeeping",
        "containerd",
        {"network_mode": "none"},
        single_factor=False,
        groups=("containers", "ladder"),
    ),
    Docker(
        "docker-hostnet",
        "Docker, host network",
        "the host's network namespace",
        "docker-nonet",
        {"network_mode": "host"},
    ),
    Docker(
        "docker",
        "Docker",
        "a network: veth pair, bridge, addresses",
        "docker-nonet",
        {"network_mode": "bridge"},
        groups=("default", "containers", "ladder"),
    ),
    Docker(
        "docker-unconfined",
        "Docker, no seccomp filter",
        "no seccomp filter",
        "docker",
        {"network_mode": "bridge", "security_opt": ["seccomp=unconfined"]},
    ),
    Docker(
        "docker-privileged",
        "Docker, privileged",
        "all capabilities, all devices, no seccomp filter, no masked paths",
        "docker",
        {"network_mode": "bridge", "privileged": True},
        single_factor=False,
    ),
    Docker(
        "docker-readonly",
        "Docker, read-only root",
        "a read-only root",
        "docker",
        {"network_mode": "bridge", "read_only": True},
    ),
    Docker(
        "docker-runsc",
        "Docker, gVisor",
        "gVisor's kernel in user space instead of runc",
        "docker-nonet",
        {"network_mode": "none", "runtime": "runsc"},
    ),
)
