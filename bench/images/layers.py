"""Container images of several layers according to the OCI image specification, for a registry and as an archive.

A layer is a tar archive in the cache, compressed with gzip or zstd. The same content always makes the same bytes.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import subprocess
import tarfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from isobench.contracts.images import Layer
from isobench.core.errors import BuildError
from isobench.filesystem.cache import cached
from isobench.filesystem.paths import content_hash
from isobench.images.archive import add_entry, file_hash, mode_of
from isobench.images.image import this_machine
from isobench.images.rootfs import MTIME
from isobench.processes.programs import find

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from isobench.images.archive import Content

    Files = Mapping[Path, Content]

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_PACKED = {".gz": "gzip", ".zst": "zstd"}
"""How a layer is compressed, by the end of its name."""
_FORMAT = 1
"""Version of the format: increased when the same content would make different layers."""
_LEVEL = 6
"""gzip's compression level, as in engines."""
_ZSTD = ("zstd", "-3", "-T1")
"""With the level that engines use. It is the program's own, too, but a variable (ZSTD_CLEVEL) can change that."""


class Layered(NamedTuple):
    """An image: its layers, the lowest first, and the two documents that describe it."""

    layers: tuple[Layer, ...]
    config: bytes
    manifest: bytes

    @property
    def blobs(self) -> dict[str, Path | bytes]:
        """The blobs of its manifest, by digest."""
        return {**{layer.digest: layer.blob for layer in self.layers}, digest_of(self.config): self.config}


def layers_of(contents: Sequence[Files | Path]) -> tuple[Layer, ...]:
    """Layers with these files, or with the tree in an archive, the lowest first. Raises `BuildError`."""
    key = content_hash(part for content in contents for part in (b"layer", *_parts(content)))
    return _read(cached("layers", key, lambda folder: _write(folder, contents)))


def with_zstd(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """The same layers, compressed with zstd instead of gzip. Raises `BuildError` without the program."""
    program = find("zstd")
    if program is None:
        raise BuildError("this host has no zstd, with which the layers are compressed", remedy="apt-get install zstd")
    key = content_hash(part for layer in layers for part in (*map(str.encode, _ZSTD), layer.digest.encode()))
    return _read(cached("layers", key, lambda folder: _write_zstd(folder, layers, program)))


def image_of_layers(layers: Sequence[Layer], labels: Mapping[str, str]) -> Layered:
    """An image whose program is the probe."""
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(MTIME))
    config = _json(
        {
            "created": created,
            "architecture": this_machine(),
            "os": "linux",
            "config": {"Cmd": ["/probe", "ready"], "WorkingDir": "/", "Labels": dict(labels)},
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
            "history": [{"created": created, "created_by": "isobench"} for _ in layers],
        }
    )
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": _CONFIG, "digest": digest_of(config), "size": len(config)},
            "layers": [
                {"mediaType": _media_type(layer), "digest": layer.digest, "size": layer.size} for layer in layers
            ],
        }
    )
    return Layered(tuple(layers), config, manifest)


def _media_type(layer: Layer) -> str:
    return f"application/vnd.oci.image.layer.v1.tar+{_PACKED[layer.blob.suffix]}"


def write_archive(target: Path, image: Layered, name: str) -> None:
    """Write the image as an archive that every engine can load: an OCI layout that is also in the format of
    `docker save`."""
    described = {"mediaType": MANIFEST, "digest": digest_of(image.manifest), "size": len(image.manifest)}
    named = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name}
    index = {"schemaVersion": 2, "manifests": [{**described, "annotations": named}]}
    for_docker = {
        "Config": _place(digest_of(image.config)),
        "RepoTags": [name],
        "Layers": [_place(layer.digest) for layer in image.layers],
    }
    blobs: dict[str, Path | bytes] = {**image.blobs, digest_of(image.manifest): image.manifest}
    entries: dict[str, Content] = {_place(digest): blob for digest, blob in blobs.items()}
    entries |= {"blobs": None, "blobs/sha256": None, "oci-layout": _json({"imageLayoutVersion": "1.0.0"})}
    entries |= {"index.json": _json(index), "manifest.json": _json([for_docker])}
    with tarfile.open(target, "w") as archive:
        for place in sorted(entries):
            add_entry(archive, Path(place), entries[place])


def is_gzip(layers: Sequence[Layer]) -> bool:
    """Whether all of them are compressed with gzip, which every builder unpacks."""
    return all(_PACKED[layer.blob.suffix] == "gzip" for layer in layers)


def write_context(target: Path, layers: Sequence[Layer], labels: Mapping[str, str]) -> None:
    """A Dockerfile and its files, from which an image with these layers (`is_gzip`) is built. The labels come first, so
    that the image of every step has them."""
    names = [f"{number:03}.tar.gz" for number in range(len(layers))]
    steps = [f"LABEL {name}={json.dumps(value)}" for name, value in labels.items()]
    steps += [*(f"ADD {name} /" for name in names), 'CMD ["/probe", "ready"]']
    with tarfile.open(target, "w") as archive:
        add_entry(archive, Path("Dockerfile"), "\n".join(("FROM scratch", *steps, "")).encode())
        for name, layer in zip(names, layers, strict=True):
            add_entry(archive, Path(name), layer.blob)


