"""One archive of a run to send to somebody: its results and its report, without the names of the host and its users.

Measured values stay unchanged. The host is renamed `host-` and eight digits of its id's hash, so that several runs of
one machine can be recognised as such. Its name, the names of home folders, and those of other people's programs are
removed from every text.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from isobench.results import store

if TYPE_CHECKING:
    from collections.abc import Callable

    from isobench.results.record import Session
    from isobench.results.store import Run

_TEXTS = ("command", "host", "fingerprint", "versions", "left_behind", "label", "tags")
"""The fields of a record that hold free text."""
_PARTS = ("environments", "beneath", "skips", "failures")
"""Fields that hold records with free text, and names chosen by isobench itself:"""
_NAMES = frozenset({"name", "layer", "environment", "scenario", "compared_with"})
_PROGRAM = re.compile(r", most of it .*(?=\)$)", re.DOTALL)
"""The program that disturbed a block (isobench.cells.gate)."""
_HOMES = re.compile(r"(/home/|/Users/)[^/\s:,'\"]+")


def bundle(run: Run) -> bytes:
    """A gzipped tar archive with one folder: suite.json, session.json, report.md with its drawings,
    index.html."""
    from isobench.report import build  # slow: it imports numpy, and most callers only list the formats

    session = anonymous(run.session)
    with tempfile.TemporaryDirectory(prefix="isobench-bundle-") as name:
        folder = Path(name) / session.host_id / run.path.name
        folder.mkdir(parents=True)
        store.save(run._replace(path=folder, session=session))
        build.render(folder, folder)
        return _archive(folder, f"isobench-{session.host_id}-{run.path.name}")


def anonymous(session: Session) -> Session:
    """The record without the names of the host and its users."""
    name, dash, digits = session.host_id.rpartition("-")
    if not dash or not re.fullmatch(r"[0-9a-f]{8}", digits):
        name = session.host_id
    words = re.compile(rf"{re.escape(session.host_id)}|(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])")

    def clean(text: str) -> str:
        return _HOMES.sub(r"\1user", words.sub("host", text))

    fields = msgspec.to_builtins(session)
    for key in _TEXTS:
        fields[key] = _every_text(fields[key], clean)
    for part in (part for key in _PARTS for part in fields[key]):
        part.update({key: _every_text(value, clean) for key, value in part.items() if key not in _NAMES})
    for block in fields["blocks"]:
        block["marks"] = [_PROGRAM.sub("", mark) for mark in block["marks"]]
    fields["host_id"] = f"host-{hashlib.sha256(session.host_id.encode()).hexdigest()[:8]}"
    return msgspec.convert(fields, type(session))


def _every_text(value: Any, clean: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        return [_every_text(one, clean) for one in value]
    if isinstance(value, dict):
        return {clean(key): _every_text(one, clean) for key, one in value.items()}
    return value


def _archive(folder: Path, name: str) -> bytes:
    """The same bytes for the same files: no times, no owners."""
    target = io.BytesIO()
    with gzip.GzipFile(fileobj=target, mode="wb", mtime=0) as packed, tarfile.open(fileobj=packed, mode="w") as archive:
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = tarfile.TarInfo(f"{name}/{file.relative_to(folder)}")
            entry.size = file.stat().st_size
            entry.mode = 0o644
            with file.open("rb") as content:
                archive.addfile(entry, content)
    return target.getvalue()
