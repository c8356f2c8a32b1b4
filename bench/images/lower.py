"""Files of known sizes for the lower layer, which the first write has to copy up.

They contain real data, because holes would be copied as holes. They are not in the shared root file system, so that
other scenarios do not carry them, and are made on first use.
"""

from __future__ import annotations

import io
import random
import shutil
import tarfile
import tempfile
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from isobench.filesystem.cache import cached
from isobench.filesystem.paths import content_hash

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

SIZES = {"1k": 1 << 10, "1m": 1 << 20, "100m": 100 << 20}
"""The files and their bytes; the probe (bench/probe/files.c) knows them by name."""

_SEED = 1


@cache
def lower_files() -> Path:
    """The folder in the cache with the files."""
    key = content_hash([repr((SIZES, _SEED)).encode()])
    return cached("lower", key, lambda folder: _make(folder / "files")) / "files"


def copy_lower(target: Path) -> None:
    """Copy the files for one sandbox, to its own storage, all or none. They are private and may be written to."""
    making = Path(tempfile.mkdtemp(prefix=".lower-", dir=target.parent))
    try:
        shutil.copytree(lower_files(), making, dirs_exist_ok=True)
        making.chmod(0o755)
        making.rename(target)
    except BaseException:
        shutil.rmtree(making, ignore_errors=True)
        raise


@contextmanager
def lower_build(image: str) -> Iterator[BinaryIO]:
    """The context (a tar archive) of a build that adds the files to an image's /data as a layer."""
    recipe = f"FROM {image}\nADD lower /data/lower\n".encode()
    with tempfile.TemporaryFile() as file:
        with tarfile.open(fileobj=file, mode="w") as archive:
            info = tarfile.TarInfo("Dockerfile")
            info.size = len(recipe)
            archive.addfile(info, io.BytesIO(recipe))
            archive.add(lower_files(), "lower")
        file.seek(0)
        yield file


def _make(folder: Path) -> None:
    folder.mkdir(mode=0o755)
    source = random.Random(_SEED)
    for name, size in SIZES.items():
        (folder / name).write_bytes(source.randbytes(size))
        (folder / name).chmod(0o644)
