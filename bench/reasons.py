"""Why an environment cannot be had here, in words for people, and what mends it."""

from __future__ import annotations

from bench.errors import IsobenchError

_REMEDIES = {
    "hybrid mode not supported": "boot with systemd.unified_cgroup_hierarchy=1, for cgroup version 2",
    "unable to apply caps": "run on a host that has all capabilities: this one is itself confined",
    "the guest was not ready": "grep -c -E 'vmx|svm' /proc/cpuinfo: at 0, enable virtualisation in the firmware",
    "QEMU stopped the guest": "grep -c -E 'vmx|svm' /proc/cpuinfo: at 0, enable virtualisation in the firmware",
    "did not say ready": "isobench doctor --timeout 300, where the host is only slow",
    "No space left": "make room on the disk, or set ISOBENCH_WORK and ISOBENCH_CACHE to another",
}
"""What other programs say where their words are the reason -> what mends it."""


def told(error: Exception) -> tuple[str, str]:
    """The reason with the last line that the instance said, and the remedy: the error's own, or one known for these
    words, or nothing."""
    reason = error.reason if isinstance(error, IsobenchError) else str(error)
    lines = [line.strip() for line in str(getattr(error, "console", "")).splitlines() if line.strip()]
    if lines:
        reason = f"{reason} (last line: {lines[-1][:200]})"
    known = next((remedy for words, remedy in _REMEDIES.items() if words in reason), "")
    return reason, str(getattr(error, "remedy", "")) or known
