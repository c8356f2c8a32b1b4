"""The kinds of images that are compared, from the probe alone to a whole distribution; all contain the same probe.

Only Debian packages are downloaded, for the kinds made from them. The smaller kinds use this host's files: its busybox,
its C library, its certificates and time zones.
"""

from __future__ import annotations

import random
import sys
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from isobench.contracts.image_kinds import ZSTD
from isobench.core.errors import BuildError
from isobench.images.archive import Content, archive_of, inside
from isobench.images.closure import closure_of
from isobench.images.debian import RELEASE, debian_tree
from isobench.images.layers import layers_of, members, with_zstd
from isobench.images.rootfs import TEXTS
from isobench.probe.build import probe_path
from isobench.processes.programs import find, output

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from isobench.contracts.images import Layer

Files = dict[Path, Content]
_PROBE = Path("probe")


class _Kind(NamedTuple):
    made_of: str
    """Its content besides the probe, in words."""
    contents: Callable[[], list[Files | Path]]
    """Makes its layers, the lowest first; the uppermost has the probe. Raises `IsobenchError` if this host cannot."""


@cache
def layers_of_kind(name: str) -> tuple[Layer, ...]:
    """The layers of a kind (`isobench.contracts.image_kinds.KINDS`) in the cache, made now if they are not there.

    Raises `IsobenchError` if this host cannot make them.
    """
    layers = layers_of(_KINDS[name.removesuffix(ZSTD)].contents())
    return with_zstd(layers) if name.endswith(ZSTD) else layers


@cache
def root_of_kind(name: str) -> Path:
    """The files of a kind (`isobench.contracts.disks.DISK_KINDS`) as one archive, from which a disk is made, with the
    folders that every root file system has. Raises `IsobenchError` if this host cannot make it."""
    base: Path | None = None
    files: dict[Path, Path] = {}
    links: dict[Path, str] = {}
    for content in _KINDS[name].contents():
        if isinstance(content, Path):
            base = content
            continue
        files |= {place: there for place, there in content.items() if isinstance(there, Path)}
        links |= {place: there for place, there in content.items() if isinstance(there, str)}
    return archive_of(files, links, base)


@cache
def composition_of_kind(name: str) -> Composition:
    """The composition of a kind. Raises `IsobenchError`."""
    return composition(layers_of_kind(name.removesuffix(ZSTD)))


def made_of(name: str) -> str:
    """The same in words."""
    return _KINDS[name.removesuffix(ZSTD)].made_of


class Composition(NamedTuple):
    """The content of an image, counted over its layers."""

    layers: int
    files: int
    bytes: int
    """Bytes of its files when unpacked."""
    set_uid: tuple[str, ...]
    """Files that run with the rights of another user or group."""
    shells: tuple[str, ...]
    interpreters: tuple[str, ...]
    packages: int
    """Debian packages, from the image's own list."""


_SHELLS = frozenset({"sh", "ash", "bash", "csh", "dash", "fish", "hush", "ksh", "mksh", "rbash", "tcsh", "zsh"})
_INTERPRETERS = ("awk", "gawk", "mawk", "lua*", "node", "perl*", "php*", "python*", "ruby*", "tclsh*", "guile*", "bc")
_PACKAGES = Path("var/lib/dpkg/status")


def composition(layers: Sequence[Layer]) -> Composition:
    """Count the content of an image from its layers."""
    sizes: dict[Path, int] = {}
    set_uid, programs, packages = set(), set(), 0
    for member, archive in members(layers):
        place = Path(member.name)
        if place.parent.name in ("bin", "sbin") and not member.isdir():
            programs.add(place.name)
        if member.isfile():
            sizes[place] = member.size
            if member.mode & 0o6000:
                set_uid.add(f"/{inside(member.name)}")
            if inside(member.name) == _PACKAGES and (content := archive.extractfile(member)) is not None:
                packages = sum(line.startswith(b"Package: ") for line in content)
    return Composition(
        layers=len(layers),
        files=len(sizes),
        bytes=sum(sizes.values()),
        set_uid=tuple(sorted(set_uid)),
        shells=tuple(sorted(programs & _SHELLS)),
        interpreters=tuple(sorted(name for name in programs if any(fnmatchcase(name, one) for one in _INTERPRETERS))),
        packages=packages,
    )


