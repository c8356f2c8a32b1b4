"""What tests may need of the host. A test that the host cannot run is skipped with the reason; in CI, one that it could
run never is. No test depends on how fast the host is: hypothesis has no deadline. In CI it takes the same examples each
time, so that one that is found by chance refuses no change that has nothing to do with it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest

from isobench.core.errors import Unavailable
from isobench.environments.docker import _client as docker
from isobench.environments.libvirt import _connection as libvirt

hypothesis.settings.register_profile(
    "isobench",
    deadline=None,
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("isobench")


def _docker() -> str:
    try:
        docker.connect().close()
    except Unavailable as error:
        return error.reason
    return ""


def _libvirt() -> str:
    try:
        libvirt.connect().close()
    except Unavailable as error:
        return error.reason
    return ""


CAN: dict[str, Callable[[], bool]] = {
    "root": lambda: os.geteuid() == 0,
    "docker": lambda: os.geteuid() == 0 and shutil.which("dockerd") is not None,
    "libvirt": lambda: os.geteuid() == 0 and shutil.which("libvirtd") is not None,
    "kvm": lambda: os.access("/dev/kvm", os.R_OK | os.W_OK),
    "browser": lambda: shutil.which("chromium") is not None and shutil.which("chromedriver") is not None,
}
"""Marker -> whether this host could do it, found without asking isobench."""

LACKS: dict[str, Callable[[], str]] = {
    "root": lambda: "" if os.geteuid() == 0 else "needs root",
    "docker": _docker,
    "libvirt": _libvirt,
    "kvm": lambda: "" if Path("/dev/kvm").exists() else "there is no /dev/kvm",
    "browser": lambda: "" if CAN["browser"]() else "chromium and chromium-driver are not installed",
}
"""Marker -> what is lacking right now, or nothing."""

REAL = ("tests/contract/", "tests/e2e/")
"""Where tests of real environments are."""
STRICT = bool(os.environ.get("CI") or os.environ.get("ISOBENCH_NO_SKIPS"))
_found: dict[str, str] = {}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the lab unless it is named: it takes half an hour of both CPUs."""
    if "lab" in config.option.markexpr:
        return
    left_out = [item for item in items if item.get_closest_marker("lab")]
    items[:] = [item for item in items if item not in left_out]
    if left_out:
        config.hook.pytest_deselected(items=left_out)


def pytest_collection_finish(session: pytest.Session) -> None:
    """The tests of real environments begin on a clean host."""
    is_one_of_several = hasattr(session.config, "workerinput")
    if is_one_of_several or session.config.option.collectonly:
        return
    if any(item.nodeid.startswith(REAL) for item in session.items):
        remove_what_is_left()


def remove_what_is_left() -> None:
    """Of runs that were killed earlier: `clean` would find it for the tests that look."""
    if os.geteuid() == 0:
        subprocess.run([sys.executable, "-m", "isobench", "clean"], stdout=subprocess.DEVNULL, check=False)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what the host cannot do. If skips are forbidden, fail what it could do but is not set up for."""
    for marker, lacks in LACKS.items():
        if item.get_closest_marker(marker) is None:
            continue
        reason = _found.setdefault(marker, lacks())
        if reason and STRICT and CAN[marker]():
            pytest.fail(f"this host can do {marker}, but: {reason}")
        if reason:
            pytest.skip(reason)
    for wanted in item.iter_markers("tool"):
        (name,) = wanted.args
        if shutil.which(name) is None:  # provisioning installs every one of them
            (pytest.fail if STRICT else pytest.skip)(f"{name} is not installed")