def files_of(layers: Sequence[Layer]) -> Path:
    """All entries of layers that gzip has compressed, in their order, as one uncompressed archive in the cache.
    A folder that several layers have is in it once, since engines refuse an archive that names it twice. Raises
    `BuildError`."""
    key = content_hash(part for layer in layers for part in (b"files", layer.digest.encode()))
    return cached("layers", key, lambda folder: _write_files(folder / _FILES, layers)) / _FILES


def members(layers: Sequence[Layer]) -> Iterator[tuple[tarfile.TarInfo, tarfile.TarFile]]:
    """Every entry of every layer that is compressed with gzip, with the archive that it is in."""
    for layer in layers:
        with tarfile.open(layer.blob, "r:gz") as archive:
            for member in archive:
                yield member, archive


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


_DESCRIBED = "layers.json"
_FILES = "files.tar"


def _read(made: Path) -> tuple[Layer, ...]:
    described = json.loads((made / _DESCRIBED).read_bytes())
    return tuple(Layer(made / one["blob"], one["size"], one["digest"], one["diff_id"]) for one in described)


def _place(digest: str) -> str:
    """The place of a blob in an OCI layout."""
    return f"blobs/{digest.replace(':', '/')}"


def _json(document: Any) -> bytes:
    return json.dumps(document, sort_keys=True).encode()


def _parts(content: Files | Path) -> Iterator[bytes]:
    """Everything that determines a layer, for its key in the cache."""
    yield repr((_FORMAT, _LEVEL)).encode()
    if isinstance(content, Path):
        yield file_hash(content).encode()
        return
    for place in sorted(content):
        there = content[place]
        yield f"{place} {type(there).__name__}".encode()
        if isinstance(there, Path):
            yield f"{mode_of(there):o} {file_hash(there)}".encode()
        elif there is not None:
            yield there.encode() if isinstance(there, str) else there


def _write(folder: Path, contents: Sequence[Files | Path]) -> None:
    described = []
    for number, content in enumerate(contents):
        name = f"{number:03}.tar.gz"
        blob, diff_id = folder / name, hashlib.sha256()
        with blob.open("wb") as file, gzip.GzipFile("", "wb", _LEVEL, file, mtime=0) as packed:
            archive = _Hashed(packed, diff_id)
            if isinstance(content, Path):
                with content.open("rb") as source:
                    shutil.copyfileobj(source, archive)
            else:
                _pack(content, archive)
        described.append(_described(blob, f"sha256:{diff_id.hexdigest()}"))
    (folder / _DESCRIBED).write_bytes(_json(described))


def _write_files(target: Path, layers: Sequence[Layer]) -> None:
    folders: set[Path] = set()
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as archive:
        for member, source in members(layers):
            if member.isdir():
                if Path(member.name) in folders:
                    continue
                folders.add(Path(member.name))
            archive.addfile(member, source.extractfile(member) if member.isreg() else None)


def _write_zstd(folder: Path, layers: Sequence[Layer], program: str) -> None:
    described = []
    for layer in layers:
        blob = (folder / layer.blob.name).with_suffix(".zst")
        words = [program, *_ZSTD[1:], "--quiet", "-o", str(blob)]
        with (
            gzip.open(layer.blob) as source,
            subprocess.Popen(words, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as packing,
        ):
            if packing.stdin is not None:
                with suppress(BrokenPipeError):  # it says why it ended
                    shutil.copyfileobj(source, packing.stdin)
            _, said = packing.communicate()
        if packing.returncode:
            told = " ".join(said.decode(errors="replace").split())[-300:]
            raise BuildError(f"zstd ended with {packing.returncode}: {told or 'it said nothing'}")
        described.append(_described(blob, layer.diff_id))
    (folder / _DESCRIBED).write_bytes(_json(described))


def _described(blob: Path, diff_id: str) -> dict[str, Any]:
    blob.chmod(0o644)
    digest = f"sha256:{file_hash(blob)}"
    return {"blob": blob.name, "size": blob.stat().st_size, "digest": digest, "diff_id": diff_id}


class _Hashed(io.RawIOBase):
    """A file that also computes the digest of what is written."""

    def __init__(self, target: gzip.GzipFile, digest: hashlib._Hash) -> None:
        super().__init__()
        self._target, self._digest = target, digest

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._digest.update(data)
        return self._target.write(data)


def _pack(content: Files, target: io.RawIOBase) -> None:
    """The files and the folders above them, in the order of their names."""
    entries: dict[Path, Content] = dict.fromkeys(parent for place in content for parent in place.parents)
    entries.update(content)
    with tarfile.open(fileobj=target, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        for place in sorted(entries.keys() - {Path()}):
            add_entry(archive, place, entries[place])
