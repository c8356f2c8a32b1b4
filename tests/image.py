"""Container images made by hand, in the layouts that people have: several layers, whiteouts, a user, an entry point."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

MACHINE = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]


class Entry(NamedTuple):
    """One entry of a layer: a file, unless it is a link to something or a folder."""

    name: str
    content: bytes = b""
    mode: int = 0o644
    kind: bytes = tarfile.REGTYPE
    link: str = ""


def folder(name: str) -> Entry:
    return Entry(name, mode=0o755, kind=tarfile.DIRTYPE)


def _packed(entries: Sequence[Entry]) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for entry in entries:
            info = tarfile.TarInfo(entry.name)
            info.type, info.mode, info.linkname, info.size = entry.kind, entry.mode, entry.link, len(entry.content)
            archive.addfile(info, io.BytesIO(entry.content))
    return target.getvalue()


def oci_archive(target: Path, layers: Sequence[Sequence[Entry]], config: Mapping[str, Any], **top: Any) -> Path:
    """An OCI layout in a tar archive, its layers compressed, behind an index for two machines."""
    blobs: dict[str, bytes] = {}

    def blob(content: bytes, kind: str, **more: Any) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = content
        media = f"application/vnd.oci.image.{kind}"
        return {"mediaType": media, "digest": f"sha256:{digest}", "size": len(content), **more}

    document = {"architecture": MACHINE, "os": "linux", "config": config, **top}
    described = blob(json.dumps(document).encode(), "config.v1+json")
    packed = [blob(gzip.compress(_packed(layer), mtime=0), "layer.v1.tar+gzip") for layer in layers]
    manifest = blob(json.dumps({"config": described, "layers": packed}).encode(), "manifest.v1+json")
    other = {"digest": "sha256:none", "platform": {"architecture": "s390x", "os": "linux"}}
    mine = {**manifest, "platform": {"architecture": MACHINE, "os": "linux"}}
    index = blob(json.dumps({"manifests": [other, mine]}).encode(), "index.v1+json")
    blobs["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [index]}).encode()
    target.write_bytes(_packed([Entry(name, content) for name, content in blobs.items()]))
    return target


def docker_archive(target: Path, layers: Sequence[Sequence[Entry]], config: Mapping[str, Any]) -> Path:
    """What `docker save` wrote before it wrote OCI layouts."""
    files = {f"{number}/layer.tar": _packed(layer) for number, layer in enumerate(layers)}
    files["config.json"] = json.dumps({"architecture": MACHINE, "config": config}).encode()
    files["manifest.json"] = json.dumps([{"Config": "config.json", "Layers": [*files][:-1]}]).encode()
    target.write_bytes(_packed([Entry(name, content) for name, content in files.items()]))
    return target


LAYERS = [
    [
        folder("etc"),
        Entry("etc/passwd", b"root:x:0:0::/:\nweb:x:33:44::/:\n"),
        Entry("etc/group", b"root:x:0:\nstaff:x:50:\n"),
        folder("opt"),
        Entry("opt/first", b"first", 0o755),
        Entry("opt/second", kind=tarfile.LNKTYPE, link="opt/first"),
        Entry("opt/gone", b"gone"),
        folder("cache"),
        Entry("cache/old", b"old"),
        folder("removed"),
        Entry("removed/inner", b"x"),
        folder("was-folder"),
        Entry("was-folder/inner", b"x"),
    ],
    [
        Entry("./opt/.wh.gone"),
        Entry("./opt/first", b"changed", 0o700),
        Entry("./cache/.wh..wh..opq"),
        Entry("./cache/new", b"new"),
        Entry("./.wh.removed"),
        Entry("./was-folder", b"file"),
    ],
    [folder("removed"), Entry("removed/again", b"again"), Entry("bin", kind=tarfile.SYMTYPE, link="opt")],
]
"""What the tests of images have in their layers."""
SHOWN = {
    "etc/passwd": b"root:x:0:0::/:\nweb:x:33:44::/:\n",
    "etc/group": b"root:x:0:\nstaff:x:50:\n",
    "opt/first": b"changed",
    "opt/second": b"first",
    "cache/new": b"new",
    "was-folder": b"file",
    "removed/again": b"again",
}
"""The files that a container of them sees."""
