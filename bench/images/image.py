"""Container images as root file systems: an OCI or Docker archive, with its layers applied in order.

The result is one archive with the files that a container of the image sees, written without unpacking anything. An
image in a registry is copied by skopeo first.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import tarfile
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, NamedTuple, cast

import msgspec

from isobench.core import deadlines
from isobench.core.errors import BuildError, Unavailable
from isobench.filesystem.cache import cached
from isobench.filesystem.paths import content_hash
from isobench.host.capabilities import lacking
from isobench.images.archive import file_hash, inside
from isobench.processes.endings import ENDS_WITH_US
from isobench.processes.programs import find, telling_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"
"""Names in a layer that remove what lower layers have (OCI image specification, "Whiteouts")."""
_MOST_JSON = 4 << 20


_Word = Annotated[str, msgspec.Meta(pattern=r"\A[^\0]*\Z")]


class _How(msgspec.Struct):
    """How the program of an image is started (OCI image configuration, "config")."""

    entrypoint: list[_Word] | None = msgspec.field(default=None, name="Entrypoint")
    command: list[_Word] | None = msgspec.field(default=None, name="Cmd")
    environ: list[_Word] | None = msgspec.field(default=None, name="Env")
    folder: _Word | None = msgspec.field(default=None, name="WorkingDir")
    user: _Word | None = msgspec.field(default=None, name="User")


class Image(NamedTuple):
    """An image: the archive of its files, and how its program is started."""

    tree: Path
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environ: dict[str, str] = {}  # noqa: RUF012 (nobody changes it)
    folder: str = "/"
    user: tuple[int, int] | None = None


def image_of(where: str) -> Image:
    """The image in an archive, or in a registry under this reference.

    Raises `BuildError` if it cannot be used, `Unavailable` if skopeo is needed and missing.
    """
    path = Path(where)
    if not path.is_file():
        if where.startswith(("/", "./", "../")):
            raise BuildError(f"there is no archive {where}")
        path = _copied(where)
    try:
        with tarfile.open(path) as archive:
            config, layers = _described(archive)
            _check_machine(config, where)
            key = content_hash([file_hash(path).encode()])
            made = cached("image", key, lambda folder: _write(archive, layers, folder / "tree.tar")) / "tree.tar"
        return _image(config, made)
    except _NOT_READABLE as error:
        raise BuildError(f"{where} is not an OCI or Docker archive: {error}", remedy=_REMEDY) from error
    except OSError as error:
        raise BuildError(f"{where}: {error.strerror or error}") from error


_NOT_READABLE = (tarfile.TarError, LookupError, TypeError, ValueError, AttributeError, EOFError, RecursionError)
"""Errors from a damaged or invalid archive."""
_REMEDY = "docker save, podman save or skopeo copy write one"


def _copied(reference: str) -> Path:
    """A registry's image as an archive in the cache, by the reference's current digest."""
    if find("skopeo") is None:
        raise Unavailable(f"skopeo is not installed, and {reference} is not a file", remedy="apt-get install skopeo")
    digest = _skopeo("inspect", "--format", "{{.Digest}}", f"docker://{reference}").strip()
    name = re.split(r"[@:](?!.*/)", reference)[0]
    key = content_hash([reference.encode(), digest.encode(), platform.machine().encode()])

    def copy(folder: Path) -> None:
        (folder / "tmp").mkdir()
        # A path with a colon would end there, so the archive is named from its folder.
        _skopeo("copy", "--quiet", f"docker://{name}@{digest}", "oci-archive:image.tar", folder=folder)
        shutil.rmtree(folder / "tmp")

    return cached("image-copy", key, copy) / "image.tar"


BLOB_CACHE = Path("/var/lib/containers/cache")
"""Where Podman and skopeo note as root which layers they have seen where: for the whole host, and no setting moves
it."""
_WITHOUT_NOTES = f'mount -t tmpfs tmpfs {BLOB_CACHE} || exit; exec "$@"'


def _skopeo(*words: str, folder: Path | None = None) -> str:
    """What skopeo says. With a `folder` it works in it, leaves nothing anywhere else, and ends with this process."""
    told = [find("skopeo") or "skopeo", *words]
    with ExitStack() as stack:
        environ = dict(os.environ)
        if folder is not None:
            told = [*stack.enter_context(_apart()), *told]
            environ |= {"TMPDIR": f"{folder}/tmp", **({"XDG_DATA_HOME": f"{folder}/tmp"} if os.geteuid() else {})}
        try:
            done = subprocess.run(
                told,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=deadlines.stretched(1800),
                check=False,
                cwd=folder,
                env=environ,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise BuildError(f"skopeo: {error}") from error
    if done.returncode != 0:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise BuildError(f"skopeo {words[0]}: {telling_line(lines)[:300] or 'it failed'}")
    return done.stdout


@contextmanager
def _apart() -> Iterator[list[str]]:
    """The words before a command whose notes of the layers that it saw are not to stay on this host. Root's are on a
    tmpfs of its own, over the host's folder, which is made for that if the host has none yet."""
    if os.geteuid() != 0 or "CAP_SYS_ADMIN" in lacking():
        yield [*ENDS_WITH_US[:3]]
        return
    made = [path for path in (BLOB_CACHE, BLOB_CACHE.parent) if not path.exists()]
    BLOB_CACHE.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        yield [*ENDS_WITH_US, "sh", "-c", _WITHOUT_NOTES, "sh"]
    finally:
        for path in made:
            with suppress(OSError):  # by now somebody else has something in it
                path.rmdir()


