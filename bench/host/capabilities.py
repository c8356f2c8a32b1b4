"""The capabilities that a root in a container usually lacks."""

from __future__ import annotations

import os
import re

from isobench.processes.accounting import text_of

_NAMES = (
    *("chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap"),
    *("linux_immutable", "net_bind_service", "net_broadcast", "net_admin", "net_raw", "ipc_lock", "ipc_owner"),
    *("sys_module", "sys_rawio", "sys_chroot", "sys_ptrace", "sys_pacct", "sys_admin", "sys_boot", "sys_nice"),
    *("sys_resource", "sys_time", "sys_tty_config", "mknod", "lease", "audit_write", "audit_control", "setfcap"),
)
"""By their numbers, as in linux/capability.h; later ones do not matter to isolation."""


def lacking() -> list[str]:
    """The names of the capabilities that this process would have as an unconfined root; none if it is not root."""
    found = re.search(r"^CapEff:\s*([0-9a-f]+)$", text_of("/proc/self/status"), re.MULTILINE)
    if found is None or os.geteuid() != 0:
        return []
    held = int(found[1], 16)
    return [f"CAP_{name.upper()}" for number, name in enumerate(_NAMES) if not held >> number & 1]
