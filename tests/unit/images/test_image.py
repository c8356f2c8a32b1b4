"""Images: what their layers show together, how their program is run, and what is refused."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from isobench.core.errors import BuildError, Unavailable
from isobench.images import image
from isobench.images.image import image_of
from isobench.processes import programs
from isobench.processes.accounting import pids_with
from isobench.workloads.root import image_workload, root_of
from tests.busy import soon
from tests.image import LAYERS, SHOWN, Entry, docker_archive, folder, oci_archive

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISOBENCH_CACHE", str(tmp_path / "cache"))


def _files(tree: Path) -> dict[str, bytes]:
    with tarfile.open(tree) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive if not member.isdir()  # type: ignore[union-attr]
                and not member.issym()}  # fmt: skip


@pytest.mark.parametrize("made", [oci_archive, docker_archive])
def test_what_the_layers_show_together(tmp_path: Path, made: Any) -> None:
    """Whiteouts, opaque folders, a file for a folder, a hard link whose other name was replaced; the same of both."""
    image = image_of(str(made(tmp_path / "image.tar", LAYERS, {})))
    assert _files(image.tree) == SHOWN
    with tarfile.open(image.tree) as archive:
        entries = {member.name: member for member in archive}
        assert len(entries) == len(archive.getmembers())
    assert entries["opt/first"].mode == 0o700 and entries["bin"].linkname == "opt"
    assert entries["cache"].isdir() and entries["removed"].isdir()
    assert (image.folder, image.user, image.entrypoint, image.environ) == ("/", None, (), {})


def test_how_its_program_is_run(tmp_path: Path) -> None:
    """Entry point, arguments, variables, working folder."""
    config = {
        "Entrypoint": ["/opt/first", "-x"],
        "Cmd": ["a b"],
        "Env": ["PATH=/opt", "A=b=c"],
        "WorkingDir": "/srv/app",
        "User": "web",
    }
    image = image_of(str(oci_archive(tmp_path / "image.tar", LAYERS, config)))
    assert image[1:] == (("/opt/first", "-x"), ("a b",), {"PATH": "/opt", "A": "b=c"}, "/srv/app", (33, 44))


@pytest.mark.parametrize(
    ("user", "numbers"),
    [("", None), ("web", (33, 44)), ("33", (33, 44)), ("7", (7, 0)), ("web:staff", (33, 50)), ("7:8", (7, 8))],
)
def test_whom_it_is_run_as(tmp_path: Path, user: str, numbers: tuple[int, int] | None) -> None:
    """Names are looked up in the image."""
    assert image_of(str(oci_archive(tmp_path / "image.tar", LAYERS, {"User": user}))).user == numbers


def test_a_user_that_it_does_not_have(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="run as nobody, which its /etc/passwd does not have"):
        image_of(str(oci_archive(tmp_path / "image.tar", LAYERS, {"User": "nobody"})))


@pytest.mark.parametrize(
    ("top", "said"),
    [
        ({"architecture": "riscv64"}, "is for riscv64, and this machine is"),
        ({"os": "windows"}, "is for windows, and this is Linux"),
    ],
)
def test_one_for_another_machine(tmp_path: Path, top: dict[str, str], said: str) -> None:
    """Told before anything is tried."""
    with pytest.raises(BuildError, match=said):
        image_of(str(oci_archive(tmp_path / "image.tar", LAYERS, {}, **top)))


def test_one_that_names_no_program(tmp_path: Path) -> None:
    """It is asked for before anything is started."""
    path = str(oci_archive(tmp_path / "image.tar", LAYERS, {}))
    with pytest.raises(BuildError, match=r"image\.tar does not say which program it runs") as error:
        image_workload(path, ()).root()
    assert error.value.remedy == "name one after --"
    assert image_workload(path, ["/opt/first"]).root().entrypoint == ()


@pytest.mark.parametrize(
    "layers",
    [[[Entry("../etc/passwd", b"x")]], [[folder("a"), Entry("a/../../b", b"x")]]],
)
def test_one_that_leads_out(tmp_path: Path, layers: list[list[Entry]]) -> None:
    """A name in a layer never becomes a place outside."""
    with pytest.raises(BuildError, match="leads out of the root file system"):
        image_of(str(oci_archive(tmp_path / "image.tar", layers, {})))


@pytest.mark.parametrize("content", [b"", b"no archive at all", b"\0" * 10240])
def test_what_is_no_image(tmp_path: Path, content: bytes) -> None:
    """One line, with what writes an image; also for an archive of something else, and one that is cut off."""
    whole = oci_archive(tmp_path / "whole.tar", LAYERS, {}).read_bytes()
    with tarfile.open(tmp_path / "other.tar", "w") as archive:
        archive.add(tmp_path / "whole.tar", "whole.tar")
    (tmp_path / "half.tar").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "odd.tar").write_bytes(content)
    for name in ("odd", "other", "half"):
        with pytest.raises(BuildError, match="is not an OCI or Docker archive") as error:
            image_of(str(tmp_path / f"{name}.tar"))
        assert "docker save" in error.value.remedy


@pytest.mark.parametrize(
    "config",
    [{"Env": 5}, {"Env": ["A=b\0c"]}, {"Cmd": "sh -c true"}, {"Entrypoint": [["sh"]]}, {"User": 5}, {"WorkingDir": []}],
)
def test_how_it_is_run_is_checked(tmp_path: Path, config: dict[str, Any]) -> None:
    """Whoever made the image is not trusted."""
    with pytest.raises(BuildError, match="is not an OCI or Docker archive"):
        image_of(str(oci_archive(tmp_path / "image.tar", LAYERS, config)))


@pytest.mark.parametrize("document", [b"[" * 100_000, b'{"manifests": [{"digest": "index.json"}]}'])
def test_an_index_that_does_not_end(tmp_path: Path, document: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither one that is nested as deep as it likes, nor one that leads to itself."""
    monkeypatch.setattr(image, "_blob", lambda descriptor: descriptor["digest"])
    with tarfile.open(tmp_path / "image.tar", "w") as archive:
        info = tarfile.TarInfo("index.json")
        info.size = len(document)
        archive.addfile(info, io.BytesIO(document))
    with pytest.raises(BuildError, match="is not an OCI or Docker archive"):
        image_of(str(tmp_path / "image.tar"))


