"""Images without an engine: what skopeo and umoci are told, and in which folder everything is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from isobench.contracts.capabilities import Capability, TellsWhyNot
from isobench.contracts.images import BuildsImages, UnknownCompression, VerifiesImages
from isobench.core.errors import MeasurementError, Unavailable
from isobench.daemons import registry
from isobench.environments.runtimes import _blob_cache, _umoci_images, oci
from isobench.environments.runtimes._bundle import BundleDriver
from isobench.environments.runtimes._sandbox import RuntimeSandbox
from isobench.environments.runtimes._umoci_images import UmociImages

IMAGE = "127.0.0.1:5000/isobench-1/busybox:latest"


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The words of every command."""
    words: list[list[str]] = []

    def output(command: list[str], seconds: float, *, environ: dict[str, str]) -> str:
        words.append(command)
        return ""

    monkeypatch.setattr(_umoci_images, "output", output)
    monkeypatch.setattr(_umoci_images, "find", lambda name: name)
    monkeypatch.setattr(_blob_cache, "lacking", lambda: ["CAP_SYS_ADMIN"])  # nothing is made on this host
    return words


def test_an_image_is_fetched_into_a_layout_and_unpacked_beside_it(tmp_path: Path, said: list[list[str]]) -> None:
    """And all of it goes with one folder."""
    images = UmociImages(tmp_path)
    pulled = images.pull(IMAGE)
    there = tmp_path / "umoci/busybox"
    copied, unpacked = said
    assert copied[0] == "skopeo" and copied[-2:] == [f"docker://{IMAGE}", f"oci:{there}/layout:latest"]
    assert {"--insecure-policy", "--remove-signatures", "--src-tls-verify=false"} <= set(copied)
    assert unpacked == ["umoci", "unpack", f"--image={there}/layout:latest", f"{there}/bundle-latest"]
    assert images.root_of(IMAGE) == there / "bundle-latest/rootfs" and pulled.fetched is not None
    images.clear("busybox")
    assert not there.exists()


