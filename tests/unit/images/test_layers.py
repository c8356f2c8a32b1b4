"""Images of layers: the same content is the same image, and it is what a registry, an engine and isobench read."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from isobench.contracts.images import Layer
from isobench.core.errors import BuildError
from isobench.images import layers as made
from isobench.images.archive import Content
from isobench.images.image import image_of
from isobench.images.layers import (
    digest_of,
    files_of,
    image_of_layers,
    is_gzip,
    layers_of,
    members,
    with_zstd,
    write_archive,
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of this test's own."""
    monkeypatch.setenv("ISOBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path


def contents(folder: Path) -> list[dict[Path, Content] | Path]:
    """A layer with a text, a link and an empty folder; a program; a tree that somebody else packed."""
    (folder / "program").write_text("program")
    (folder / "program").chmod(0o700)
    os.utime(folder / "program", (1, 1))
    with tarfile.open(folder / "tree.tar", "w") as tree:
        tree.add(folder / "program", "./opt/tree")
    return [
        {Path("etc/text"): b"text", Path("bin/link"): "/etc/text", Path("tmp"): None},
        {Path("bin/program"): folder / "program"},
        folder / "tree.tar",
    ]


def test_the_same_content_is_the_same_image(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In two caches; in one it is made once. Who asks for other labels has the same layers in another image."""
    first = layers_of(contents(cache))
    assert layers_of(contents(cache)) == first
    monkeypatch.setenv("ISOBENCH_CACHE", str(cache / "other"))
    second = layers_of(contents(cache))
    assert [one[1:] for one in first] == [one[1:] for one in second] and first[0].blob != second[0].blob
    one, same, other = (image_of_layers(first, {"of": name}) for name in ("a", "a", "b"))
    assert one == same and one.manifest != other.manifest and one.layers == other.layers


def test_the_files_of_all_layers_are_one_archive(cache: Path) -> None:
    """As a root file system is: not compressed, the lowest layer first, and made once. A folder of two layers is in it
    once: engines refuse a path that comes twice. What tar unpacks of it is what the layers have."""
    layers = layers_of(contents(cache))
    archive = files_of(layers)
    assert files_of(layers) == archive
    with tarfile.open(archive, "r:") as packed:
        said = [(one.name, one.type, one.mode, one.mtime) for one in packed]
    every = [(one.name, one.type, one.mode, one.mtime) for one, _ in members(layers)]
    assert said == list(dict.fromkeys(every)) != every
    (cache / "root").mkdir()
    subprocess.run(["tar", "--extract", f"--file={archive}", f"--directory={cache}/root"], check=True)
    assert (cache / "root/etc/text").read_text() == "text"
    assert (cache / "root/bin/link").readlink() == Path("/etc/text")
    assert (cache / "root/opt/tree").read_text() == (cache / "root/bin/program").read_text() == "program"


@pytest.mark.parametrize("number", [0, 1])
def test_other_content_is_another_layer(cache: Path, number: int) -> None:
    """The others stay what they are."""
    changed = contents(cache)
    changed[number] = {Path("etc/text"): b"text", Path("bin/link"): b"/etc/text", Path("tmp"): None}
    pairs = zip(layers_of(contents(cache)), layers_of(changed), strict=True)
    assert [one.digest == other.digest for one, other in pairs] == [at != number for at in range(3)]


def test_digests_and_sizes_are_those_of_the_bytes(cache: Path) -> None:
    """Of the blob, and of the archive in it; and the documents name them all."""
    layers = layers_of(contents(cache))
    for layer in layers:
        blob = layer.blob.read_bytes()
        assert (layer.size, layer.digest) == (len(blob), digest_of(blob))
        assert layer.diff_id == f"sha256:{hashlib.sha256(gzip.decompress(blob)).hexdigest()}"
    image = image_of_layers(layers, {})
    manifest, config = json.loads(image.manifest), json.loads(image.config)
    assert [one["digest"] for one in manifest["layers"]] == [layer.digest for layer in layers]
    assert config["rootfs"]["diff_ids"] == [layer.diff_id for layer in layers]
    assert manifest["config"]["digest"] == digest_of(image.config) and set(image.blobs) >= {
        one["digest"] for one in (manifest["config"], *manifest["layers"])
    }


def test_a_layer_has_its_files_and_the_folders_above_them(cache: Path) -> None:
    """All root's, folders before what is in them, modes as everywhere; another's tree as it is."""
    first, second, tree = (list(_listed(layer)) for layer in layers_of(contents(cache)))
    assert first == [("bin", 0o755), ("bin/link", 0o644), ("etc", 0o755), ("etc/text", 0o644), ("tmp", 0o1777)]
    assert second == [("bin", 0o755), ("bin/program", 0o755)]
    assert tree == [("./opt/tree", 0o700)]


def _listed(layer: Layer) -> list[tuple[str, int]]:
    found = [member for member, _ in members([layer])]
    return [(member.name, member.mode) for member in found]


@pytest.mark.parametrize("without", ["index.json", "manifest.json"])
def test_the_archive_is_an_oci_layout_and_a_docker_archive(cache: Path, without: str) -> None:
    """Each by itself is read as the files of all layers."""
    whole, part = cache / "whole.tar", cache / "part.tar"
    write_archive(whole, image_of_layers(layers_of(contents(cache)), {}), "127.0.0.1:1/a/b:c")
    with tarfile.open(whole) as source, tarfile.open(part, "w") as target:
        for member in source:
            if member.name != without:
                target.addfile(member, source.extractfile(member) if member.isreg() else None)
    with tarfile.open(image_of(str(part)).tree) as tree:
        names = {member.name for member in tree if not member.isdir()}
    assert names == {"etc/text", "bin/link", "bin/program", "opt/tree"}


@pytest.mark.tool("zstd")
def test_zstd_packs_the_same_archives(cache: Path) -> None:
    """Byte for byte the content of the layers with gzip; the manifest says which is which."""
    packed = layers_of(contents(cache))
    other = with_zstd(packed)
    assert is_gzip(packed) and not is_gzip(other) and with_zstd(packed) == other
    for one, layer in zip(packed, other, strict=True):
        unpacked = subprocess.run(["zstd", "-dc", str(layer.blob)], capture_output=True, check=True).stdout
        assert unpacked == gzip.decompress(one.blob.read_bytes()) and layer.diff_id == one.diff_id
        assert (layer.size, layer.digest) == (layer.blob.stat().st_size, digest_of(layer.blob.read_bytes()))
    for layers, ending in ((packed, "+gzip"), (other, "+zstd")):
        kinds = {one["mediaType"] for one in json.loads(image_of_layers(layers, {}).manifest)["layers"]}
        assert kinds == {f"application/vnd.oci.image.layer.v1.tar{ending}"}


@pytest.mark.tool("zstd")
def test_zstd_packs_alike_whatever_is_set_for_it(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A level that its caller prefers would make another image under the same name, also for later runs."""
    files: dict[Path, Content] = {Path("text"): b" ".join(b"%d" % (n * n) for n in range(20000))}
    packed = layers_of([files])
    usual = with_zstd(packed)
    monkeypatch.setenv("ISOBENCH_CACHE", str(cache / "other"))
    monkeypatch.setenv("ZSTD_CLEVEL", "19")
    monkeypatch.setenv("ZSTD_NBTHREADS", "2")
    assert [one.digest for one in with_zstd(packed)] == [one.digest for one in usual]


def test_why_zstd_failed_is_said(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own words, and not that it no longer reads what it is sent."""
    program = cache / "zstd"
    program.write_text("#!/bin/sh\nexec <&-\necho 'zstd: error 70 : No space left on device' >&2\nexit 70\n")
    program.chmod(0o755)
    monkeypatch.setattr(made, "find", lambda name: str(program))
    packed = layers_of([{Path("much"): bytes(1 << 20)}])
    with pytest.raises(BuildError, match=r"zstd ended with 70: .*No space left on device"):
        with_zstd(packed)


def test_without_zstd_the_remedy_is_said(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when the program fails, and then nothing is kept."""
    packed = layers_of(contents(cache))
    monkeypatch.setattr(made, "find", lambda name: None)
    with pytest.raises(BuildError, match="no zstd") as failed:
        with_zstd(packed)
    assert failed.value.remedy == "apt-get install zstd"
    monkeypatch.setattr(made, "find", lambda name: "/bin/false")
    with pytest.raises(BuildError, match="zstd"):
        with_zstd(packed)