def _probe() -> Files:
    return {_PROBE: probe_path()}


def _scratch() -> list[Files | Path]:
    return [_probe()]


def _busybox() -> list[Files | Path]:
    busybox = find("busybox")
    if busybox is None or closure_of(Path(busybox).resolve()).loader is not None:
        raise BuildError("this host has no static busybox", remedy="apt-get install busybox-static")
    applets = output([busybox, "--list"], 30).split()
    links: Files = {Path("bin", name): "busybox" for name in applets if name != "busybox"}
    return [{**links, Path("bin/busybox"): Path(busybox).resolve(), **_texts(), Path("tmp"): None}, _probe()]


_LIBRARIES = ("libc", "libdl", "libm", "libpthread", "librt", "libresolv", "libnss_dns", "libnss_files", "libutil")
"""Further parts of the C library, if they exist."""
_CERTIFICATES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")
_ZONES = Path("/usr/share/zoneinfo")


def _distroless() -> list[Files | Path]:
    """Like "distroless" images: what a program that was compiled elsewhere needs, with one layer per origin."""
    bundle = next((path for path in map(Path, _CERTIFICATES) if path.is_file()), None)
    if bundle is None or not (_ZONES / "Europe").is_dir():
        raise BuildError(
            "this host has no certificates or no time zones", remedy="apt-get install ca-certificates tzdata"
        )
    certificates: Files = {Path("etc/ssl/certs/ca-certificates.crt"): bundle}
    zones: Files = {inside(str(file)): file for file in sorted(_ZONES.rglob("*")) if file.is_file()}
    return [zones, certificates, {**_c_library(), **_texts(), Path("tmp"): None}, _probe()]


def _c_library() -> Files:
    """The dynamic loader and the C library of this host, at their places."""
    for program in filter(None, (find("sh"), find("tar"), sys.executable)):
        found = closure_of(Path(program).resolve())
        library = next((path for name, path in found.libraries.items() if name.startswith("libc.")), None)
        if found.loader is not None and library is not None:
            beside = [file for name in _LIBRARIES for file in Path(library).parent.glob(f"{name}.so.[0-9]*")]
            return {inside(str(file)): file for file in (Path(found.loader), *beside)}
    raise BuildError("no program of this host says where its C library is")


def _texts() -> Files:
    return {Path(name): text.encode() for name, text in TEXTS.items() if name.startswith(("etc/passwd", "etc/group"))}


FILES, FILE_BYTES = 600, 20 << 10
"""Data of the images that differ only in their number of layers: 11.7 MiB, divisible by any of these numbers."""
COUNTS = (1, 10, 50, 120)
"""Numbers of layers. Docker allows 125."""


def _layered(count: int) -> Callable[[], list[Files | Path]]:
    def contents() -> list[Files | Path]:
        source = random.Random(1)
        names = [Path(f"data/{number:03}") for number in range(FILES)]
        files: Files = {name: source.randbytes(FILE_BYTES // 2).hex().encode() for name in names}
        each = FILES // count
        layers: list[Files] = [{name: files[name] for name in names[at : at + each]} for at in range(0, FILES, each)]
        return [*layers[:-1], {**layers[-1], **_probe()}]

    return contents


DEBIAN: dict[str, tuple[str, ...]] = {"slim": ("apt",), "full": ("apt", "gcc", "libc6-dev", "make", "perl", "python3")}
"""The packages of the kinds that are made of Debian's, beside the essential ones."""


def _debian(kind: str) -> Callable[[], list[Files | Path]]:
    return lambda: [debian_tree(DEBIAN[kind]), _probe()]


_KINDS = {
    "scratch": _Kind("nothing else", _scratch),
    "busybox": _Kind("the host's static busybox with a link for each of its commands", _busybox),
    "distroless": _Kind("the host's C library, certificates and time zones, without a shell", _distroless),
    "slim": _Kind(f"the essential packages of Debian {RELEASE}, and apt", _debian("slim")),
    "full": _Kind(
        f"the essential packages of Debian {RELEASE}, apt, a C compiler, make, Perl and Python",
        _debian("full"),
    ),
    **{
        f"layers-{count}": _Kind(f"{FILES} files of data that compress to about a half", _layered(count))
        for count in COUNTS
    },
}
