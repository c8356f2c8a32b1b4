"""bubblewrap: every namespace, a bind-mounted root, no cgroup."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isobench.contracts.mechanism import Mechanism, Tool
from isobench.environments.runtimes._runtime import Driver, Runtime

if TYPE_CHECKING:
    from isobench.contracts.environment import Environment
    from isobench.environments.runtimes._sandbox import RuntimeSandbox


_BWRAP = Tool("bwrap", ("bubblewrap",))


class BwrapDriver(Driver):
    """`bwrap`: nothing but a command line."""

    def command(self, sandbox: RuntimeSandbox, name: str, probe_args: tuple[str, ...]) -> list[str]:
        options = [
            "--unshare-all",
            "--die-with-parent",
            "--bind",
            str(sandbox.root),
            "/",
            "--proc",
            "/proc",
            "--dev",
            "/dev",
        ]
        return ["bwrap", *options, "/probe", *probe_args]


class Bubblewrap(Runtime):
    """The sandbox that Flatpak uses."""

    tool = _BWRAP
    refused = "(?!)"  # it takes any path
    mechanisms = (
        Mechanism(
            "bubblewrap", programs=("bwrap",), tools=(_BWRAP,), needs=(_BWRAP.need("bubblewrap", everyday=False),)
        ),
    )

    def driver(self) -> Driver:
        return BwrapDriver()


ENVIRONMENTS: tuple[Environment, ...] = (
    Bubblewrap("bubblewrap", "bubblewrap", "the bwrap tool; no cgroup, no seccomp filter", "ns-all"),
)
