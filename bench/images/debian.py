"""A root file system of Debian packages, made with mmdebstrap: one archive in the cache for each set of packages.

The release is the same on every host, and so are workloads. A mirror may change, so a later archive may differ: an
archive is kept until it is removed, and identified by its content.
"""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING

from isobench.core import deadlines
from isobench.core.errors import BuildError, Unavailable
from isobench.filesystem.cache import cached
from isobench.filesystem.paths import content_hash
from isobench.images.rootfs import MTIME
from isobench.processes.endings import ENDS_WITH_US
from isobench.processes.programs import find

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

RELEASE = "trixie"
_LEFT_OUT = ("doc", "info", "locale", "man")
"""Folders of /usr/share that no program needs."""
_OPTIONS = (
    *("--variant=essential", "--format=tar"),
    *("--aptopt=APT::Install-Recommends false", "--aptopt=APT::Sandbox::User root"),
    "--dpkgopt=force-unsafe-io",  # an interrupted build is discarded anyway
    *(f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in _LEFT_OUT),
)
_SECONDS = 1800.0
_WITHOUT_SOCKETS = 'if [ -d /run/user ]; then mount -t tmpfs tmpfs /run/user || exit; fi; exec "$@"'
CONTAINED = (*ENDS_WITH_US, "sh", "-c", _WITHOUT_SOCKETS, "sh")
"""The words before mmdebstrap as root: what it starts and mounts does not outlive this process, and the folders that
its GPG makes for sockets below /run/user, and never removes, are on a tmpfs of its own."""


def debian_tree(packages: Sequence[str], without: Sequence[str] = ()) -> Path:
    """The archive with these packages and their dependencies (takes about a minute if it is not in the cache), without
    files that match `without` (dpkg's `path-exclude`). Raises `BuildError`, `Unavailable`."""
    if find("mmdebstrap") is None:
        raise Unavailable("mmdebstrap is not installed", remedy="isobench provision, or apt-get install mmdebstrap")
    wanted = sorted(set(packages))
    excluded = [f"--dpkgopt=path-exclude={pattern}" for pattern in without]
    key = content_hash(word.encode() for word in (RELEASE, *_OPTIONS, *wanted, *excluded))
    return cached("debian", key, lambda folder: _build(folder, wanted, excluded)) / "tree.tar"


def _build(folder: Path, packages: Sequence[str], options: Sequence[str]) -> None:
    target = folder / "tree.tar"
    environ = {**os.environ, "TMPDIR": str(folder), "SOURCE_DATE_EPOCH": str(MTIME), "LC_ALL": "C.UTF-8"}
    command = [
        "mmdebstrap",
        "--verbose",
        *_OPTIONS,
        *options,
        f"--include={','.join(packages)}",
        RELEASE,
        str(target),
        *mirror(),
    ]
    prefix = CONTAINED if os.geteuid() == 0 else ENDS_WITH_US[:3]  # a user's sockets end with the session
    try:
        done = subprocess.run(
            [*prefix, *command],
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=deadlines.stretched(_SECONDS),
            check=False,
        )
    except FileNotFoundError as error:
        raise Unavailable(f"{error.filename} is not installed", remedy="apt-get install util-linux") from error
    except subprocess.TimeoutExpired as error:
        raise BuildError(f"making a root file system of {', '.join(packages)} took too long") from error
    if done.returncode != 0:
        reason = _reason(f"{done.stdout}\n{done.stderr}")
        raise BuildError(f"no root file system of {', '.join(packages)}: {reason}", remedy=_remedy(reason))
    target.chmod(0o644)


def mirror() -> list[str]:
    """The Debian mirror in this host's apt configuration, which has `main` as no vendor's repository has; empty for
    mmdebstrap's default."""
    words = ("apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Component: main")
    try:
        found = subprocess.run(words, capture_output=True, text=True, check=False).stdout.split()
    except OSError:
        return []
    return next(([address] for address in found if address.rstrip("/").endswith("/debian")), [])


def _reason(said: str) -> str:
    """The line with the error: apt's first one, or else the last one."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    own = ("mmdebstrap", "setup failed", "apt-get ")
    apts = [line[3:] for line in lines if line.startswith("E: ") and not any(words in line for words in own)]
    return (apts or lines[-1:] or ["mmdebstrap failed"])[0][:300]


def _remedy(reason: str) -> str:
    if re.search("unable to locate package|has no installation candidate", reason, re.IGNORECASE):
        return f"the packages of Debian {RELEASE}: https://packages.debian.org/{RELEASE}/"
    if re.search("resolve|connect|connection", reason, re.IGNORECASE):
        return "the host must reach a mirror of Debian"
    return ""
