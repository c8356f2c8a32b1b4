"""13. The host, the command that repeats the run, and where the raw data lie."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from bench.report import format
from bench.report.blocks import Code, Paragraph, Span, table
from bench.report.context import Section

_FILES = "as suite.json (every value, in pyperf's format) and session.json (everything else)."

if TYPE_CHECKING:
    from bench.report.blocks import Block, Cell, Text
    from bench.report.context import Context


def build(context: Context) -> list[Block]:
    session = context.session
    blocks: list[Block] = []
    rows: list[list[Cell | Text]] = [
        [format.clean(key, 60), format.clean(text, 600)] for key, text in session.host.items() if text
    ]
    if rows:
        blocks.append(table("What the host is", ["fact", "value"], rows, left=2))
    if session.command:
        blocks += [
            Paragraph("To repeat this run, with its seed:"),
            Code(format.clip(shlex.join(session.command), 2000)),
        ]
    run = context.run.path
    folder = format.clean(f"results/{run.parent.name}/{run.name}/", 200)
    blocks += [
        Paragraph((Span("The raw data lie in"), Span(folder, "code"), Span(_FILES))),
        Code(f"python -m pyperf stats {folder}suite.json\nisobench export {folder} --to csv"),
    ]
    return blocks


SECTION = Section(130, "host", "Host and raw data", build)
