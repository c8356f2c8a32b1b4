"""How the host confines the process behind an instance: the program itself, or the VMM that runs it.

Read from the host, since a guest cannot see how its VMM is confined, nor a program whether what it sees is all.
"""

from __future__ import annotations

import pwd
import re
from typing import TYPE_CHECKING

from isobench.contracts.launch import idle
from isobench.core.errors import MeasurementError
from isobench.processes.accounting import text_of

if TYPE_CHECKING:
    from isobench.contracts.environment import Sandbox

_SECCOMP = {"0": "none", "1": "strict", "2": "filter"}


def facts(sandbox: Sandbox) -> dict[str, str]:
    """User, capabilities, seccomp, no_new_privs and security label of the process of one idle instance; or why they are
    unknown."""
    try:
        with sandbox.launch(idle()) as instance:
            found = [_of(pid) for pid, role in sorted(instance.host_pids().items()) if role == "payload"]
            instance.wait()
    except MeasurementError as error:  # the other facts must not be lost
        return {"outside.unknown": error.reason}
    known = next(filter(None, found), None)
    return {f"outside.{name}": text for name, text in known.items()} if known else {"outside.unknown": _UNSEEN}


_UNSEEN = "its process is not visible from here"


def _of(pid: int) -> dict[str, str]:
    """Empty if the process is gone."""
    status = dict(re.findall(r"^(\w+):\s*(.*)$", text_of(f"/proc/{pid}/status"), re.MULTILINE))
    if not {"Uid", "CapEff"} <= status.keys():
        return {}
    return {
        "program": status["Name"],
        "user": _user(int(status["Uid"].split()[1])),
        "capabilities": str(int(status["CapEff"], 16).bit_count()),
        "seccomp": _SECCOMP.get(status.get("Seccomp", ""), "not known"),
        "no_new_privs": {"1": "yes", "0": "no"}.get(status.get("NoNewPrivs", ""), "not known"),
        "label": _label(text_of(f"/proc/{pid}/attr/current").strip("\0")),
    }


def _label(text: str) -> str:
    """Without what libvirt chooses anew for each guest: its UUID (AppArmor), its pair of categories (SELinux)."""
    return re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|c\d+,c\d+", "*", text) or "none"


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)
