"""Why an environment cannot be had here or a cell failed, in words for people, and what mends it."""

from __future__ import annotations

import os
from pathlib import Path

from bench.errors import IsobenchError

_REMEDIES = {
    "hybrid mode not supported": "boot with systemd.unified_cgroup_hierarchy=1, for cgroup version 2",
    "unable to apply caps": "run on a host that has all capabilities: this one is itself confined",
    "QEMU stopped the guest": "grep -c -E 'vmx|svm' /proc/cpuinfo: at 0, enable virtualisation in the firmware",
    "did not say ready": "--timeout 5m, where the host is only slow",
    "No space left": "make room on the disk, or set ISOBENCH_WORK and ISOBENCH_CACHE to another",
}
"""What other programs say where their words are the reason -> what mends it."""


def reason_of(error: Exception) -> str:
    """The reason in one line of text that can be kept; of what nobody foresaw, where it happened as well.

    Where ISOBENCH_DEBUG is set, what nobody foresaw is raised again.
    """
    if isinstance(error, IsobenchError):
        reason = error.reason
    elif isinstance(error, OSError):
        reason = str(error)
    elif os.environ.get("ISOBENCH_DEBUG"):
        raise error
    else:
        import traceback

        frames = traceback.extract_tb(error.__traceback__)
        where = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
        what = f"{type(error).__name__}: {error}"[:500]
        reason = f"an error of isobench itself, please report it: {what}{where}"
    return as_text(reason)


def as_text(words: str) -> str:
    """With what is no Unicode (half a surrogate pair, the odd byte of a file's name) written out."""
    return words.encode(errors="backslashreplace").decode()


def told(error: Exception) -> tuple[str, str]:
    """The reason with the last line that the instance said, and the remedy: the error's own, or one known for these
    words, or nothing."""
    reason = reason_of(error)
    lines = [line.strip() for line in str(getattr(error, "console", "")).splitlines() if line.strip()]
    if lines:
        reason = f"{reason} (last line: {lines[-1][:200]})"
    known = next((remedy for words, remedy in _REMEDIES.items() if words in reason), "")
    return reason, str(getattr(error, "remedy", "")) or known
