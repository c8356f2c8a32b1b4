"""Images in real engines: every kind is fetched, run, loaded, sent and removed; nothing stays, also of a killed run.

What fails is in tests/contract/test_image_faults.py.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from isobench.cells.cell import measured
from isobench.contracts.image_kinds import KINDS
from isobench.contracts.launch import of_image
from isobench.core import deadlines
from isobench.core.errors import MeasurementError
from isobench.daemons import session
from isobench.environments.docker import _client as docker
from isobench.environments.docker._client import LABEL
from isobench.environments.runtimes import _ctr
from isobench.images.kinds import composition_of_kind
from isobench.images.layers import MANIFEST
from isobench.lifecycle import leftovers
from isobench.planning import catalog
from isobench.processes.accounting import pids_with
from tests.busy import soon
from tests.contract.image_box import BY_KIND, ENGINES, box, kept, left, offered, only_fetched, present, there
from tests.contract.opening import inner

pytestmark = [pytest.mark.root, pytest.mark.tool("docker-registry")]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", ["scratch", "distroless"])
def test_every_cost_is_taken_of_an_image(kind: str, engine: str) -> None:
    """All that the engine tells, twice: what the cell of one block made is no longer there for the next one's. By then
    it has been built four times, so that the second cell does not build it."""
    with box(engine) as sandbox:
        scenario = BY_KIND[kind]
        assert scenario.lacks() is None
        facts = scenario.facts(sandbox)
        for again in (False, True):
            if again:
                only_fetched(sandbox, kind)
            values = scenario.measure(sandbox)
            absent = {"pull-top"} if kind == "scratch" else set()
            absent |= {"build", "build-cached", "import"} if again else set()
            absent |= {"create"} if engine != "docker" else set()
            absent |= {"fetch", "unpack"} if engine in ("podman", "containerd") else set()
            absent |= {"build", "build-cached", "import"} if engine in ("containerd", "runc") else set()
            absent |= {"buildkit", "buildkit-cached"}  # tests/contract/test_drivers.py
            assert {metric.name for metric in scenario.metrics} - set(values) == absent
            assert all(value > 0 for value in values.values())
            if "fetch" in values:
                assert values["pull"] == pytest.approx(values["fetch"] + values["unpack"])
            if engine == "docker":
                assert values["create"] < values["start"]
            assert values["first-byte"] == values["pull"] + values["start"]
            assert values["disk"] >= composition_of_kind(kind).bytes
            first, ten = (values[f"disk-{which}"] - values["disk"] for which in ("first", "tenth"))
            assert first > 0 and ten == (first if engine == "runc" else pytest.approx(10 * first, rel=0.5))
            assert engine != "docker" or first < 1 << 20  # a layer without files, and the engine's about it
        assert int(facts["layers"]) == composition_of_kind(kind).layers
        assert ("without.import" in facts) == (engine in ("containerd", "runc"))
        assert ("rebuilt" in facts) == (engine in ("docker", "podman"))
        assert "not known" not in facts.get("rebuilt", "")
        assert abs(int(facts["inside.files"]) - int(facts["files"])) <= 3 and facts["inside.setuid"] == "0"


@pytest.mark.tool("zstd")
@pytest.mark.parametrize("engine", ENGINES)
def test_layers_of_zstd_are_pulled_or_the_engine_is_too_old(engine: str) -> None:
    """Docker unpacks them since version 23.0. Of an older one there are no values, and nothing stays."""
    with box(engine) as sandbox:
        found = measured(BY_KIND["distroless-zstd"], sandbox)
        if engine == "docker" and int(sandbox.facts()["version.docker"].partition(".")[0]) < 23:
            assert found.failure is None and "Docker 23.0 or newer" in found.short and not found.values
        elif engine == "runc" and not found.values:
            assert found.failure is None and "an engine, or a newer umoci" in found.short
        else:
            assert found.failure is None and {"pull", "pull-top", "load", "push", "disk"} <= set(found.values)


@pytest.mark.parametrize("engine", ENGINES)
def test_what_is_pushed_is_what_was_pulled(engine: str) -> None:
    """Compressed anew by the engine: the registry has all layers under the other name, of nearly the same size."""
    with box(engine) as sandbox:
        images, offer = sandbox.images(), offered(sandbox, "distroless")
        images.pull(offer.image)
        images.remove(offer.image)
        images.load(offer.archive)
        images.push(offer.image, offer.elsewhere)
        images.clear("distroless")
        repository = offer.elsewhere.partition("/")[2].rpartition(":")[0]
        found = kept(sandbox).manifest(
            repository, "latest", "application/vnd.docker.distribution.manifest.v2+json, " + MANIFEST
        )
        sizes = [layer["size"] for layer in found["layers"]]
        assert len(sizes) == 4 and sum(sizes) == pytest.approx(offer.wire_bytes, rel=0.1)


@pytest.mark.parametrize("engine", ENGINES[:2])
def test_what_is_built_can_be_run_and_has_its_layers(engine: str) -> None:
    """As many as were added. Built again it takes as much, with a cache it has the same layers, and nothing stays."""
    with box(engine) as sandbox:
        images, offer = sandbox.images(), offered(sandbox, "distroless")
        made = []
        layers = []
        for cached in (False, True, False):
            images.build(offer.context, offer.image, cached=cached)
            made.append(images.disk_bytes(offer.image))
            layers.append(images.digests(offer.image)[1])
            with sandbox.launch(of_image(offer.image)) as instance:
                instance.wait()
        assert made[0] >= composition_of_kind("distroless").bytes and len(set(made)) == 1
        assert len(layers[0]) >= composition_of_kind("distroless").layers and layers[0] == layers[1]
        images.clear("distroless")


@pytest.mark.parametrize("engine", ENGINES[:2])
def test_what_is_imported_can_be_run(engine: str) -> None:
    """With all files of the image's layers. Imported again it is there once, and nothing of it stays."""
    with box(engine) as sandbox:
        images, offer = sandbox.images(), offered(sandbox, "distroless")
        before = there(sandbox)
        for _ in range(2):
            images.import_files(offer.root, offer.image)
            assert images.disk_bytes(offer.image) >= composition_of_kind("distroless").bytes
            with sandbox.launch(of_image(offer.image)) as instance:
                instance.wait()
            images.clear("distroless")
            assert left(lambda: there(sandbox), before) == set()


