"""Queries and simulations of apt before an installation: what is available, and what would be removed."""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING, NamedTuple

from isobench.core.errors import BuildError, UsageError
from isobench.processes.programs import find

if TYPE_CHECKING:
    from collections.abc import Sequence

LOCK_SECONDS = 120
"""How long apt waits for the lock of another package manager (unattended upgrades)."""
_SECONDS = 3600
"""Deadline of one call: a slow mirror, half a gigabyte."""

_REMOVED = re.compile(r"^(?:Remv|Purg) (\S+)", re.MULTILINE)
_UPGRADED = re.compile(r"^Inst (\S+) \[(\S+)\] \((?!\2[ )])", re.MULTILINE)
"""A package, its version, and another one; a reinstallation has the same."""
_COMPLAINT = re.compile(r"^(?:E|Err|W):\s*(.+)$", re.MULTILINE)


class Outlook(NamedTuple):
    """Side effects of an installation: packages removed or upgraded, or why it is impossible."""

    removed: list[str]
    upgraded: list[str]
    why_not: str


def is_here() -> bool:
    """Whether this system uses apt."""
    return find("apt-get") is not None


def update() -> str:
    """Update the package lists; returns what went wrong, or nothing. A broken repository does not affect the others."""
    return _failure(_apt("update"))


def policy(names: Sequence[str]) -> dict[str, bool]:
    """The packages among these that apt could install or has installed -> whether they are installed.

    Raises `UsageError` if apt does not even answer this, as with a list of sources that it cannot read.
    """
    if not names:
        return {}
    done = _run(["apt-cache", "policy", *names])
    if failure := _failure(done):
        raise UsageError(f"apt cannot be used: {failure}", remedy="mend that first; apt-get check shows it")
    found = {}
    for name, text in re.findall(r"^(\S+):\n(.*?)(?=^\S|\Z)", done.stdout, re.MULTILINE | re.DOTALL):
        versions = dict(re.findall(r"^  (Installed|Candidate): (\S+)", text, re.MULTILINE))
        if any(version != "(none)" for version in versions.values()):
            found[name] = versions.get("Installed", "(none)") != "(none)"
    return found


def outlook(packages: Sequence[str]) -> Outlook:
    """Simulate installing these."""
    done = _apt("install", *_OPTIONS, "--simulate", *packages)
    removed = list(dict.fromkeys(_REMOVED.findall(done.stdout)))
    upgraded = list(dict.fromkeys(name for name, _ in _UPGRADED.findall(done.stdout)))
    held = sorted({*upgraded} & {*_run(["apt-mark", "showhold"]).stdout.split()}) if upgraded else []
    why_not = _failure(done) or (f"{', '.join(held)} is held at its version (apt-mark showhold)" if held else "")
    return Outlook(removed, upgraded, why_not)


def install(packages: Sequence[str]) -> str:
    """Install these without removing anything; returns what went wrong, or nothing."""
    return _failure(_apt("install", *_OPTIONS, "--no-remove", *packages))


def is_locked(complaint: str) -> bool:
    """Whether another package manager holds the lock: trying the next package would wait as long again."""
    return "Could not get lock" in complaint or "Unable to acquire the dpkg" in complaint


_OPTIONS = ("--yes", "--no-install-recommends", "--reinstall")
"""`--reinstall` repairs installed packages that are incomplete; it does not affect others."""


def _apt(*words: str) -> subprocess.CompletedProcess[str]:
    return _run(["apt-get", "-qq", f"-oDPkg::Lock::Timeout={LOCK_SECONDS}", *words])


def _failure(done: subprocess.CompletedProcess[str]) -> str:
    """The errors of a failed call, in one line; or nothing."""
    if done.returncode == 0:
        return ""
    said = f"{done.stderr}\n{done.stdout}"
    complaints = list(dict.fromkeys(_COMPLAINT.findall(said)))
    words = "; ".join(complaints) or " ".join(said.split()) or f"it ended with status {done.returncode}"
    return words[:600]


def _run(words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a command with English messages and without prompts."""
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