def test_what_is_timed_is_not_what_isobench_makes_for_it(
    tmp_path: Path, said: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mounts for skopeo are made once, before all commands; umoci needs none."""
    made: list[str] = []

    class Namespace:
        def __init__(self, script: str, words: list[str], run: str, **options: str) -> None:
            made.append(run)

        def words(self) -> list[str]:
            return ["nsenter", "--mount=there"]

        def close(self) -> None:
            made.append("closed")

    monkeypatch.setattr(_blob_cache, "lacking", list)
    monkeypatch.setattr(_blob_cache, "_CACHE", tmp_path / "hosts")
    monkeypatch.setattr(_blob_cache, "MountNamespace", Namespace)
    monkeypatch.setattr(registry, "start", lambda state: state)
    images = UmociImages(tmp_path)
    images._running()  # a registry that is started, or started again, ends nothing of it
    images._registry = None
    for _ in range(2):
        images.pull(IMAGE)
    assert [words[:3] for words in said[::2]] == [["nsenter", "--mount=there", "skopeo"]] * 2
    assert [words[0] for words in said[1::2]] == ["umoci"] * 2
    images.close()
    assert made == [tmp_path.parent.name, "closed"]


def test_removing_frees_the_blobs_too(tmp_path: Path, said: list[list[str]]) -> None:
    images = UmociImages(tmp_path)
    (images.root_of(IMAGE)).mkdir(parents=True)
    images.remove(IMAGE)
    layout = f"{tmp_path}/umoci/busybox/layout"
    assert said == [["umoci", "rm", f"--image={layout}:latest"], ["umoci", "gc", f"--layout={layout}"]]
    assert not images.root_of(IMAGE).parent.exists()


@pytest.mark.parametrize("verified", [True, False])
def test_a_policy_is_the_only_difference(tmp_path: Path, said: list[list[str]], verified: bool) -> None:
    images = UmociImages(tmp_path)
    images.pull_by_policy(IMAGE, verified=verified)
    own, other = (f"--policy={images.policy(verified=one)}" for one in (verified, not verified))
    assert own in said[0] and other not in said[0] and "--insecure-policy" not in said[0]
    assert isinstance(images, VerifiesImages) and not isinstance(images, BuildsImages)


def test_what_a_tool_says_is_told(tmp_path: Path, said: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """With its name and its command; of a compression that is too new with what to do."""
    images = UmociImages(tmp_path)

    def fails(command: list[str], *words: object, **options: object) -> str:
        if command[0] == "umoci":
            raise MeasurementError("umoci unpack: blob is not correct mediatype: application/x.tar+zstd")
        return ""

    monkeypatch.setattr(_umoci_images, "output", fails)
    with pytest.raises(UnknownCompression, match=r"^umoci unpack: blob is not correct") as caught:
        images.pull(IMAGE)
    assert caught.value.remedy.startswith("for layers of zstd")


def test_a_folder_that_skopeo_cannot_use_is_named(tmp_path: Path, said: list[list[str]]) -> None:
    with pytest.raises(Unavailable, match=r"skopeo cannot use .*:"):
        UmociImages(tmp_path / "a:b")


def test_without_its_tools_runc_has_no_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And says which are missing. crun never has: its images would be the same."""
    runc, crun = oci.ENVIRONMENTS
    assert isinstance(runc, TellsWhyNot) and isinstance(crun, TellsWhyNot)
    for missing in (None, "skopeo", "umoci"):
        monkeypatch.setattr(oci, "_is_there", lambda name, missing=missing: name != missing)
        monkeypatch.setattr(_umoci_images, "find", lambda name, missing=missing: None if name == missing else name)
        assert (Capability.IMAGES in runc.capabilities) == (missing is None)
        assert Capability.IMAGES not in crun.capabilities and crun.why_without(Capability.IMAGES) is None
        if missing is not None:
            with pytest.raises(Unavailable, match=f"{missing} is not installed") as caught:
                UmociImages(tmp_path)
            assert caught.value.remedy == f"apt-get install {missing}"
            assert runc.why_without(Capability.IMAGES) == (f"{missing} is not installed", f"apt-get install {missing}")
    monkeypatch.setattr(oci, "_is_there", lambda name: False)
    why = ("skopeo and umoci are not installed", "apt-get install skopeo umoci")
    assert runc.why_without(Capability.IMAGES) == runc.why_without(Capability.SIGNED_IMAGES) == why


@pytest.mark.parametrize("has_version_2", [True, False])
def test_without_version_2_crun_has_no_cgroup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_version_2: bool
) -> None:
    """And says so; runc has one everywhere."""
    runc, crun = oci.ENVIRONMENTS
    assert isinstance(runc, TellsWhyNot) and isinstance(crun, TellsWhyNot)
    monkeypatch.setattr(oci, "_VERSION_2", str(tmp_path if has_version_2 else tmp_path / "none"))
    assert (Capability.LIMIT_CPU in crun.capabilities) == has_version_2
    why = crun.why_without(Capability.LIMIT_CPU)
    assert why is None if has_version_2 else why is not None and "version 2" in why.reason and why.remedy
    assert Capability.LIMIT_CPU in runc.capabilities and runc.why_without(Capability.LIMIT_CPU) is None


def test_an_instance_of_an_image_runs_in_what_was_unpacked(
    tmp_path: Path, said: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one, of no image, in the root file system of the sandbox."""
    roots: list[Path] = []
    monkeypatch.setattr(
        "isobench.environments.runtimes._bundle._write_bundle",
        lambda sandbox, *words: roots.append(sandbox.root),
    )
    sandbox: Any = RuntimeSandbox.__new__(RuntimeSandbox)
    sandbox.workdir, sandbox.root = tmp_path, tmp_path / "root"
    driver = BundleDriver("runc", [], keeps_images=True)
    for image in (IMAGE, ""):
        sandbox.image = image
        driver.command(sandbox, "name", ("ready",))
    assert roots == [driver.images(sandbox).root_of(IMAGE), tmp_path / "root"] and sandbox.root == tmp_path / "root"
