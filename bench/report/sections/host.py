"""The host, the command that repeats the run, and the location of the raw data."""

from __future__ import annotations

import gzip
import shlex
from typing import TYPE_CHECKING

from isobench.layout import format
from isobench.layout.blocks import Attachment, Code, Heading, Paragraph, Span, table
from isobench.report.context import Section

if TYPE_CHECKING:
    from isobench.layout.blocks import Block, Cell, Text
    from isobench.report.context import Context

_WORDS = {
    "cpu": "processor",
    "cpus": "logical processors",
    "smt": "simultaneous multithreading",
    "governor": "frequency governor",
    "turbo": "turbo",
    "virtual": "bare metal or virtual",
    "confined": "isobench confined",
    "mitigations": "mitigations of CPU vulnerabilities",
    "cgroup": "cgroup layout",
    "thp": "transparent huge pages",
    "ksm": "kernel same-page merging",
    "clocksource": "clock source",
    "load": "load averages when the run began",
}
"""The meanings of the host facts' short names."""

_FILES = "as suite.json (every value, in pyperf's format) and session.json (everything else)."

_ATTACHED = 4_000_000
"""A run's files are embedded in the page up to so many bytes; compressed, they take about a tenth."""


def build(context: Context) -> list[Block]:
    session = context.session
    blocks: list[Block] = []
    rows: list[list[Cell | Text]] = [
        [format.clean(_WORDS.get(key, key), 60), format.clean(_value(key, text), 600)]
        for key, text in session.host.items()
        if text
    ]
    if rows:
        blocks.append(table("What the host is", ["fact", "value"], rows, left=2))
    if session.command:
        blocks += [
            Heading("To repeat this run, with its seed"),
            Code(format.clip(shlex.join(session.command), 2000)),
        ]
    folder = format.clean(f"results/{session.host_id}/{_stamp(context)}/", 200)
    return [
        *blocks,
        Heading("Raw data"),
        Paragraph((Span("They are in"), Span(folder, "code"), Span(_FILES))),
        *_attachments(context),
        Code(f"python -m pyperf stats {folder}suite.json\nisobench export {folder} --to csv"),
    ]


def _value(key: str, text: str) -> str:
    return {"0": "off", "1": "on"}.get(text, text) if key == "smt" else text


def _stamp(context: Context) -> str:
    """The name of the run's folder, also where it has been copied to another place."""
    path = context.run.path
    if path.parent.name == context.session.host_id:
        return path.name
    return context.session.started.replace(":", "").replace("-", "")


def _attachments(context: Context) -> list[Block]:
    """The run's own files, so that a forwarded page includes its data; not if they are large."""
    files = [context.run.path / name for name in ("suite.json", "session.json")]
    files = [file for file in files if file.is_file()]
    if sum(file.stat().st_size for file in files) > _ATTACHED:
        return []
    return [Attachment(f"{file.name}.gz", gzip.compress(file.read_bytes(), mtime=0)) for file in files]


SECTION = Section(130, "host", "Host and raw data", build, "Host")
