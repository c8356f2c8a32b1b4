"""Signed images in real engines: verified with a key that was made for the test, refused if anything is wrong with
them; nothing of GPG remains, and the host's settings stay as they were."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from isobench.cells.cell import measured
from isobench.contracts.images import Rejected
from isobench.core import deadlines
from isobench.core.errors import MeasurementError
from isobench.daemons import session
from isobench.images.kinds import layers_of_kind
from isobench.lifecycle import leftovers
from isobench.planning import catalog
from isobench.processes.accounting import process_name
from isobench.scenarios.image_signed import SignedImage
from tests.contract.opening import opened

pytestmark = [pytest.mark.root, *map(pytest.mark.tool, ("docker-registry", "gpg", "gpg-agent"))]
ENGINES = [
    pytest.param("podman", marks=pytest.mark.tool("podman")),
    pytest.param("runc", marks=[pytest.mark.tool("skopeo"), pytest.mark.tool("umoci"), pytest.mark.tool("runc")]),
]
SCENARIO = SignedImage()
OF_GPG = {"gpg", "gpg-agent", "keyboxd", "dirmngr", "scdaemon"}


def agents() -> set[int]:
    """The processes of GPG on this host."""
    pids = (int(path.name) for path in Path("/proc").glob("[0-9]*"))
    return {pid for pid in pids if process_name(pid) in OF_GPG}


def settings() -> dict[str, float]:
    """What is on this host of containers' settings and of GPG, and when each was changed."""
    folders = (Path("/etc/containers"), *(Path.home() / name for name in (".gnupg", ".config/containers")))
    found = [path for folder in folders for path in (folder, *folder.rglob("*"))]
    found += [Path("/dev/shm/gnupg"), *Path("/run/user").glob("*/gnupg")]
    return {str(path): path.stat().st_mtime for path in found if path.exists()}


@pytest.fixture
def untouched() -> Iterator[None]:
    before, known = agents(), settings()
    yield
    deadline = time.monotonic() + deadlines.stretched(30)
    while agents() - before and time.monotonic() < deadline:
        time.sleep(0.1)
    assert agents() <= before and settings() == known


@contextmanager
def box(engine: str) -> Iterator[Any]:
    """An engine's sandbox, with the members that only one with images has."""
    with opened(engine) as sandbox:
        yield sandbox


def signed(sandbox: Any) -> Any:
    return sandbox.images().signed("signed", layers_of_kind("scratch"))


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("engine", ENGINES)
def test_both_pulls_are_timed_in_every_block(engine: str) -> None:
    """And an unsigned image and an altered one are refused there."""
    assert SCENARIO.lacks() is None
    with box(engine) as sandbox:
        for _ in range(2):
            found = measured(SCENARIO, sandbox)
            assert found.failure is None and set(found.values) == {metric.name for metric in SCENARIO.metrics}
            assert all(value > 0 for value in found.values.values())


@pytest.mark.parametrize("engine", ENGINES)
def test_a_policy_that_lets_everything_through_fails_the_cell(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with box(engine) as sandbox:
        images = sandbox.images()
        lax = images.policy(verified=False)
        monkeypatch.setattr(images, "policy", lambda *, verified: lax)
        found = measured(SCENARIO, sandbox)
    assert found.failure is not None and not found.values
    assert "a policy that demands a signature let an unsigned image through" in found.failure


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("engine", ENGINES)
def test_a_signature_that_is_damaged_or_a_strangers_is_refused(engine: str) -> None:
    """Of the very image that is accepted with its own."""
    with box(engine) as sandbox:
        images, image = sandbox.images(), signed(sandbox).image
        images.pull_by_policy(image, verified=True)
        images.clear("signed")
        own = (images._signatures / "signature").read_bytes()
        places = [*images._signatures.glob("lookaside/**/signature-1")]
        damaged = bytearray(own)
        damaged[len(damaged) // 2] ^= 0xFF
        key = (images._signatures / "key.gpg").read_bytes()
        images._sign(image, "sha256:" + "0" * 64)  # with another key
        strangers = (images._signatures / "signature").read_bytes()
        (images._signatures / "key.gpg").write_bytes(key)
        for content in (bytes(damaged), strangers, b"", b"x" * 100):
            for place in places:
                place.write_bytes(content)
            with pytest.raises(Rejected if content in (bytes(damaged), strangers) else MeasurementError):
                images.pull_by_policy(image, verified=True)
        for place in places:
            place.write_bytes(own)
        images.pull_by_policy(image, verified=True)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_registry_that_died_has_refused_nothing(engine: str) -> None:
    """The cell fails with that reason; the next one has a registry with another address, and signs for that."""
    with box(engine) as sandbox:
        image = signed(sandbox).image
        for pid in session.orphans(sandbox.images()._registry.state):
            with suppress(ProcessLookupError):  # it ended with the one before it
                os.kill(pid, signal.SIGKILL)
        with pytest.raises(Exception, match=r"(?i)refused|reset|EOF") as caught:
            sandbox.images().pull_by_policy(image, verified=True)
        assert not isinstance(caught.value, Rejected)
        assert measured(SCENARIO, sandbox).failure is None
        assert signed(sandbox).image != image


HARNESS = """
from isobench.images.kinds import layers_of_kind
from isobench.lifecycle.workspace import new_run_id, workspace
from isobench.planning import catalog
from tests.contract.opening import learn_this_host
learn_this_host()
with workspace(new_run_id(), catalog.sweep) as workdir:
    (workdir / "podman").mkdir()
    with catalog.environments()["podman"].open(workdir / "podman") as sandbox:
        images = sandbox.images()
        images.signed("signed", layers_of_kind("scratch"))
        print(workdir, flush=True)
        while True:
            images._sign("x/y:image", "sha256:" + "0" * 64)
"""


@pytest.mark.usefixtures("untouched")
@pytest.mark.tool("podman")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_nothing_of_gpg_outlives_its_run(number: signal.Signals) -> None:
    """Killed while it signs."""
    with subprocess.Popen(
        [sys.executable, "-c", HARNESS], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as harness:
        assert harness.stdout is not None
        workdir = Path(harness.stdout.readline().strip())
        time.sleep(0.2)  # somewhere in the middle
        harness.send_signal(number)
        harness.wait(timeout=deadlines.stretched(120))
    if number == signal.SIGKILL:
        assert [line for line in leftovers.clean(catalog.sweep) if "not cleaned" in line] == []
    assert not workdir.exists()
