"""Which kernel modules a guest has to load, and in which order: the work of `modprobe`, for a guest without it.

Read from the lists that depmod(8) and the kernel's build put next to the modules: dependencies (modules.dep), soft
dependencies (modules.softdep: requested by name at run time), aliases (modules.alias), built-in modules.
"""

from __future__ import annotations

import gzip
import lzma
import subprocess
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from isobench.core import deadlines
from isobench.core.errors import BuildError, Unavailable
from isobench.processes.programs import find

if TYPE_CHECKING:
    from isobench.guests.kernel import Kernel


class Module(NamedTuple):
    """One file to load. An optional one may fail to load, if the CPU lacks the feature that it drives."""

    file: Path
    optional: bool


def modules_of(kernel: Kernel, names: tuple[str, ...]) -> list[Module]:
    """The files of these modules and of all they depend on, in the order in which they must be loaded.

    Built-in ones need no file. Raises `Unavailable` for a name that the kernel does not have.
    """
    order = _Order(_Lists(kernel.modules))
    for name in names:
        if not order.add(_plain_name(name)):
            raise Unavailable(f"the guest's kernel {kernel.version} has no module {name}", remedy=_OTHER_KERNEL)
    return [Module(kernel.modules / path, optional) for path, optional in order.found.items()]


def content(file: Path) -> bytes:
    """A module, uncompressed, so that the guest needs no decompressor. Raises `BuildError`."""
    try:
        data = _unpacked(file)
    except (OSError, EOFError, lzma.LZMAError, subprocess.SubprocessError) as error:
        raise BuildError(f"cannot read the module {file}: {error}", remedy=_REMEDY) from error
    if not data:
        raise BuildError(f"the module {file} is empty", remedy=_REMEDY)
    return data


def _unpacked(file: Path) -> bytes:
    data = file.read_bytes()
    if file.suffix == ".xz":
        return lzma.decompress(data)
    if file.suffix == ".gz":
        return gzip.decompress(data)
    if file.suffix == ".zst":
        zstd = [find("zstd") or "zstd", "-dc"]
        return subprocess.run(zstd, input=data, capture_output=True, check=True, timeout=deadlines.stretched(60)).stdout
    return data


_OTHER_KERNEL = "use a host whose kernel has it; cloud kernels lack many modules"
_REMEDY = "reinstall the kernel's package; for a file that ends in .zst, install zstd"


class _Order:
    """Collects modules, each after its dependencies."""

    def __init__(self, lists: _Lists) -> None:
        self._lists = lists
        self._begun: set[str] = set()
        """Soft dependencies may be circular."""
        self.found: dict[str, bool] = {}
        """Path -> whether it is optional."""

    def add(self, name: str, *, optional: bool = False) -> bool:
        """Add all modules of this name; returns whether the kernel knows it."""
        found = self._lists.resolve(name)
        for wanted in self._lists.builtin_wants.get(name, ()):
            self.add(wanted, optional=True)
        for path in found or ():
            self._add_file(path, optional)
        return found is not None

    def _add_file(self, path: str, optional: bool) -> None:
        needed = [*reversed(self._lists.depends[path]), path]
        if path not in self._begun:
            self._begun.add(path)
            softly = self._lists.soft.get(_module_name(path), _Soft((), ()))
            for name in softly.before:
                self.add(name, optional=True)
            for one in needed[:-1]:
                self._add_file(one, optional)
            self.found[path] = optional
            for name in softly.after:
                self.add(name, optional=True)
        if not optional:  # it was optional before, and is required now
            self.found.update((one, False) for one in needed if one in self.found)


class _Soft(NamedTuple):
    before: tuple[str, ...]
    after: tuple[str, ...]


