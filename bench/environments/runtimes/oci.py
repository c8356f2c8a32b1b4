"""OCI runtimes without an engine: runc and crun run a bundle with the same configuration as Docker's. Images for runc
are fetched by skopeo and unpacked by umoci, if both are installed.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from isobench.contracts.capabilities import OF_A_CGROUP, Capability, Lack
from isobench.contracts.mechanism import Mechanism, Tool
from isobench.environments._mechanism import REGISTRY, SIGNING
from isobench.environments.runtimes._runtime import Runtime
from isobench.processes.programs import search_path

if TYPE_CHECKING:
    from isobench.contracts.environment import Environment
    from isobench.environments.runtimes._runtime import Driver

_VERSION_2 = "/sys/fs/cgroup/cgroup.controllers"
"""Exists where version 2 has all controllers."""
_ONLY_VERSION_2 = "boot with systemd.unified_cgroup_hierarchy=1, for cgroup version 2"
_OF_IMAGES = frozenset({Capability.IMAGES, Capability.SIGNED_IMAGES})


def _sweep(run: str) -> list[str]:
    from isobench.environments.runtimes._bundle import sweep

    return sweep(run)


_RUNC, _CRUN = Tool("runc", ("runc",)), Tool("crun", ("crun",))
MECHANISM = Mechanism(
    "OCI runtimes",
    _sweep,
    programs=("runc", "crun", "runsc"),
    tools=(_RUNC, _CRUN),
    needs=(_RUNC.need("runc, containerd and Docker"), _CRUN.need("crun", everyday=False)),
)


_SKOPEO, _UMOCI = Tool("skopeo", ("skopeo",)), Tool("umoci", ("umoci",))
COPYING = Mechanism(
    "images without an engine",
    programs=("skopeo", "umoci"),
    tools=(_SKOPEO, _UMOCI),
    needs=(_UMOCI.need("images without an engine", everyday=False),),
)


class Oci(Runtime):
    """One OCI runtime, named after its tool (`_bundle.py`)."""

    def __init__(
        self, tool: Tool, title: str, adds: str, compared_with: str, *, copying: tuple[Mechanism, ...] = ()
    ) -> None:
        """`copying` are the mechanisms by which it has images."""
        super().__init__(tool.name, title, adds, compared_with, ("containers", "ladder", "kinds"))
        self.tool = tool
        self.mechanisms = (MECHANISM, *copying)

    @property
    def capabilities(self) -> frozenset[Capability]:  # type: ignore[override] # what they can do depends on the host
        """Without a cgroup only open files are limited, and without their tools there are no images."""
        limits = frozenset({Capability.LIMIT_FILES}) | (frozenset() if self._options() else OF_A_CGROUP)
        images = _OF_IMAGES if self._keeps_images() else frozenset()
        return Runtime.capabilities | limits | images

    def why_without(self, capability: Capability) -> Lack | None:
        """Tools that are not installed, or that it has no cgroup here (`TellsWhyNot`)."""
        if capability in _OF_IMAGES and COPYING in self.mechanisms and (missing := _missing_tools()):
            words = f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed"
            return Lack(words, f"apt-get install {' '.join(missing)}")
        if capability in OF_A_CGROUP and self._options():
            return Lack(f"{self.tool.name} has a cgroup only where version 2 has all controllers", _ONLY_VERSION_2)
        return None

    def driver(self) -> Driver:
        from isobench.environments.runtimes._bundle import BundleDriver

        return BundleDriver(self.tool.name, self._options(), keeps_images=self._keeps_images())

    def _keeps_images(self) -> bool:
        return COPYING in self.mechanisms and not _missing_tools()

    def _options(self) -> list[str]:
        if self.tool.name == "crun" and not os.path.exists(_VERSION_2):  # noqa: PTH110 (`isobench list` asks)
            return ["--cgroup-manager=disabled"]  # otherwise it refuses the older layouts
        return []


def _missing_tools() -> list[str]:
    """The tools for images that are not installed."""
    return [tool.name for tool in COPYING.tools if not _is_there(tool.name)]


def _is_there(program: str) -> bool:
    """Like `find`, which imports too much for `isobench list`."""
    return any(os.access(f"{folder}/{program}", os.X_OK) for folder in search_path().split(os.pathsep))


ENVIRONMENTS: tuple[Environment, ...] = (
    Oci(
        _RUNC,
        "runc",
        "an OCI runtime, which reads its configuration and does what was done by hand",
        "handmade",
        copying=(REGISTRY, SIGNING, COPYING),
    ),
    Oci(_CRUN, "crun", "an OCI runtime written in C instead of Go", "runc"),
)
