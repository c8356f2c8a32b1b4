"""Environments whose program turns hostile after its smoke test: through the real launcher, Docker and QEMU."""

from __future__ import annotations

import io
import itertools
import subprocess
import tarfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isobench.contracts.capabilities import Capability
from isobench.environments.docker._client import LABEL
from isobench.environments.docker._container import DockerInstance
from isobench.environments.docker._sandbox import DockerSandbox
from isobench.environments.docker.engine import Docker
from isobench.environments.libvirt._domain import GuestInstance
from isobench.environments.libvirt._sandbox import GuestSandbox
from isobench.environments.libvirt.guest import Guest
from isobench.environments.native._sandbox import NativeSandbox
from isobench.environments.native.rungs import Isolation, Native
from isobench.filesystem.cache import cached
from isobench.filesystem.paths import content_hash

if TYPE_CHECKING:
    from collections.abc import Iterator
    from xml.etree.ElementTree import Element

    from isobench.contracts.launch import Launch
    from isobench.environments.libvirt._sandbox import Files
    from isobench.probe.launcher import LaunchedInstance

SECONDS = 2.5
"""The deadline of a hostile instance."""
KINDS = ("silent", "stubborn", "flood", "errors", "half", "garbage", "wrong", "liar", "hog", "forks")
LYING = "types"
"""The kind that writes JSON that is not an answer, different in each instance."""
IN_DOCKER = ("silent", "stubborn", "flood", "garbage", "hog", "forks")


def program() -> Path:
    """The hostile program, static."""
    source = Path(__file__).with_name("hostile.c")

    def build(folder: Path) -> None:
        subprocess.run(["cc", "-static", "-O1", "-o", str(folder / "hostile"), str(source)], check=True)

    return cached("hostile", content_hash([source.read_bytes()]), build) / "hostile"


class HostileNative(Native):
    """A container made by hand up to its cgroup, so that memory and processes are limited."""

    def __init__(self, kind: str) -> None:
        isolation = Isolation(("mnt", "pid", "net"), cgroup=True)
        super().__init__(f"hostile-{kind}", f"hostile: {kind}", isolation, single_factor=False, groups=())
        self.kind = kind
        self.capabilities = frozenset(
            {Capability.READY, Capability.PROBE, *((Capability.ROOTFS, Capability.LOWER) if kind == LYING else ())}
        )

    @contextmanager
    def open(self, workdir: Path) -> Iterator[NativeSandbox]:
        sandbox = _HostileSandbox(self, workdir)
        try:
            yield sandbox
        finally:
            sandbox.close()


class _HostileSandbox(NativeSandbox):
    def __init__(self, environment: HostileNative, workdir: Path) -> None:
        super().__init__(environment.isolation, workdir)
        self._kind = environment.kind
        self._launches = itertools.count()

    @contextmanager
    def launch(self, launch: Launch) -> Iterator[LaunchedInstance]:
        if next(self._launches) == 1:
            (self._root / "probe").unlink()
            (self._root / "probe").write_bytes(program().read_bytes())
            (self._root / "probe").chmod(0o755)
        words = _words(self._launches, self._kind, launch.arguments)
        with super().launch(launch._replace(arguments=words, timeout=SECONDS)) as instance:
            yield instance


class HostileDocker(Docker):
    """Memory and processes limited by the engine."""

    def __init__(self, kind: str) -> None:
        config = {"network_mode": "none", "mem_limit": "32m", "memswap_limit": "32m", "pids_limit": 20}
        super().__init__(f"hostile-docker-{kind}", f"hostile in Docker: {kind}", "", "docker-nonet", config, groups=())
        self.compared_with = None
        self.kind = kind
        self.capabilities = frozenset({Capability.READY, Capability.PROBE})

    def sandbox(self, client: Any, workdir: Path) -> DockerSandbox:
        return _HostileDockerSandbox(client, self, workdir)


class _HostileDockerSandbox(DockerSandbox):
    def __init__(self, client: Any, environment: HostileDocker, workdir: Path) -> None:
        super().__init__(client, environment, workdir)
        run = workdir.parent.name
        self._kind = environment.kind
        self._launches = itertools.count()
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            archive.add(program(), arcname="probe")
        self._hostile = f"{run.lower()}:{environment.name}"
        client.import_image_from_data(
            buffer.getvalue(), repository=run.lower(), tag=environment.name, changes=[f"LABEL {LABEL}={run}"]
        )

    @contextmanager
    def launch(self, launch: Launch) -> Iterator[DockerInstance]:
        if next(self._launches) == 1:
            self._client.remove_image(self._image, force=True)
            self._image = self._hostile
        words = _words(self._launches, self._kind, launch.arguments)
        with super().launch(launch._replace(arguments=words, timeout=SECONDS)) as instance:
            yield instance


class HostileGuest(Guest):
    """A guest whose kernel finds no init, panics, and stays as it is."""

    def sandbox(self, connection: Any, workdir: Path) -> GuestSandbox:
        return _HostileGuestSandbox(connection, self, workdir)


class _HostileGuestSandbox(GuestSandbox):
    def __init__(self, connection: Any, environment: Guest, workdir: Path) -> None:
        super().__init__(connection, environment, workdir)
        self._launches = itertools.count()

    def boot(self, system: Element, files: Files, probe_args: tuple[str, ...]) -> None:
        super().boot(system, files, probe_args)
        line = system.find("cmdline")
        if line is not None and line.text and next(self._launches) > 0:
            line.text = line.text.replace("panic=-1", "panic=0 rdinit=/nothing init=/nothing")

    @contextmanager
    def launch(self, launch: Launch) -> Iterator[GuestInstance]:
        seconds = 40.0 if repr(self._launches) == "count(0)" else 9.0
        with super().launch(launch._replace(timeout=seconds)) as instance:
            yield instance


def _words(launches: object, kind: str, probe_args: tuple[str, ...]) -> tuple[str, ...]:
    """The program's arguments. The first launch is the smoke test, and behaves."""
    number = repr(launches).removeprefix("count(").removesuffix(")")
    return probe_args if number == "1" else (kind, number)


ENVIRONMENTS = (
    *(HostileNative(kind) for kind in (*KINDS, LYING)),
    *(HostileDocker(kind) for kind in IN_DOCKER),
    HostileGuest("hostile-guest", "a guest without init", "nothing", None, domain_type="qemu", groups=()),
)
