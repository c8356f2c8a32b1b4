"""File systems that lack something, under the work folder, the cache and the state folder."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from verification.faults.place import ISOBENCH, Line, Tally

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from verification.faults.place import Place

FOLDERS = ("WORK", "CACHE", "STATE")
ENVIRONMENTS = "process,handmade,docker"
RUN = ("run", "-s", "startup", "--blocks", "1", "--no-report", "-e")
_KINDS = {
    "noexec": {"WORK": (0, "noexec"), "CACHE": (5, "noexec"), "STATE": (0, "")},
    "read-only": {"WORK": (2, "Read-only"), "CACHE": (5, "Read-only"), "STATE": (2, "Read-only")},
    "open to all": {"WORK": (2, "written by others"), "CACHE": (2, "written by others"), "STATE": (2, "by others")},
    "sticky": {"WORK": (0, ""), "CACHE": (0, ""), "STATE": (2, "written by others")},
    "an overlay": {"WORK": (0, "ISOBENCH_WORK"), "CACHE": (0, ""), "STATE": (0, "")},
    "a long path": {"WORK": (0, ""), "CACHE": (0, ""), "STATE": (0, "")},
    "a relative path": {"WORK": (0, ""), "CACHE": (0, ""), "STATE": (0, "")},
    "nothing": {"WORK": (0, ""), "CACHE": (0, ""), "STATE": (0, "")},
}
"""Kind of folder -> the run's exit code and what it prints, for each of the three folders."""
_REFUSED = {
    "fsync=EINVAL fdatasync=EINVAL": (0, ""),
    "fsync=EIO": (2, "Input/output error"),
    "linkat=EPERM": (0, ""),
    "linkat=EOPNOTSUPP": (0, ""),
    "tmpfile=EOPNOTSUPP": (0, ""),
    "tmpfile=EISDIR": (0, ""),
    "flock=ENOLCK": (2, "No locks available"),
    "flock=EOPNOTSUPP": (2, "Operation not supported"),
    "tmpfile=EISDIR linkat=EPERM fsync=EINVAL": (0, ""),
}
"""System calls that fail -> the same."""


def kinds(place: Place) -> Line:
    """Each kind under each of the three folders."""
    tally = Tally(place)
    place.call(*RUN, "process")
    place.call(*RUN, "process", ISOBENCH_STATE="")  # a state folder's lock stays
    for kind, expected in _KINDS.items():
        for name, (code, words) in expected.items():
            before = place.before()
            with _folder(place, kind) as value:
                environ = {f"ISOBENCH_{name}": value}
                if kind == "noexec" and name == "WORK":  # what runs no program there is still measured
                    environ["ISOBENCH_RUN_BASELINE"] = "handmade"
                got, said = place.call(*RUN, ENVIRONMENTS, timeout=200, **environ)
                wrong = "" if got == code and words in said else f"{kind} {name}: exit code {got}: {said[-300:]}"
                cleaned, said = place.call("clean", timeout=60, **environ)
                if code == 0 and (cleaned != 0 or "nothing to clean" not in said):
                    wrong = wrong or f"{kind} {name}: clean: {cleaned}: {said[-200:]}"
            tally.add(wrong, before)
    note = "noexec, read-only, world-writable, sticky, overlay, long, relative, empty: measured, or a one-line error"
    return tally.line("odd file systems and folders", note)


def refused(place: Place) -> Line:
    """As on a network file system: no syncs, no links, no unnamed files, no locks."""
    tally = Tally(place)
    for calls, (code, words) in _REFUSED.items():
        before = place.before()
        command = [
            sys.executable,
            "-m",
            "verification.faults.refusing",
            *calls.split(),
            "--",
            *ISOBENCH,
            *RUN,
        ]
        done = subprocess.run(
            [*command, "process,handmade"],
            cwd=place.folder,
            env={**place.environ, "ISOBENCH_CACHE": str(place.folder / "cache")},
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        got = done.returncode
        wrong = "" if got == code and words in done.stderr else f"{calls}: exit code {got}: {done.stderr[-300:]}"
        if code == 0 and not place.last_run().series:
            wrong = wrong or f"{calls}: nothing is on disk"
        subprocess.run(["rm", "-rf", str(place.folder / "cache"), str(place.folder / "results")], check=True)
        tally.add(wrong, before)
    note = "works without unsupported operations; failures are reported, and no file is partially written"
    return tally.line("file systems without locks, syncs, links", note)


@contextmanager
def _folder(place: Place, kind: str) -> Iterator[str]:
    """The value of the variable."""
    folder = place.folder / "odd"
    folder.mkdir()
    mounted = _mounted(folder, kind)
    try:
        if kind == "a long path":
            (folder / ("x" * 100)).mkdir()
            yield str(folder / ("x" * 100))
        else:
            yield {"a relative path": "odd", "nothing": ""}.get(kind, str(folder))
    finally:
        for point in reversed(mounted):
            subprocess.run(["umount", "--lazy", str(point)], check=True)
        subprocess.run(["rm", "-rf", str(folder), str(place.folder / "layers")], check=True)


def _mounted(folder: Path, kind: str) -> list[Path]:
    """Mount a folder of this kind; returns what is mounted now."""
    options = {"noexec": "noexec,mode=755", "read-only": "ro,mode=755"}
    modes = {"open to all": 0o777, "sticky": 0o1777}
    if kind in options:
        subprocess.run(["mount", "-t", "tmpfs", "-o", options[kind], "tmpfs", str(folder)], check=True)
        return [folder]
    folder.chmod(modes.get(kind, 0o755))
    if kind != "an overlay":
        return []
    layers = folder.with_name("layers")
    layers.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(layers)], check=True)
    for name in ("lower", "upper", "work"):
        (layers / name).mkdir()
    words = ",".join(f"{name}dir={layers}/{name}" for name in ("lower", "upper", "work"))
    subprocess.run(["mount", "-t", "overlay", "-o", words, "overlay", str(folder)], check=True)
    return [layers, folder]


ROWS = {"file-systems": kinds, "refused": refused}