def _described(archive: tarfile.TarFile) -> tuple[dict[str, Any], list[str]]:
    """The configuration of the image for this machine, and the names of its layers, the lowest first."""
    names = set(archive.getnames())
    if "index.json" in names:  # an OCI layout; what docker save writes has a manifest.json, too
        manifest = _manifest(archive, _json(archive, "index.json"))
        layers = manifest["layers"]
        odd = [layer["mediaType"] for layer in layers if "zstd" in layer.get("mediaType", "")]
        if odd:
            raise BuildError(f"a layer of the image is {odd[0]}, which cannot be read", remedy="compress it with gzip")
        return _json(archive, _blob(manifest["config"])), [_blob(layer) for layer in layers]
    first = _json(archive, "manifest.json")[0]
    return _json(archive, first["Config"]), list(first["Layers"])


def _manifest(archive: tarfile.TarFile, index: Any) -> Any:
    """The manifest for this machine; an index may lead to another one."""
    entries = index["manifests"]
    machine = this_machine()
    fit = [e for e in entries if e.get("platform", {}).get("architecture", machine) == machine]
    found = _json(archive, _blob((fit or entries)[0]))
    return _manifest(archive, found) if "manifests" in found else found


def _blob(descriptor: Any) -> str:
    kind, _, digest = descriptor["digest"].partition(":")
    return f"blobs/{kind}/{digest}"


def _json(archive: tarfile.TarFile, name: str) -> Any:
    return json.loads(_content(archive, name).read(_MOST_JSON))


