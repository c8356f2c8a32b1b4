"""Images in real engines when something goes wrong: the cell fails with the reason, nothing of it stays, and the next
block goes on.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import socketserver
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from isobench.cells.cell import measured
from isobench.daemons import session
from isobench.filesystem.paths import work_root
from isobench.images.layers import MANIFEST
from tests.busy import once
from tests.contract.image_box import BY_KIND, ENGINES, box, kept, left, only_fetched, there
from tests.contract.opening import inner

pytestmark = [pytest.mark.root, pytest.mark.tool("docker-registry")]
OWN_ENGINES = [pytest.param(name, marks=pytest.mark.docker) for name in ("docker-overlay2", "docker-containerd")]
PULLING = ("pulling the image: ", "podman pull: ", "ctr images pull: ", "skopeo copy: ")
"""How the reason begins, by engine."""


def blob_of(sandbox: Any, kind: str, *, uppermost: bool = False) -> Path:
    """The file in which the registry has the largest layer of an image, or the uppermost one."""
    layers = kept(sandbox).manifest(f"{sandbox.images()._run}/{kind}", "latest", MANIFEST)["layers"]
    chosen = layers[-1] if uppermost else max(layers, key=lambda layer: layer["size"])
    digest = chosen["digest"].partition(":")[2]
    return Path(kept(sandbox).state, "data/docker/registry/v2/blobs/sha256", digest[:2], digest, "data")


def truncated(blob: Path) -> None:
    os.truncate(blob, blob.stat().st_size // 2)


def altered(blob: Path) -> None:
    """Other bytes, as many."""
    content = bytearray(blob.read_bytes())
    content[len(content) // 2] ^= 0xFF
    blob.write_bytes(content)


@pytest.mark.parametrize("engine", [*ENGINES, OWN_ENGINES[1]])
@pytest.mark.parametrize("damage", [truncated, altered])
def test_a_layer_that_is_not_what_its_digest_says_fails_the_cell(damage: Any, engine: str) -> None:
    """With the engine's words; nothing of it stays, and with the layer as it was the next cell gives values."""
    with box(engine) as sandbox:
        scenario = BY_KIND["busybox"]
        only_fetched(sandbox, "busybox")
        blob = blob_of(sandbox, "busybox")
        whole, before = blob.read_bytes(), there(sandbox)
        damage(blob)
        failed = measured(scenario, sandbox)
        assert failed.failure is not None and not failed.values
        assert failed.failure.startswith(PULLING)
        assert re.search("verification failed|EOF|did not match|, expected sha256:", failed.failure)
        assert left(lambda: there(sandbox), before) == set()
        blob.write_bytes(whole)
        assert measured(scenario, sandbox).failure is None


@pytest.mark.docker
def test_containerd_with_the_layers_in_another_namespace_pulls_nothing_cold() -> None:
    """It would take them from there. The cell says so, and when they are gone the next one gives values."""
    with box("containerd") as sandbox:
        offer, ctr = only_fetched(sandbox, "busybox"), list(sandbox.images()._ctr)
        other = [*(word for word in ctr if "--namespace" not in word), f"--namespace={inner(sandbox).run}-other"]
        subprocess.run([*other, "images", "pull", "--plain-http", offer.image], check=True, capture_output=True)
        try:
            failed = measured(BY_KIND["busybox"], sandbox)
            assert failed.failure is not None and "has 2 layers of the image in another namespace" in failed.failure
        finally:
            subprocess.run([*other, "images", "rm", "--sync", offer.image], check=True, capture_output=True)
            subprocess.run([*other, "namespaces", "rm", other[-1].partition("=")[2]], check=True, capture_output=True)
        assert measured(BY_KIND["busybox"], sandbox).failure is None


@pytest.mark.parametrize("engine", [*ENGINES, OWN_ENGINES[1]])
def test_a_pull_that_ends_in_the_middle_leaves_no_layers(engine: str) -> None:
    """With the uppermost layer cut off, those below it have come and are unpacked. Podman would keep them, and find
    them in the next block; so would Docker with containerd's image store, for a while."""
    with box(engine) as sandbox:
        scenario = BY_KIND["layers-10"]
        only_fetched(sandbox, "layers-10")
        blob, before = blob_of(sandbox, "layers-10", uppermost=True), there(sandbox)
        whole = blob.read_bytes()
        truncated(blob)
        assert measured(scenario, sandbox).failure is not None
        assert left(lambda: there(sandbox), before) == set()
        blob.write_bytes(whole)
        assert measured(scenario, sandbox).failure is None


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@contextmanager
def relayed(port: int, most: int, die: Callable[[], None]) -> Iterator[int]:
    """A port at which a registry is reached until so many bytes have come from it; then it dies."""
    came = 0

    class Relay(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            nonlocal came
            with suppress(OSError), socket.create_connection(("127.0.0.1", port)) as there:
                threading.Thread(target=_pump, args=(self.request, there), daemon=True).start()
                while data := there.recv(1 << 16):
                    came += len(data)
                    if came > most:
                        die()
                        return
                    self.request.sendall(data)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Relay) as server:
        server.daemon_threads, server.block_on_close = True, False
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()


