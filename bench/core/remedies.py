"""Remedies of errors that occur on any host: a daemon, a permission, a full disk."""

from __future__ import annotations

import errno
import os


def to_start(service: str, program: str) -> str:
    """How to start a daemon on this host: by its init system if one runs, else by hand."""
    from pathlib import Path

    if Path("/run/systemd/system").is_dir():
        return f"systemctl start {service}"
    if Path("/run/openrc").is_dir():
        return f"rc-service {service} start"
    return f"start {program}: there is no init system here to do it"


def as_root(confined: str, otherwise: str = "") -> str:
    """The remedy of a missing permission: `confined` for root in a container that lacks it, `otherwise` for other
    users."""
    if os.geteuid() == 0:
        return confined
    return f"run isobench as root, or {otherwise}" if otherwise else "run isobench as root"


def mends(error: OSError, elsewhere: str) -> str:
    """The remedy if a file could not be created or written; `elsewhere` names the option or variable for another
    place."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"free space there, or choose another place: {elsewhere}"
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return "raise the limit of open files (ulimit -n)"
    if error.errno == errno.EFBIG:
        return f"raise the limit of a file's size (ulimit -f), or choose another file system: {elsewhere}"
    return f"choose another place: {elsewhere}"
