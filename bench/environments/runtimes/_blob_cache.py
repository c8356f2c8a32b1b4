"""What Podman and skopeo leave on a host when they copy images: kept in a sandbox instead.

They note which layers they have seen where; and GPG, by which they verify signatures, makes a folder for sockets in the
user's runtime folder, a new one each time.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from isobench.filesystem.paths import state_dir, work_folder
from isobench.host.capabilities import lacking

_CACHE = Path("/var/lib/containers/cache")
"""Where they keep that as root: for the whole host, and no setting moves it."""
_RUNTIME = Path("/run/user")
_MADE = "made"


def with_own_cache(workdir: Path) -> list[str]:
    """Words before a command that copies images: it has the sandbox's cache and an empty runtime folder, in a mount
    namespace that ends with it.

    Nothing without CAP_SYS_ADMIN: the cache is in the user's home then, which is the work folder.
    """
    own = workdir / "cache"
    is_needed = any(_RUNTIME in place.parents for place in (workdir, state_dir()))
    hidden = f"mount -t tmpfs tmpfs {_RUNTIME} && " if _RUNTIME.is_dir() and not is_needed else ""
    mounted = f'mount --bind "$0" "$1" && {hidden}shift && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", mounted, str(own), str(_CACHE)] if own.is_dir() else []


def make_cache(workdir: Path) -> None:
    """Make the sandbox's own cache, and the host's folder over which it is mounted, if the host has none yet."""
    if "CAP_SYS_ADMIN" in lacking():
        return
    (workdir / "cache").mkdir(mode=0o700)
    made = [path for path in (_CACHE, _CACHE.parent) if not path.exists()]
    (workdir / _MADE).write_text("".join(f"{path}\n" for path in made))
    _CACHE.mkdir(mode=0o700, parents=True, exist_ok=True)


def remove_made(run: str) -> None:
    """Remove the host's folder if it was made for the run, unless something is in it by now."""
    work = work_folder(run)
    for file in work.glob(f"*/{_MADE}") if work is not None else ():
        for path in file.read_text().splitlines():
            with suppress(OSError):
                Path(path).rmdir()
