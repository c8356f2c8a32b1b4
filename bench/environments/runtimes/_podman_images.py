"""Images in Podman, each call a command of its client: `podman pull`, `load`, `import`, `push` and `rmi`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from isobench.contracts.images import Pulled
from isobench.core.errors import MeasurementError
from isobench.environments._offers import LABEL, allocated
from isobench.environments._signed import SignedOffers, rejections

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class PodmanImages(SignedOffers):
    """What `isobench.contracts.images.Images` says, of one storage of the sandbox's own: there is nobody else whose
    layers could be reused."""

    def __init__(self, workdir: Path, said: Callable[..., str]) -> None:
        """`said` is what a command of Podman says; it raises `MeasurementError` if the command fails."""
        super().__init__(workdir, {})
        self._said = said
        self._storage = workdir / "storage"

    def clear(self, name: str) -> None:
        """Removes the image, and the layers of a pull that failed in the middle, which the next pull would find."""
        self._remove_named(name)
        if name in self._known and self._ownerless():
            # No command removes them by themselves (podman issue 16214). An image that has them takes them along.
            self.load(self._known[name].archive)
            self._remove_named(name)
            if left := self._ownerless():
                raise MeasurementError(f"podman rmi: {len(left)} layers that no image has remain in the storage")

    def _remove_named(self, name: str) -> None:
        known = self._said("images", "--quiet", "--no-trunc", f"--filter=label={LABEL}={name}").split()
        if known:
            self._said("rmi", "--force", *dict.fromkeys(known))

    def _ownerless(self) -> set[str]:
        """The layers in the storage that belong to no image and no container, by the storage's own lists."""
        parents = {layer["id"]: layer.get("parent", "") for layer in self._listed("layers")}
        owned: set[str] = set()
        for owner in (*self._listed("images"), *self._listed("containers")):
            layer = owner.get("layer", "")
            while layer and layer not in owned:
                owned.add(layer)
                layer = parents.get(layer, "")
        return parents.keys() - owned

    def _listed(self, what: str) -> list[dict[str, Any]]:
        """Of layers and containers there are two lists: the other one has those that are gone after a reboot. Without
        any, a list may be `null`, or its file empty."""
        files = self._storage.glob(f"*-{what}/*{what}.json")
        return [one for file in files for one in json.loads(file.read_bytes() or b"[]") or ()]

    def pull(self, image: str) -> Pulled:
        """Podman says neither when all has come nor what it had."""
        self._said("pull", "--quiet", "--tls-verify=false", image)
        return Pulled()

    def pull_by_policy(self, image: str, *, verified: bool) -> None:
        policy = f"--signature-policy={self.policy(verified=verified)}"
        with rejections():
            self._said("pull", "--quiet", "--tls-verify=false", policy, image)

    def load(self, archive: Path) -> None:
        self._said("load", "--quiet", f"--input={archive}")

    def import_files(self, root: Path, image: str) -> None:
        changes = [f"--change={line}" for line in self._instructions(image)]
        self._said("import", "--quiet", *changes, str(root), image)

    def push(self, image: str, elsewhere: str) -> None:
        self._said("push", "--quiet", "--tls-verify=false", image, f"docker://{elsewhere}")

    def build(self, context: Path, image: str, *, cached: bool) -> None:
        """Each step becomes a layer, as with Docker's builder; by default Podman makes one layer of all steps."""
        more = () if cached else ("--no-cache",)
        with context.open("rb") as file:
            self._said("build", "--quiet", "--layers", *more, f"--tag={image}", "-", stdin=file.fileno())

    def digests(self, image: str) -> tuple[str, tuple[str, ...]]:
        (found,) = json.loads(self._said("image", "inspect", image))
        return found["Id"], tuple(found["RootFS"]["Layers"])

    def remove(self, image: str) -> None:
        self._said("rmi", image)

    def disk_bytes(self, image: str) -> int | None:
        """None unless the storage driver names the folders of the image."""
        layers = "{{.GraphDriver.Data.UpperDir}}:{{.GraphDriver.Data.LowerDir}}"
        said = self._said("image", "inspect", "--format", layers, image)
        if not said.startswith("/"):
            return None
        containers = self._said("ps", "--all", "--quiet", "--no-trunc", f"--filter=ancestor={image}").split()
        if containers:
            form = f"{layers}:{{{{.GraphDriver.Data.WorkDir}}}}:{{{{.StaticDir}}}}"
            said += self._said("container", "inspect", "--format", form, *containers)
        folders = [folder for line in said.splitlines() for folder in line.strip().split(":")]
        return allocated([folder for folder in folders if folder.startswith("/")])
