"""The image of a Docker environment, and the containers that are started from it.

The image is imported from the shared root file system; nothing is ever pulled. create, attach, start, wait and remove
are separate calls, each with a timestamp. The streams are attached before the start, so that the first byte is not
missed.
"""

from __future__ import annotations

import itertools
import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from isobench.contracts.capabilities import Part
from isobench.core.errors import MeasurementError
from isobench.environments._signatures import by_content_trust
from isobench.environments.docker._client import LABEL, engine_errors
from isobench.environments.docker._container import DockerInstance
from isobench.environments.docker._daemons import dockerd_file, engine_pids, unseen
from isobench.environments.docker._images import DockerImages, in_containerd
from isobench.environments.docker._sdk import docker
from isobench.images.lower import lower_build
from isobench.images.rootfs import rootfs_tar
from isobench.probe.launcher import blind
from isobench.processes.accounting import called
from isobench.resources.cgroups import limits_swap, shares
from isobench.resources.disks import disk_beneath

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from isobench.contracts.launch import Launch
    from isobench.environments.docker.engine import Docker


class DockerSandbox:
    """The imported image, and how its containers are started."""

    image_changes: tuple[str, ...] = ("WORKDIR /",)
    """The image's instructions, as in a Dockerfile."""

    def __init__(self, client: Any, environment: Docker, workdir: Path) -> None:
        run = workdir.parent.name
        self._client = client
        self._environment = environment
        self._workdir = workdir
        self._run = run
        self._numbers = itertools.count(1)  # threads may share it
        tag = f"{environment.name}-{os.urandom(3).hex()}"
        repository = run.lower()  # a reference must be lower case
        self._image = f"{repository}:{tag}"
        self._with_lower = ""
        self._given: dict[Path, str] = {}
        self._elsewhere = ""
        self._images: DockerImages | None = None
        self._import(rootfs_tar(), self._image)
        with engine_errors("asking the engine for its configuration"):
            self._info = client.info()

    def _import(self, archive: Path, image: str) -> None:
        repository, _, tag = image.partition(":")
        with engine_errors("importing the image"), archive.open("rb") as file:
            self._client.import_image_from_data(
                file, repository=repository, tag=tag, changes=[f"LABEL {LABEL}={self._run}", *self.image_changes]
            )

    def daemons(self) -> list[int]:
        return engine_pids()

    def hidden(self) -> dict[Part, str]:
        """What of the engine's daemons cannot be observed here."""
        return unseen()

    def unseen(self) -> Mapping[Part, str]:
        """The parts that cannot be observed here (`isobench.contracts.capabilities.HasBlindSpots`). Whether processes
        can be observed is known once a container has run."""
        found = self.hidden()
        if blind() and self._environment.host_config.get("network_mode") != "host":
            found[Part.END] = blind()
        if self._elsewhere:
            found |= dict.fromkeys((Part.PROCESSES, Part.MEMORY, Part.END), self._elsewhere)
        return found

    def facts(self) -> Mapping[str, str]:
        with engine_errors("asking the engine for its version"):
            version = self._client.version()
        facts = {
            "version.docker": version["Version"],
            "storage": f"{self._info['Driver']} on {self._info['DockerRootDir']}",
            "security": ", ".join(self._info.get("SecurityOptions") or []),
            "runtime": str(self._environment.host_config.get("runtime", self._info.get("DefaultRuntime", ""))),
            "cgroup": f"v{self._info.get('CgroupVersion', '1')}, {self._info.get('CgroupDriver', '')}",
            "host_config": repr(self._environment.host_config),
            "daemons": called(self.daemons()),
            "signatures": self.signatures(),
        }
        for component in version.get("Components", ()):
            if component["Name"] in ("containerd", "runc"):
                facts[f"version.{component['Name']}"] = component["Version"]
        return facts

    def written_to(self) -> Path:
        """Where its instances write (`isobench.contracts.capabilities.WritesElsewhere`)."""
        return Path(self._info["DockerRootDir"])

    def signatures(self) -> str:
        """Whether images have to be signed."""
        return by_content_trust(*dockerd_file())

    @contextmanager
    def launch(self, launch: Launch) -> Iterator[DockerInstance]:
        number, command = next(self._numbers), ["/probe", *launch.arguments]
        name = f"{self._run}-{self._environment.name}-{os.getpid()}-{number}"
        image = self._image_for(launch)
        with self.storage(name, with_lower=launch.needs_lower) as options:
            container = self.instance(name, launch.timeout, watch_end=launch.watch_end)
            try:
                limits = self._limits(launch)
                with self._restoring():
                    container.start(image, self._run, command, {**self._environment.host_config, **options, **limits})
                self._elsewhere = container.unseen
                yield container
            finally:
                container.destroy()

    def _limits(self, launch: Launch) -> dict[str, Any]:
        """Additions to a container's host configuration, as of `docker run --memory`, `--memory-swap`, `--cpus`,
        `--cpu-shares`, `--pids-limit`, `--ulimit`, `--device-write-bps`, `--device-write-iops`,
        `--device-read-bps` and `--device-read-iops`."""
        given = launch.limits
        found: dict[str, Any] = {}
        if launch.memory_bytes:
            found["mem_limit"] = launch.memory_bytes
            found |= {"memswap_limit": launch.memory_bytes + given.swap_bytes} if limits_swap() else {}
        if given.cpu_percent:
            found["nano_cpus"] = given.cpu_percent * 10**7
        if given.cpu_weight:
            found["cpu_shares"] = shares(given.cpu_weight)
        if given.processes:
            found["pids_limit"] = given.processes
        if given.open_files:
            found["ulimits"] = [{"Name": "nofile", "Soft": given.open_files, "Hard": given.open_files}]
        rates = {
            "device_write_bps": given.write_bytes,
            "device_write_iops": given.write_operations,
            "device_read_bps": given.read_bytes,
            "device_read_iops": given.read_operations,
        }
        for option, rate in rates.items():
            if rate:
                disk = disk_beneath(self.written_to())
                found[option] = [{"Path": disk.path, "Rate": rate}]
        return found

    def instance(self, name: str, timeout: float, *, watch_end: bool) -> DockerInstance:
        """An instance that has not been created yet."""
        return DockerInstance(self._client, name, timeout, watch_end=watch_end)

    @contextmanager
    def storage(self, name: str, *, with_lower: bool) -> Iterator[Mapping[str, Any]]:
        """Additions to a container's host configuration, for storage that is created for it and removed after it."""
        yield {}

    def _image_for(self, launch: Launch) -> str:
        """The image to run: imported or built on first use, or that of the shared root file system."""
        if launch.image:
            return launch.image
        if launch.root is not None and launch.root not in self._given:
            image = f"{self._image}-{next(self._numbers)}"
            self._import(launch.root, image)
            self._given[launch.root] = image
        if launch.root is not None:
            return self._given[launch.root]
        return self._lower_image() if launch.needs_lower else self._image

    @contextmanager
    def _restoring(self) -> Iterator[None]:
        """If somebody has removed an image of the sandbox's meanwhile (`docker image prune --all`), this launch fails,
        and what is gone is there again for the next one."""
        try:
            yield
        except MeasurementError as error:
            if not isinstance(error.__cause__, docker.errors.ImageNotFound):
                raise
            self._restore()
            raise MeasurementError(error.reason, remedy="prune no images while isobench measures") from error

    def _restore(self) -> None:
        with engine_errors("asking for the images"):
            found = self._client.images(filters={"label": f"{LABEL}={self._run}"})
            there = {tag for image in found for tag in image["RepoTags"] or ()}
        self._given = {archive: image for archive, image in self._given.items() if image in there}
        if self._with_lower not in there:
            self._with_lower = ""
        if self._image not in there:
            self._import(rootfs_tar(), self._image)

    def _lower_image(self) -> str:
        """The image with one more layer, which has the files whose copy-up is timed. Built on first use."""
        if not self._with_lower:
            tag = f"{self._image}-lower"
            with engine_errors("building the image with a lower layer"), lower_build(self._image) as context:
                for line in self._client.build(fileobj=context, custom_context=True, tag=tag, rm=True, decode=True):
                    if "error" in line:
                        raise MeasurementError(f"building the image with a lower layer: {line['error']}")
            self._with_lower = tag
        return self._with_lower

    def images(self) -> DockerImages:
        """Images from a registry (`isobench.contracts.capabilities.KeepsImages`)."""
        if self._images is None:
            told = not in_containerd(self._info)
            self._images = DockerImages(self._client, self._workdir, tells_fetched=told)
        return self._images

    def close(self) -> None:
        if self._images is not None:
            self._images.close()
        for image in filter(None, (*self._given.values(), self._with_lower, self._image)):
            with suppress(Exception):  # if the engine has died, `clean` removes the image
                self._client.remove_image(image, force=True)