class _Lists:
    """The lists of one kernel, read on demand. Names have `_` where files may have `-`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def resolve(self, name: str) -> list[str] | None:
        """The paths for a name: its own, or all of those that it is an alias of; empty if it is built in.

        None if this kernel does not know the name.
        """
        if name in self._paths:
            return [self._paths[name]]
        if name in self._builtin or _matches(name, self._builtin_aliases):
            return []
        found = [self._paths[module] for pattern, module in self._aliases if fnmatchcase(name, pattern)]
        return found or None

    @cached_property
    def depends(self) -> dict[str, list[str]]:
        return parse_dependencies(_text(self._folder / "modules.dep", needed=True))

    @cached_property
    def soft(self) -> dict[str, _Soft]:
        return parse_soft(_text(self._folder / "modules.softdep"))

    @cached_property
    def builtin_wants(self) -> dict[str, tuple[str, ...]]:
        """Names that built-in code requests: they may be modules (modules.builtin.modinfo)."""
        wants = ((module, value) for module, key, value in self._builtin_facts if key == "softdep")
        return {module: _split_soft(value.split()).before for module, value in wants}

    @cached_property
    def _paths(self) -> dict[str, str]:
        return {_module_name(path): path for path in self.depends}

    @cached_property
    def _builtin(self) -> set[str]:
        names = {_module_name(line) for line in _text(self._folder / "modules.builtin").split()}
        return names | {module for module, _, _ in self._builtin_facts}

    @cached_property
    def _builtin_aliases(self) -> list[str]:
        return [_plain_name(value) for _, key, value in self._builtin_facts if key == "alias"]

    @cached_property
    def _builtin_facts(self) -> list[tuple[str, str, str]]:
        return parse_builtin(_text(self._folder / "modules.builtin.modinfo"))

    @cached_property
    def _aliases(self) -> list[tuple[str, str]]:
        """The aliases of modules that exist."""
        pairs = parse_aliases(_text(self._folder / "modules.alias"))
        return [(pattern, module) for pattern, module in pairs if module in self._paths]


def parse_dependencies(text: str) -> dict[str, list[str]]:
    """modules.dep: each module's path and the paths it depends on, in reverse order of loading."""
    pairs = (line.partition(":") for line in text.splitlines() if ":" in line)
    found = {path.strip(): rest.split() for path, _, rest in pairs}
    return found | {path: [] for rest in found.values() for path in rest if path not in found}


def parse_soft(text: str) -> dict[str, _Soft]:
    """modules.softdep: `softdep MODULE pre: NAMES post: NAMES`, a module perhaps more than once."""
    found: dict[str, _Soft] = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) > 2 and words[0] == "softdep":
            before, after = found.get(_plain_name(words[1]), _Soft((), ()))
            wanted = _split_soft(words[2:])
            found[_plain_name(words[1])] = _Soft(before + wanted.before, after + wanted.after)
    return found


def parse_builtin(text: str) -> list[tuple[str, str, str]]:
    """modules.builtin.modinfo: module, key, value of every `MODULE.KEY=VALUE`, which end in a zero byte each."""
    found = []
    for entry in text.split("\0"):
        name, _, value = entry.partition("=")
        module, dot, key = name.partition(".")
        if dot:
            found.append((_plain_name(module), key, value))
    return found


def parse_aliases(text: str) -> list[tuple[str, str]]:
    """modules.alias: pattern and module of every `alias PATTERN MODULE`."""
    lines = (line.split() for line in text.splitlines())
    return [(_plain_name(words[1]), _plain_name(words[2])) for words in lines if len(words) == 3]


def _split_soft(words: list[str]) -> _Soft:
    """Parses `pre: a b post: c`; names without a keyword count as `pre`."""
    parts: dict[str, list[str]] = {"pre:": [], "post:": []}
    part = "pre:"
    for word in words:
        if word in parts:
            part = word
        else:
            parts[part].append(_plain_name(word))
    return _Soft(tuple(parts["pre:"]), tuple(parts["post:"]))


def _matches(name: str, patterns: list[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _module_name(path: str) -> str:
    return _plain_name(Path(path).name.partition(".ko")[0])


def _plain_name(name: str) -> str:
    return name.replace("-", "_")


def _text(path: Path, *, needed: bool = False) -> str:
    """The text of a list; older kernels and depmods do not have all of them."""
    try:
        return path.read_text(errors="replace")
    except OSError as error:
        if not needed:
            return ""
        raise BuildError(f"{path}: {error.strerror}", remedy=f"depmod {path.parent.name}") from error