def _content(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    """A file in the archive. Raises `ValueError` if there is none, or if it is not what its digest says."""
    file = archive.extractfile(name)
    if file is None:
        raise ValueError(f"{name} is not a file")
    kind, _, digest = name.removeprefix("blobs/").partition("/")
    if kind == "sha256" and hashlib.file_digest(cast("Any", file), kind).hexdigest() != digest:
        raise ValueError(f"{name} is damaged: its content has another digest")
    file.seek(0)
    return file


def this_machine() -> str:
    """The name of this machine's architecture in images."""
    return _MACHINES.get(platform.machine(), platform.machine())


def _check_machine(config: dict[str, Any], where: str) -> None:
    machine = this_machine()
    if config.get("architecture", machine) != machine:
        raise BuildError(f"{where} is for {config['architecture']}, and this machine is {machine}")
    if config.get("os", "linux") != "linux":
        raise BuildError(f"{where} is for {config['os']}, and this is Linux")


def _image(config: dict[str, Any], tree: Path) -> Image:
    how = msgspec.convert(config.get("config") or {}, _How)
    environ = dict(word.split("=", 1) for word in how.environ or () if "=" in word)
    folder = str(Path("/", inside(how.folder or "")))
    return Image(
        tree, tuple(how.entrypoint or ()), tuple(how.command or ()), environ, folder, _user(how.user or "", tree)
    )


def _user(text: str, tree: Path) -> tuple[int, int] | None:
    """`USER[:GROUP]` as numbers, names looked up in the image."""
    if not text:
        return None
    user, _, group = text.partition(":")
    own = "0"
    if not user.isdigit():
        user, own = _looked_up(tree, "etc/passwd", user)
    elif not group:
        own = next((fields[3] for fields in _fields(tree, "etc/passwd") if fields[2] == user), "0")
    if group and not group.isdigit():
        group = _looked_up(tree, "etc/group", group)[0]
    return int(user), int(group or own)


def _looked_up(tree: Path, file: str, name: str) -> tuple[str, str]:
    """The id of a user or a group, and for a user the id of its group."""
    for fields in _fields(tree, file):
        if fields[0] == name:
            return fields[2], fields[3]
    raise BuildError(f"the image is run as {name}, which its /{file} does not have")


def _fields(tree: Path, file: str) -> Iterator[list[str]]:
    with tarfile.open(tree) as archive:
        try:
            content = archive.extractfile(file)
        except KeyError:
            return
        for line in (content.read(_MOST_JSON) if content is not None else b"").decode(errors="replace").splitlines():
            fields = line.split(":")
            if len(fields) >= 4 and fields[2].isdigit():
                yield fields


def _write(archive: tarfile.TarFile, layers: Sequence[str], target: Path) -> None:
    """Write the merged layers into one archive. A pass from the highest layer down finds what each contributes; they
    are written from the lowest up, so that folders come before their contents."""

    def opened(name: str, stack: ExitStack) -> tarfile.TarFile:
        return stack.enter_context(tarfile.open(fileobj=_content(archive, name), mode="r:*"))

    kept = _kept(layers, opened)
    with tarfile.open(target, mode="w", format=tarfile.PAX_FORMAT) as result:
        for name, shown in zip(layers, kept, strict=True):
            with ExitStack() as stack:
                _copy(opened(name, stack), shown, result)
    target.chmod(0o644)


def _kept(layers: Sequence[str], opened: Callable[[str, ExitStack], tarfile.TarFile]) -> list[set[str]]:
    """The places of each layer that no higher layer replaces or removes."""
    kept: list[set[str]] = []
    taken: set[str] = set()
    """Places that a higher layer has."""
    hidden: set[str] = set()
    """Places that a higher layer removes with everything below, or replaces by something other than a folder."""
    emptied: set[str] = set()
    """Folders whose content in lower layers a higher layer hides (opaque)."""
    for name in reversed(layers):
        places: set[str] = set()
        removes: set[str] = set()
        empties: set[str] = set()
        covers: set[str] = set()
        with ExitStack() as stack:
            for member in opened(name, stack):
                place = _place(member.name)
                folder, _, last = place.rpartition("/")
                if last == _OPAQUE:
                    empties.add(folder)
                elif last.startswith(_WHITEOUT):
                    removes.add(os.path.join(folder, last.removeprefix(_WHITEOUT)))  # noqa: PTH118 (a place inside)
                elif place and not _is_below(place, hidden, emptied):
                    if place not in taken:
                        places.add(place)
                    if not member.isdir():
                        covers.add(place)
        kept.append(places)
        taken |= places
        hidden |= removes | covers
        emptied |= empties
    return kept[::-1]


def _is_below(place: str, hidden: set[str], emptied: set[str]) -> bool:
    """Whether a higher layer hides a place: removed it or a folder above it."""
    parts = place.split("/")
    above = {"/".join(parts[:length]) for length in range(len(parts))}
    return bool(({place} | above) & hidden) or bool(above & emptied)


def _copy(layer: tarfile.TarFile, shown: set[str], result: tarfile.TarFile) -> None:
    written: set[str] = set()
    for member in layer:
        place = _place(member.name)
        if place not in shown or place in written:
            continue
        member.name = place
        content = layer.extractfile(member) if member.isreg() else None
        if member.islnk():
            linked = _place(member.linkname)
            if linked in written:
                member.linkname = linked
            else:  # the other name is gone: this one has the content now
                content = layer.extractfile(member)
                member.type, member.linkname = tarfile.REGTYPE, ""
                member.size = layer.getmember(linked).size if linked in layer.getnames() else 0
        result.addfile(member, content)
        written.add(place)


def _place(name: str) -> str:
    """A name in a layer as a place in the root file system. Raises `ValueError` for one that leads out of it."""
    place = os.path.normpath(f"/{name}").lstrip("/")
    if ".." in name.split("/"):
        raise ValueError(f"{name!r} leads out of the root file system")
    return "" if place == "." else place