@pytest.mark.docker
def test_a_layer_that_another_image_has_is_sent_all_the_same() -> None:
    """Every kind has the probe, and what was pushed of one is not there for the next."""
    with box() as sandbox:
        for kind in ("scratch", "busybox", "scratch"):
            only_fetched(sandbox, kind)
            assert measured(BY_KIND[kind], sandbox).failure is None


@pytest.mark.docker
def test_an_image_that_is_there_is_not_taken_for_a_cold_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has its layers: the cell says so instead of giving a time."""
    with box() as sandbox:
        scenario, images = BY_KIND["busybox"], sandbox.images()
        images.pull(offered(sandbox, "busybox").below)
        with monkeypatch.context() as patch:
            patch.setattr(images, "clear", lambda name: None)
            with pytest.raises(MeasurementError, match="1 layers of the image were there already"):
                scenario.measure(sandbox)
        images.clear("busybox")


HARNESS = """
import time
from isobench.images.kinds import layers_of_kind
from isobench.lifecycle.workspace import new_run_id, workspace
from isobench.planning import catalog
from tests.contract.opening import learn_this_host
learn_this_host()
with workspace(new_run_id(), catalog.sweep) as workdir:
    (workdir / "docker").mkdir()
    with catalog.environments()["docker"].open(workdir / "docker") as sandbox:
        images = sandbox.images()
        offer = images.offer("busybox", layers_of_kind("busybox"))
        images.load(offer.archive)
        images.push(offer.image, offer.elsewhere)
        images.pull(offer.below)
        print(workdir, flush=True)
        {end}
