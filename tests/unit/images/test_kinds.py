"""The kinds of images: the same probe in each, and no more than is said of them."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from isobench.contracts.disks import DISK_KINDS
from isobench.contracts.image_kinds import KINDS, ZSTD
from isobench.core.errors import BuildError
from isobench.images import kinds
from isobench.images.archive import Content
from isobench.images.kinds import COUNTS, Composition, composition, layers_of_kind, root_of_kind
from isobench.images.layers import layers_of, members
from isobench.images.rootfs import TEXTS
from isobench.probe.build import probe_path

OF_THIS_HOST = [name for name in KINDS if name not in ("slim", "full") and not name.endswith(ZSTD)]
"""Those for which no package has to be fetched."""


@pytest.mark.parametrize("name", OF_THIS_HOST)
def test_every_kind_has_the_same_probe_in_its_uppermost_layer(name: str) -> None:
    """Byte for byte, and nowhere else."""
    layers = layers_of_kind(name)
    probes = []
    for number, layer in enumerate(layers):
        for member, archive in members([layer]):
            if Path(member.name) == Path("probe"):
                content = archive.extractfile(member)
                assert content is not None and member.mode == 0o755
                probes.append((number, content.read() == probe_path().read_bytes()))
    assert probes == [(len(layers) - 1, True)]


def test_scratch_is_the_probe_alone() -> None:
    found = composition(layers_of_kind("scratch"))
    assert found == Composition(1, 1, probe_path().stat().st_size, (), (), (), 0)


@pytest.mark.tool("busybox")
def test_busybox_has_a_shell() -> None:
    found = composition(layers_of_kind("busybox"))
    assert {"ash", "sh"} <= set(found.shells) and found.set_uid == () and found.packages == 0


def test_distroless_has_a_c_library_and_no_shell() -> None:
    """With its loader, certificates and time zones; nothing in it can be run but the probe and the loader."""
    layers = layers_of_kind("distroless")
    names = {Path(member.name).name for member, _ in members(layers)}
    found = composition(layers)
    assert (found.shells, found.interpreters, found.set_uid) == ((), (), ())
    assert {"ca-certificates.crt", "Berlin"} <= names
    assert any(name.startswith("libc.") for name in names) and any(name.startswith("ld-") for name in names)


def test_layers_differ_in_nothing_but_their_number() -> None:
    """The same files of the same size, in one layer and in many."""
    found = {count: composition(layers_of_kind(f"layers-{count}")) for count in COUNTS}
    assert {count: one.layers for count, one in found.items()} == dict(zip(COUNTS, COUNTS, strict=True))
    assert len({one._replace(layers=0) for one in found.values()}) == 1


@pytest.mark.tool("zstd")
def test_another_compression_is_another_kind_with_the_same_content() -> None:
    """Every kind that ends so has the one that it is compared with."""
    pairs = {name: name.removesuffix(ZSTD) for name in KINDS if name.endswith(ZSTD)}
    assert pairs and set(pairs.values()) <= set(KINDS)
    gzip, zstd = (layers_of_kind(name) for name in ("distroless", "distroless-zstd"))
    assert [one.diff_id for one in zstd] == [one.diff_id for one in gzip]
    assert not {one.digest for one in zstd} & {one.digest for one in gzip}
    assert kinds.composition_of_kind("distroless-zstd") == kinds.composition_of_kind("distroless")


def test_what_an_image_exposes_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set-uid and set-gid files, shells and interpreters in folders of programs, packages; a file that a higher layer
    replaces counts once."""
    monkeypatch.setenv("ISOBENCH_CACHE", str(tmp_path / "cache"))
    for name, mode in (("su", 0o4755), ("wall", 0o2755), ("plain", 0o755)):
        (tmp_path / name).write_bytes(b"x" * 10)
        (tmp_path / name).chmod(mode)
    with tarfile.open(tmp_path / "tree.tar", "w") as tree:
        for name in ("su", "wall", "plain"):
            tree.add(tmp_path / name, f"./usr/bin/{name}")
    texts: dict[Path, Content] = {
        Path("bin/sh"): "dash",
        Path("usr/bin/python3.13"): b"python",
        Path("usr/share/doc/perl"): b"no program",
        Path("var/lib/dpkg/status"): b"Package: a\nStatus: x\n\nPackage: b\n",
    }
    found = composition(layers_of([texts, tmp_path / "tree.tar", {Path("usr/bin/python3.13"): b"other"}]))
    size = 30 + len(b"other") + len(b"no program") + len(b"Package: a\nStatus: x\n\nPackage: b\n")
    assert found == Composition(3, 6, size, ("/usr/bin/su", "/usr/bin/wall"), ("sh",), ("python3.13",), 2)


def test_what_this_host_lacks_is_said_with_its_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A dynamic busybox would not run; without certificates the image would not be what its name says."""
    program = Path("/bin/sh").resolve()
    monkeypatch.setattr(kinds, "find", lambda name: str(program))
    with pytest.raises(BuildError, match="no static busybox") as failed:
        kinds._busybox()
    assert failed.value.remedy == "apt-get install busybox-static"
    monkeypatch.setattr(kinds, "_CERTIFICATES", (str(tmp_path / "none"),))
    with pytest.raises(BuildError, match="no certificates"):
        kinds._distroless()


def test_a_disk_has_the_files_of_the_image() -> None:
    """All of them, of the same sizes, and besides the folders and texts that every root file system has."""
    with tarfile.open(root_of_kind("distroless")) as archive:
        on_disk = {Path(one.name): one.size for one in archive if one.isfile()}
    in_image = {
        Path(member.name): member.size for member, _ in members(layers_of_kind("distroless")) if member.isfile()
    }
    assert in_image.items() <= on_disk.items() and len(in_image) > 100
    assert {str(place) for place in on_disk.keys() - in_image.keys()} <= TEXTS.keys()
    assert set(DISK_KINDS) <= set(KINDS)
