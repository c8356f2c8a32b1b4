"""Asking apt before it is told anything: what it knows, and what an installation would remove."""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING, NamedTuple

from isobench.core.errors import BuildError
from isobench.host.programs import find

if TYPE_CHECKING:
    from collections.abc import Sequence

LOCK_SECONDS = 120
"""How long apt waits for another one (unattended upgrades) to let go of the packages."""
_SECONDS = 3600
"""The longest that one call may take: a slow mirror, half a gigabyte."""

_REMOVED = re.compile(r"^(?:Remv|Purg) (\S+)", re.MULTILINE)
_UPGRADED = re.compile(r"^Inst (\S+) \[", re.MULTILINE)
_COMPLAINT = re.compile(r"^(?:E|Err|W):\s*(.+)$", re.MULTILINE)


class Outlook(NamedTuple):
    """What an installation would do besides: what goes, what gets a newer version, or why it cannot be."""

    removed: list[str]
    upgraded: list[str]
    why_not: str


def is_here() -> bool:
    """Whether this is a system of apt."""
    return find("apt-get") is not None


def update() -> str:
    """Read the repositories' lists; what went wrong, or nothing. One that is broken does not cost the others."""
    return _failure(_apt("update"))


def policy(names: Sequence[str]) -> dict[str, bool]:
    """Those of these packages that apt could install or has installed -> whether they are installed."""
    said = _run(["apt-cache", "policy", *names]).stdout if names else ""
    found = {}
    for name, text in re.findall(r"^(\S+):\n(.*?)(?=^\S|\Z)", said, re.MULTILINE | re.DOTALL):
        versions = dict(re.findall(r"^  (Installed|Candidate): (\S+)", text, re.MULTILINE))
        if any(version != "(none)" for version in versions.values()):
            found[name] = versions.get("Installed", "(none)") != "(none)"
    return found


def outlook(packages: Sequence[str]) -> Outlook:
    """What installing these would do, simulated."""
    done = _apt("install", *_OPTIONS, "--simulate", *packages)
    removed = list(dict.fromkeys(_REMOVED.findall(done.stdout)))
    return Outlook(removed, list(dict.fromkeys(_UPGRADED.findall(done.stdout))), _failure(done))


def install(packages: Sequence[str]) -> str:
    """Install these, nothing that would remove anything; what went wrong, or nothing."""
    return _failure(_apt("install", *_OPTIONS, "--no-remove", *packages))


def is_locked(complaint: str) -> bool:
    """Whether this is for another package manager at work: to try the next package would wait as long again."""
    return "Could not get lock" in complaint or "Unable to acquire the dpkg" in complaint


_OPTIONS = ("--yes", "--no-install-recommends", "--reinstall")
"""`--reinstall` is for what is installed and not whole; what is not installed it does not concern."""


def _apt(*words: str) -> subprocess.CompletedProcess[str]:
    return _run(["apt-get", "-qq", f"-oDPkg::Lock::Timeout={LOCK_SECONDS}", *words])


def _failure(done: subprocess.CompletedProcess[str]) -> str:
    """The complaints of a call that failed, in one line; or nothing."""
    if done.returncode == 0:
        return ""
    said = f"{done.stderr}\n{done.stdout}"
    complaints = list(dict.fromkeys(_COMPLAINT.findall(said)))
    words = "; ".join(complaints) or " ".join(said.split()) or f"it ended with status {done.returncode}"
    return words[:600]


def _run(words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """In English, asking nothing."""
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8", "LANGUAGE": ""}
    program = find(words[0])
    if program is None:
        return subprocess.CompletedProcess(words, 127, "", f"E: {words[0]} is not installed")
    try:
        return subprocess.run(
            [program, *words[1:]],
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise BuildError(f"{' '.join(words[:2])} did not end in {_SECONDS} s") from error