"""


SETTINGS = 'mount --bind "$0" /etc/containers && exec "$@"'
"""Runs a command that sees other settings of Podman and skopeo."""
BLOCKED = """
[[registry]]
location = "127.0.0.1"
blocked = true
[[registry]]
location = "localhost"
blocked = true
"""


@pytest.mark.parametrize("engine", [ENGINES[1], ENGINES[3]])
def test_an_engine_reaches_the_registry_whatever_the_host_says_of_others(engine: str, tmp_path: Path) -> None:
    """A host may block all registries but its own, which is none of this one, or have a mirror of all."""
    (tmp_path / "registries.conf").write_text(BLOCKED)
    (tmp_path / "policy.json").write_bytes(Path("/etc/containers/policy.json").read_bytes())
    command = [sys.executable, "-c", HARNESS.replace('"docker"', f'"{engine}"').replace("{end}", "")]
    apart = ["unshare", "--mount", "sh", "-c", SETTINGS, str(tmp_path)]
    done = subprocess.run([*apart, *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-500:]


@pytest.mark.parametrize("engine", [ENGINES[1], ENGINES[3]])
def test_no_name_has_to_be_looked_up(engine: str, tmp_path: Path) -> None:
    """A host may have the name localhost for the other address alone, or for none."""
    (tmp_path / "hosts").write_text("::1 localhost\n")
    command = [sys.executable, "-c", HARNESS.replace('"docker"', f'"{engine}"').replace("{end}", "")]
    apart = ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"', str(tmp_path / "hosts")]
    done = subprocess.run([*apart, *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-500:]


@pytest.mark.tool("podman")
def test_another_driver_of_podman_is_told(tmp_path: Path) -> None:
    """The host's storage.conf chooses it. What vfs takes is not known, so that no number is given for it."""
    (tmp_path / "storage.conf").write_text('[storage]\ndriver = "vfs"\ngraphroot = "/none"\nrunroot = "/none"\n')
    (tmp_path / "policy.json").write_bytes(Path("/etc/containers/policy.json").read_bytes())
    measuring = "print(sandbox.facts()['storage.driver'], images.disk_bytes(offer.below))"
    command = [sys.executable, "-c", HARNESS.replace('"docker"', '"podman"').replace("{end}", measuring)]
    apart = ["unshare", "--mount", "sh", "-c", SETTINGS, str(tmp_path)]
    done = subprocess.run([*apart, *command], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[1:] == ["vfs None"], done.stderr[-500:]


@pytest.mark.docker
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_images_and_registry_are_gone_with_their_run(number: signal.Signals) -> None:
    """After Ctrl-C at once, after kill -9 with `clean`: by every name that the engine had for them."""
    client = docker.connect()
    before = present(client)
    command = [sys.executable, "-c", HARNESS.replace("{end}", "time.sleep(600)")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as harness:
        assert harness.stdout is not None
        workdir = Path(harness.stdout.readline().strip())
        mine = {"label": [f"{LABEL}={workdir.name}", "isobench.image=busybox"]}
        assert len(client.images(filters=mine)) == 2
        harness.send_signal(number)
        harness.wait(timeout=deadlines.stretched(120))
    if number == signal.SIGKILL:
        assert client.images(filters=mine) != []
        assert [line for line in leftovers.clean(catalog.sweep) if "not cleaned" in line] == []
    assert session.orphans(workdir / "docker/images/registry") == [] and not workdir.exists()
    assert left(lambda: present(client), before) == set()
    client.close()


@pytest.mark.parametrize("engine", [ENGINES[1], ENGINES[3]])
def test_podman_and_skopeo_note_nothing_for_the_host(engine: str) -> None:
    """What it remembers of layers and registries is the sandbox's, also of the shared root file system."""
    kept_by_host = Path("/var/lib/containers/cache")

    def noted() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in kept_by_host.glob("*")}

    before, was_there = noted(), kept_by_host.exists()
    with box(engine) as sandbox:
        BY_KIND["busybox"].measure(sandbox)
        own = [path.stat().st_size for path in (inner(sandbox).workdir / "cache").iterdir()]
        assert own and min(own) > 0
    assert noted() == before and kept_by_host.exists() == was_there


@pytest.mark.docker
def test_a_namespace_of_containerd_is_gone_after_its_run_was_killed() -> None:
    """With its images, also one of which a part had been fetched, and the lease that keeps that."""
    command = [sys.executable, "-c", HARNESS.replace('"docker"', '"containerd"').replace("{end}", "time.sleep(600)")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as harness:
        assert harness.stdout is not None
        run = Path(harness.stdout.readline().strip()).name
        ctr = [*_ctr._ctr(run)]
        subprocess.run([*ctr, "leases", "create", "--id=half", "--expires=24h"], check=True, capture_output=True)
        partly = [*ctr, "content", "ingest", "--expected-size=4", "half"]
        with subprocess.Popen(partly, stdin=subprocess.PIPE, env={**os.environ, "CONTAINERD_LEASE": "half"}) as ingest:
            assert ingest.stdin is not None
            ingest.stdin.write(b"ab")
            ingest.stdin.flush()
            harness.kill()
            harness.wait()
            ingest.kill()
    removed = leftovers.clean(catalog.sweep)
    assert [line for line in removed if "not cleaned" in line] == []
    assert [line for line in removed if line.startswith("image ")] != []
    assert run not in _ctr._said("default", "", "namespaces", "list", "--quiet").split()


@pytest.mark.tool("skopeo")
@pytest.mark.tool("umoci")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_what_skopeo_and_umoci_were_doing_ends_with_their_run(number: signal.Signals) -> None:
    """Their processes, their files, and the folder of the host over which their cache was mounted."""
    kept_by_host = Path("/var/lib/containers/cache")
    was_there = kept_by_host.exists()
    pulling = 'while True: images.clear("busybox"), images.pull(offer.image)'
    command = [sys.executable, "-c", HARNESS.replace('"docker"', '"runc"').replace("{end}", pulling)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as harness:
        assert harness.stdout is not None
        workdir = Path(harness.stdout.readline().strip())
        time.sleep(0.2)  # somewhere in the middle
        harness.send_signal(number)
        harness.wait(timeout=deadlines.stretched(120))
    if number == signal.SIGKILL:
        assert [line for line in leftovers.clean(catalog.sweep) if "not cleaned" in line] == []
    assert not workdir.exists() and kept_by_host.exists() == was_there
    assert soon(lambda: pids_with(f"/{workdir.name}/") == [])


def test_there_is_a_scenario_for_every_kind() -> None:
    assert list(BY_KIND) == list(KINDS)