def killed(state: Path) -> None:
    """Kill the processes of a registry."""
    for pid in session.orphans(state):
        with suppress(ProcessLookupError):  # it ended with the one before it
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_registry_that_dies_in_the_middle_fails_the_cell(engine: str) -> None:
    """When half of the only layer has come. The next cell gets another registry."""
    with box(engine) as sandbox:
        scenario, images = BY_KIND["layers-1"], sandbox.images()
        offer = only_fetched(sandbox, "layers-1")
        before, registry = there(sandbox), kept(sandbox)
        with relayed(registry.port, offer.wire_bytes // 2, lambda: killed(registry.state)) as port:
            elsewhere = offer.image.replace(registry.address, f"127.0.0.1:{port}")
            images._known["layers-1"] = offer._replace(image=elsewhere)
            failed = measured(scenario, sandbox)
        assert not registry.answers()
        assert failed.failure is not None and failed.failure.startswith(PULLING) and not failed.values
        assert left(lambda: there(sandbox), before) == set()
        assert measured(scenario, sandbox).failure is None


@pytest.mark.parametrize("engine", OWN_ENGINES)
def test_the_process_that_an_own_engine_asks_dies_in_the_middle(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry itself lives on, and gets another process in the engine's network namespace. Again where all had
    come by then: this process may be late."""
    with box(engine) as sandbox:
        scenario, client = BY_KIND["layers-10"], inner(sandbox)._client
        only_fetched(sandbox, "layers-10")
        before, pull = there(sandbox), client.pull

        def interrupted(*words: Any, **options: Any) -> Iterator[Any]:
            victims = session.orphans(sandbox.images()._inside.state)
            for line in pull(*words, **options):
                while line.get("status") == "Pulling fs layer" and victims:
                    with suppress(ProcessLookupError):
                        os.kill(victims.pop(), signal.SIGKILL)
                yield line

        with monkeypatch.context() as patch:
            patch.setattr(client, "pull", interrupted)
            once(lambda: measured(scenario, sandbox), lambda cell: (cell.failure or "").startswith(PULLING))
        assert kept(sandbox).answers()
        assert left(lambda: there(sandbox), before) == set()
        assert measured(scenario, sandbox).failure is None


def stored_in(sandbox: Any, engine: str) -> Path:
    """Where an engine puts what it fetches (Docker, skopeo) or unpacks (Podman, containerd). Podman mounts a folder of
    it over itself, where the test's mount would be hidden."""
    if engine == "docker":
        return Path(inner(sandbox)._client.info()["DockerRootDir"], "tmp")
    if engine == "containerd":
        return Path(sandbox.images()._root, "io.containerd.snapshotter.v1.overlayfs/snapshots")
    return Path(inner(sandbox).workdir, "storage" if engine == "podman" else "umoci")


@contextmanager
def shared_mounts() -> Iterator[None]:
    """What is mounted in the work folder is also seen in the mount namespaces that are made meanwhile, as where systemd
    has made all mounts shared."""
    place = work_root()
    place.mkdir(mode=0o711, parents=True, exist_ok=True)
    subprocess.run(["mount", "--bind", str(place), str(place)], check=True)
    try:
        subprocess.run(["mount", "--make-shared", str(place)], check=True)
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_without_room_fails_the_cell(engine: str) -> None:
    """On a real file system that is too small; with room the next cell gives values."""
    with shared_mounts(), box(engine) as sandbox:
        scenario = BY_KIND["layers-1"]
        only_fetched(sandbox, "layers-1")
        before, folder = there(sandbox), stored_in(sandbox, engine)
        folder.mkdir(mode=0o700, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(folder)], check=True)
        try:
            failed = measured(scenario, sandbox)
            assert left(lambda: there(sandbox), before) == set()
        finally:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
        assert failed.failure is not None and failed.failure.startswith(PULLING) and not failed.values
        assert "no space left on device" in failed.failure
        assert left(lambda: there(sandbox), before) == set()
        assert measured(scenario, sandbox).failure is None
