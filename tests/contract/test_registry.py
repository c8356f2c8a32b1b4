"""The private registry: a real one, with which nobody is confused, and of which nothing stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from isobench.core.errors import MeasurementError, Unavailable
from isobench.daemons import registry, session
from isobench.filesystem.paths import work_root
from isobench.images.kinds import layers_of_kind
from isobench.images.layers import MANIFEST, Layered, digest_of, image_of_layers
from isobench.lifecycle import leftovers
from isobench.planning import catalog
from tests.busy import soon

pytestmark = pytest.mark.tool("docker-registry")

HARNESS = """
import sys, time
from pathlib import Path
from isobench.daemons import registry
from isobench.lifecycle.workspace import new_run_id, workspace
from tests.contract.opening import learn_this_host
learn_this_host()
with workspace(new_run_id()) as workdir:
    (workdir / "some").mkdir()
    kept = registry.start(workdir / "some/registry")
    print(kept.state, flush=True)
    time.sleep(600)
"""


def image() -> Layered:
    return image_of_layers(layers_of_kind("scratch"), {"isobench.run": "test"})


def put(kept: registry.Registry, one: Layered, repository: str = "some/image") -> None:
    for digest, blob in one.blobs.items():
        kept.put_blob(repository, digest, blob)
    kept.put_manifest(repository, "latest", one.manifest, MANIFEST)


def test_it_has_what_was_put_into_it_until_it_is_forgotten(tmp_path: Path) -> None:
    """By the manifest as it is sent; what was put twice is there once."""
    kept = registry.start(tmp_path / "registry")
    try:
        one = image()
        put(kept, one)
        put(kept, one)
        found = kept.manifest("some/image", "latest", MANIFEST)
        assert found["config"]["digest"] == digest_of(one.config)
        assert [layer["size"] for layer in found["layers"]] == [layer.size for layer in one.layers]
        kept.forget("some/image")
        with pytest.raises(MeasurementError, match=r"the registry at 127\.0\.0\.1:\d+: manifest unknown"):
            kept.manifest("some/image", "latest", MANIFEST)
        put(kept, one)
        assert kept.manifest("some/image", "latest", MANIFEST) == found
    finally:
        kept.stop()
    assert session.orphans(kept.state) == [] and not kept.answers()
    kept.stop()


def test_a_blob_that_is_not_what_its_digest_says_is_refused(tmp_path: Path) -> None:
    kept = registry.start(tmp_path / "registry")
    try:
        with pytest.raises(MeasurementError, match="provided digest did not match uploaded content"):
            kept.put_blob("some/image", digest_of(b"one"), b"another")
    finally:
        kept.stop()


def test_only_the_loopback_reaches_it(tmp_path: Path) -> None:
    """It has no password: at any other address of this host nobody answers."""
    kept = registry.start(tmp_path / "registry")
    try:
        rows = [line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines() if " 0A " in line]
        assert [row for row in rows if int(row.rpartition(":")[2], 16) == kept.port] == [f"0100007F:{kept.port:04X}"]
        assert not any(
            int(line.split()[1].rpartition(":")[2], 16) == kept.port
            for line in Path("/proc/net/tcp6").read_text().splitlines()
            if " 0A " in line
        )
    finally:
        kept.stop()


def test_two_have_different_ports_and_one_that_was_killed_is_started_again(tmp_path: Path) -> None:
    """What it had is still there."""
    first, second = registry.start(tmp_path / "first"), registry.start(tmp_path / "second")
    try:
        assert first.port != second.port
        put(first, image())
        for pid in session.orphans(first.state):
            with suppress(ProcessLookupError):  # it ended with the one before it
                os.kill(pid, signal.SIGKILL)
        with pytest.raises(MeasurementError, match="the registry at"):
            first.manifest("some/image", "latest", MANIFEST)
        assert not first.answers() and second.answers()
        first.stop()
        first = registry.start(tmp_path / "first")
        assert first.manifest("some/image", "latest", MANIFEST)["schemaVersion"] == 2
    finally:
        first.stop()
        second.stop()


@pytest.mark.root
def test_a_folder_without_room_is_said(tmp_path: Path) -> None:
    """On a real file system that is too small."""
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(small)], check=True)
    try:
        kept = registry.start(small / "registry")
        try:
            with pytest.raises(MeasurementError, match="no space left on device"):
                put(kept, image())
        finally:
            kept.stop()
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_without_the_program_it_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "find", lambda name: None)
    with pytest.raises(Unavailable, match="docker-registry is not installed") as failed:
        registry.start(tmp_path / "registry")
    assert failed.value.remedy == "apt-get install docker-registry" and not (tmp_path / "registry").exists()


@pytest.mark.parametrize("hang", [False, True], ids=["killed", "killed while it hangs"])
def test_it_is_gone_with_a_killed_run(hang: bool) -> None:
    """It ends with its harness; one that hangs is ended by `clean`, as is all that names the run's folder."""
    with subprocess.Popen([sys.executable, "-c", HARNESS], stdout=subprocess.PIPE, text=True) as harness:
        assert harness.stdout is not None
        state = Path(harness.stdout.readline().strip())
        pids = session.orphans(state)
        assert len(pids) == 2 and state.is_relative_to(work_root())
        if hang:
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
        harness.kill()
        harness.wait()
    assert session.orphans(state) == pids if hang else soon(lambda: session.orphans(state) == [])
    done = leftovers.clean(catalog.sweep)
    assert soon(lambda: session.orphans(state) == []) and not state.parent.parent.exists()
    assert [line for line in done if "not cleaned" in line] == []