@pytest.mark.parametrize(("folder", "inside"), [("", "/"), ("/", "/"), ("srv", "/srv"), ("/../../etc/", "/etc")])
def test_its_working_folder_is_inside(tmp_path: Path, folder: str, inside: str) -> None:
    """Most images have none: that was an internal error."""
    path = str(oci_archive(tmp_path / "image.tar", LAYERS, {"WorkingDir": folder}))
    root = root_of(image=path)()
    assert root.folder == inside
    with tarfile.open(root.archive) as archive:
        assert inside.lstrip("/") in ("", *archive.getnames())


def test_a_reference_wants_skopeo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a path that is not there is told as that."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(programs, "_ALSO", ())
    with pytest.raises(Unavailable, match="skopeo is not installed, and debian:13 is not a file"):
        image_of("debian:13")
    with pytest.raises(BuildError, match=r"there is no archive \./none\.tar"):
        image_of("./none.tar")


@pytest.mark.parametrize("which", [b"changed", b"s390x", b'"os": "linux", "config"'])
def test_a_blob_that_is_not_what_its_digest_says(tmp_path: Path, which: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A layer, an index, a configuration: other bytes, as many, which can all be read."""
    monkeypatch.setattr("gzip.compress", lambda content, mtime: content)
    path = oci_archive(tmp_path / "image.tar", LAYERS, {})
    whole = path.read_bytes()
    assert whole.count(which) == 1
    path.write_bytes(whole.replace(which, which[::-1] if which == b"changed" else which.replace(b"x", b"y")))
    with pytest.raises(BuildError, match=r"blobs/sha256/[0-9a-f]{64} is damaged: its content has another digest"):
        image_of(str(path))


SKOPEO = """#!/bin/sh
echo "$*" >> {log}
case "$1" in
inspect) echo sha256:{digest} ;;
copy) for last; do :; done; cp {image} "${last#oci-archive:}"
    touch "$TMPDIR/unpacked" {notes}/cache-$$; {more} ;;
esac
"""
NOTES = '"$XDG_DATA_HOME"' if os.geteuid() else str(image.BLOB_CACHE)


@pytest.fixture
def skopeo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Makes a skopeo that copies an image, writes what the real one writes, and then does something more; gives its
    log."""
    image = oci_archive(tmp_path / "image.tar", LAYERS, {})
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")

    def made(more: str) -> Path:
        values = {"log": tmp_path / "log", "image": image, "digest": "0" * 64, "notes": NOTES, "more": more}
        text = SKOPEO
        for name, value in values.items():
            text = text.replace(f"{{{name}}}", str(value))
        script = tmp_path / "bin/skopeo"
        script.write_text(text)
        script.chmod(0o755)
        return tmp_path / "log"

    return made


def test_a_reference_is_copied_once_for_its_digest(skopeo: Callable[[str], Path]) -> None:
    """By the digest that it has now, also if its tag moves meanwhile; a registry's port is no tag."""
    log = skopeo("true")
    for _ in range(2):
        assert _files(image_of("host:5000/name:tag").tree) == SHOWN
    said = log.read_text().splitlines()
    assert [line.split()[0] for line in said] == ["inspect", "copy", "inspect"]
    assert f"docker://host:5000/name@sha256:{'0' * 64}" in said[1]


def test_what_skopeo_notes_stays_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, skopeo: Callable[[str], Path]
) -> None:
    """Neither for the host nor in the cache, in whose name a colon may be."""
    monkeypatch.setenv("ISOBENCH_CACHE", str(tmp_path / "a:b"))
    before = [*image.BLOB_CACHE.parent.rglob("*")]
    skopeo("true")
    image_of("name")
    (made,) = (tmp_path / "a:b/built").glob("image-copy-*")
    assert {path.name for path in made.iterdir()} == {"image.tar", ".digest"}
    assert [*image.BLOB_CACHE.parent.rglob("*")] == before


def test_what_skopeo_says_is_told_without_its_time(skopeo: Callable[[str], Path]) -> None:
    """By which the same reason would be another one each time."""
    skopeo("""echo 'time="2026-01-01T00:00:00Z" level=fatal msg="no \\"it\\""' >&2; exit 1""")
    with pytest.raises(BuildError, match=r'^skopeo copy: no "it"$'):
        image_of("name")


def test_skopeo_ends_with_the_process_that_started_it(tmp_path: Path, skopeo: Callable[[str], Path]) -> None:
    """However that ends."""
    skopeo(f"echo copying > {tmp_path}/copying; sleep 600; true")
    code = "from isobench.images.image import image_of; image_of('name')"
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT) as harness:
        assert soon(lambda: (tmp_path / "copying").exists())
        harness.kill()
    assert soon(lambda: not pids_with(f"{tmp_path}/bin/skopeo"))
