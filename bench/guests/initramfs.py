"""The guest's initramfs: the probe as init, and the modules for its disk. Written without root, reproducibly."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

from isobench.filesystem.cache import cached
from isobench.filesystem.paths import content_hash
from isobench.guests.kernel import guest_kernel
from isobench.guests.modules import content, modules_of
from isobench.probe.build import probe_path

MODULES = ("virtio_pci", "virtio_blk", "ext4")
"""Modules that a guest loads before it mounts its root file system; built-in ones need no file."""

_FOLDER, _FILE, _DEVICE = 0o040755, 0o100644, 0o020600


@cache
def initramfs(more: tuple[str, ...] = (), base: tuple[str, ...] | None = None) -> Path:
    """The archive for the guest kernel with these modules in addition to those of a disk (or of `base`), made now if it
    is not in the cache.

    Raises `BuildError`, `Unavailable`.
    """
    kernel, wanted = guest_kernel(), (*(MODULES if base is None else base), *more)
    modules = [_Packed(m.file.name, m.optional, content(m.file)) for m in modules_of(kernel, wanted)]
    probe = probe_path().read_bytes()
    key = content_hash([probe, *(module.line.encode() + module.data for module in modules)])
    return cached("initramfs", key, lambda folder: _write(folder / "initramfs.cpio", probe, modules)) / "initramfs.cpio"


def with_arguments(target: Path, arguments: tuple[str, ...], more: tuple[str, ...] = ()) -> None:
    """Write the initramfs (including these modules) to `target`, with the probe's arguments in a file.

    A kernel passes at most 32 arguments to its init.
    """
    data = b"".join(argument.encode() + b"\0" for argument in arguments)
    extra = _record(1, "arguments", _FILE, data) + _record(0, "TRAILER!!!", 0, b"")
    target.write_bytes(_aligned(initramfs(more).read_bytes()) + extra)
    target.chmod(0o644)


class _Packed(NamedTuple):
    name: str
    optional: bool
    data: bytes

    @property
    def line(self) -> str:
        """A line for bench/probe/guest.c: the file, after a dash if it may fail to load."""
        return f"{'-' if self.optional else ''}/modules/{self.name}\n"


def _write(target: Path, probe: bytes, modules: list[_Packed]) -> None:
    entries = [(name, _FOLDER, b"") for name in ("dev", "proc", "sys", "root", "modules")]
    entries += [("dev/console", _DEVICE, b""), ("init", 0o100755, probe)]
    entries += [(f"modules/{module.name}", _FILE, module.data) for module in modules]
    entries.append(("modules.list", _FILE, "".join(module.line for module in modules).encode()))
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
    """Concatenated archives begin at multiples of four; extra zeros between them are harmless."""
    return data + bytes(-len(data) % 512)
