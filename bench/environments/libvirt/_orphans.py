"""What libvirt keeps of guests of other users' dead runs: their AppArmor profiles and logs.

An ordinary user in the group libvirt has guests started by root's daemon, which writes root's files for them. What is
left of them after a crash of the host, or after libvirt was killed with its guests, only root may remove. These files
are found without a record, since a profile is named after the domain's UUID, which has isobench's mark, and a log after
the domain.

Whoever may start guests chooses their names and UUIDs, so these prove nothing. They need not: only a file is removed
that root alone can have written, in a folder that root alone can change, and that nothing uses.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from isobench.environments.libvirt._traces import LOGS, MARK, PROFILES, domain_uuid, is_libvirts
from isobench.filesystem.ownership import NotOurs, folder, open_file
from isobench.filesystem.paths import RUN_PREFIX
from isobench.processes.accounting import command_line, descriptors, pids_with, text_of

_UUID = rf"[0-9a-f]{{8}}-{MARK}[0-9a-f]{{3}}-[0-9a-f]{{12}}"
_PROFILE = re.compile(rf"libvirt-({_UUID})(\.files)?")
_LOG = re.compile(rf"(({RUN_PREFIX}\d{{8}}T\d{{6}}Z-[0-9a-f]{{6}})-.+?)(-fs\d+-virtiofsd)?\.log(\.\d+)?")
_ENABLED = Path("/sys/module/apparmor/parameters/enabled")
_LOADED = Path("/sys/kernel/security/apparmor/profiles")
_ANY_SIZE = 1 << 40
_HEAD = 4096
"""Characters that contain the first lines of a profile."""


class _File(NamedTuple):
    kind: str
    place: Path
    name: str
    uuid: str
    """The domain's."""


def remove_orphans(root: Path = Path("/"), *, dry_run: bool = False) -> list[str]:
    """Remove the profiles and logs of isobench's domains that no longer exist; returns a line for each file.

    The files are found before it is asked what is in use, so that none of them belongs to a guest that is just
    starting. virt-aa-helper writes a profile and loads it in one process, whose command line has the UUID. The daemon
    that creates a log, libvirt's or virtlogd, has it open at least until QEMU runs, whose command line has the UUID.
    A loaded profile stays, and its files: without it the processes that it confines would be confined no longer.
    libvirt unloads it when it learns that the guest has ended, or the host's next start does.
    """
    found = [*_profiles(root / PROFILES), *_logs(root / LOGS)]
    used = _in_use() if found else None
    if used is None:
        return []
    removed = [file for file in found if file.uuid not in used and _remove(file, dry_run=dry_run)]
    return [f"{'would remove ' if dry_run else ''}{file.kind} {file.name}" for file in removed]


def _profiles(place: Path) -> list[_File]:
    profiles = [(name, _PROFILE.fullmatch(name)) for name in _names(place)]
    return [_File("AppArmor profile", place, name, match[1]) for name, match in profiles if match]


def _logs(place: Path) -> list[_File]:
    logs = [(name, _domain_of(name)) for name in _names(place)]
    return [_File("log", place, name, uuid) for name, uuid in logs if uuid]


def _domain_of(name: str) -> str:
    """The UUID of the domain whose log is called so; empty for another name."""
    match = _LOG.fullmatch(name)
    return domain_uuid(match[2], match[1]) if match else ""


def _names(place: Path) -> list[str]:
    """What is in this folder; nothing if another user could change it."""
    with suppress(OSError, NotOurs), folder(place) as within:
        return sorted(os.listdir(within))
    return []


def _remove(file: _File, *, dry_run: bool) -> bool:
    """Remove this file, and return whether it was one to remove: regular, writable by root alone, a profile of
    libvirt's."""
    with suppress(OSError, NotOurs), folder(file.place) as within:
        with open(open_file(file.name, within, limit=_ANY_SIZE), errors="replace") as opened:
            if file.kind != "log" and not is_libvirts(opened.read(_HEAD)):
                return False
        if not dry_run:
            os.unlink(file.name, dir_fd=within)
        return True
    return False


def _in_use() -> set[str] | None:
    """The UUIDs of logs that are open, those that a process names (libvirt's helper, QEMU), and those whose profile the
    kernel has loaded; None if it has profiles and does not tell which.

    A log may be closed as soon as QEMU runs, so its command line is read after that.
    """
    logs = {_domain_of(opened.rpartition("/")[2]) for pid in pids_with() for opened in descriptors(pid)}
    words = b"\0".join(map(command_line, pids_with())).decode(errors="replace")
    loaded = ""
    if text_of(_ENABLED) == "Y":
        try:
            loaded = _LOADED.read_text(errors="replace")
        except OSError:  # a container may not see it
            return None
    return {*logs, *re.findall(_UUID, words), *re.findall(_UUID, loaded)}
