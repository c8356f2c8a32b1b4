"""What Podman and skopeo leave on a host when they copy images: kept in a sandbox instead.

They note which layers they have seen where; and GPG, by which they verify signatures, makes a folder for sockets in the
user's runtime folder, a new one each time.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from isobench.environments._mount_namespace import MountNamespace
from isobench.filesystem.paths import state_dir, work_folder
from isobench.host.capabilities import lacking
from isobench.images.image import BLOB_CACHE as _CACHE

_RUNTIME = Path("/run/user")
_MADE = "made"


_MOUNTS = """
mount --bind "$1" "$2"
if [ "$3" ]; then mount -t tmpfs tmpfs "$3"; fi
"""


class BlobCache:
    """The cache of a sandbox, and an empty runtime folder, in a mount namespace for the commands that copy images.

    Without CAP_SYS_ADMIN there is no namespace: the cache is in the user's home then, which is the work folder.
    """

    def __init__(self, workdir: Path) -> None:
        """Also makes the host's folder over which the cache is mounted, if the host has none yet. Raises
        `Unavailable`."""
        self._namespace: MountNamespace | None = None
        if "CAP_SYS_ADMIN" in lacking():
            return
        (workdir / "cache").mkdir(mode=0o700, exist_ok=True)
        made = [path for path in (_CACHE, _CACHE.parent) if not path.exists()]
        with (workdir / _MADE).open("a") as note:
            note.writelines(f"{path}\n" for path in made)
        _CACHE.mkdir(mode=0o700, parents=True, exist_ok=True)
        is_needed = any(_RUNTIME in place.parents for place in (workdir, state_dir()))
        hidden = str(_RUNTIME) if _RUNTIME.is_dir() and not is_needed else ""
        self._namespace = MountNamespace(
            _MOUNTS,
            [f"{workdir}/cache", str(_CACHE), hidden],
            workdir.parent.name,
            whose="a cache of images of the run's own",
            propagation="slave",  # what the host unmounts is not kept here
        )

    def words(self) -> list[str]:
        """The words before a command that copies images. They are a part of its time, and so as few as can be."""
        return self._namespace.words() if self._namespace is not None else []

    def close(self) -> None:
        """End the namespace. May be called twice."""
        if self._namespace is not None:
            self._namespace.close()
            self._namespace = None


def remove_made(run: str) -> None:
    """Remove the host's folder if it was made for the run, unless something is in it by now."""
    work = work_folder(run)
    for file in work.glob(f"*/{_MADE}") if work is not None else ():
        for path in file.read_text().splitlines():
            with suppress(OSError):
                Path(path).rmdir()
