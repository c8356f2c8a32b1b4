"""The guest's initramfs: the probe as init, and the modules its disk wants. Written without root, always the same."""

from __future__ import annotations

import gzip
import lzma
import subprocess
from functools import cache
from pathlib import Path

from bench.errors import BuildError
from bench.images.kernel import Kernel, guest_kernel
from bench.paths import cached, content_hash
from bench.probe.build import probe_path

MODULES = ("virtio_pci", "virtio_blk", "ext4")
"""What a guest loads before it mounts its root file system; a kernel that has one built in needs no file for it."""

_FOLDER, _FILE, _DEVICE = 0o040755, 0o100644, 0o020600


@cache
def initramfs(more: tuple[str, ...] = ()) -> Path:
    """The archive for the guest kernel with these modules, too, made now if it is not in the cache.

    Raises `BuildError`, `Unavailable`.
    """
    kernel = guest_kernel()
    modules = [(path.name, _plain(path)) for path in module_files(kernel, (*MODULES, *more))]
    probe = probe_path().read_bytes()
    key = content_hash([probe, *(name.encode() + data for name, data in modules)])
    return cached("initramfs", key, lambda folder: _write(folder / "initramfs.cpio", probe, modules)) / "initramfs.cpio"


def with_arguments(target: Path, arguments: tuple[str, ...], more: tuple[str, ...] = ()) -> None:
    """The initramfs (with these modules, too) at `target`, the probe's arguments in a file of it.

    A kernel passes no more than 32 to its init.
    """
    data = b"".join(argument.encode() + b"\0" for argument in arguments)
    extra = _record(1, "arguments", _FILE, data) + _record(0, "TRAILER!!!", 0, b"")
    target.write_bytes(_aligned(initramfs(more).read_bytes()) + extra)
    target.chmod(0o644)


def module_files(kernel: Kernel, names: tuple[str, ...]) -> list[Path]:
    """The files of these modules and of all they depend on, in the order in which they must be loaded.

    Raises `BuildError` for one that is neither a file nor built in.
    """
    depends = _parse_dependencies(_text(kernel.modules / "modules.dep"))
    builtin = {_module_name(line) for line in _text(kernel.modules / "modules.builtin").split()}
    ordered: list[str] = []
    for name in names:
        if name in builtin:
            continue
        path = next((p for p in depends if _module_name(p) == name), None)
        if path is None:
            raise BuildError(f"the kernel {kernel.version} has no module {name}")
        for wanted in (*reversed(depends[path]), path):
            if wanted not in ordered:
                ordered.append(wanted)
    return [kernel.modules / path for path in ordered]


def _parse_dependencies(text: str) -> dict[str, list[str]]:
    """modules.dep: each module's path and the paths it depends on (last one to be loaded first)."""
    pairs = (line.partition(":") for line in text.splitlines() if ":" in line)
    return {path.strip(): rest.split() for path, _, rest in pairs}


def _module_name(path: str) -> str:
    return Path(path).name.partition(".ko")[0].replace("-", "_")


def _plain(path: Path) -> bytes:
    """A module's file, uncompressed, so that the guest needs no decompressor."""
    data = path.read_bytes()
    if path.suffix == ".xz":
        return lzma.decompress(data)
    if path.suffix == ".gz":
        return gzip.decompress(data)
    if path.suffix == ".zst":
        try:
            return subprocess.run(["zstd", "-dc", str(path)], capture_output=True, check=True, timeout=60).stdout
        except (OSError, subprocess.SubprocessError) as error:
            raise BuildError(f"cannot decompress {path}: {error}", remedy="apt-get install zstd") from error
    return data


def _write(target: Path, probe: bytes, modules: list[tuple[str, bytes]]) -> None:
    entries = [(name, _FOLDER, b"") for name in ("dev", "proc", "sys", "root", "modules")]
    entries += [("dev/console", _DEVICE, b""), ("init", 0o100755, probe)]
    entries += [(f"modules/{name}", _FILE, data) for name, data in modules]
    entries.append(("modules.list", _FILE, "".join(f"/modules/{name}\n" for name, _ in modules).encode()))
    with target.open("wb") as file:
        for number, (name, mode, data) in enumerate(entries, 1):
            file.write(_record(number, name, mode, data))
        file.write(_record(0, "TRAILER!!!", 0, b""))
    target.chmod(0o644)


def _record(number: int, name: str, mode: int, data: bytes) -> bytes:
    """One entry of a cpio archive, format "newc" (Linux Documentation/driver-api/early-userspace/buffer-format)."""
    major, minor = (5, 1) if mode == _DEVICE else (0, 0)
    fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, major, minor, len(name) + 1, 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
    return _padded(header) + _padded(data)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _aligned(data: bytes) -> bytes:
    """Archives that follow one another begin at multiples of four; more zeros between them do no harm."""
    return data + bytes(-len(data) % 512)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise BuildError(f"{path}: {error.strerror}") from error
