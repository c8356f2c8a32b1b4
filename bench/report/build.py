"""From a run folder to the report's files: finds the sections, builds their blocks once, lays them out per format."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING

from isobench.analysis.results import Results, load
from isobench.contracts import plugins
from isobench.core.errors import UsageError
from isobench.core.remedies import mends
from isobench.filesystem.files import read_regular
from isobench.layout import format, html, markdown
from isobench.layout.blocks import costs_shown
from isobench.layout.markdown import pictures_of
from isobench.layout.page import FILES, Page, Part
from isobench.layout.places import placed
from isobench.report import sections
from isobench.report.context import Context, Section
from isobench.report.explore import explorer
from isobench.results.store import write_atomically

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from isobench.analysis.results import Results

TITLE = "What isolation costs"
_HEAD = 2048
"""A report has its title within its first so many bytes."""

PICTURES = "report_files"
"""The folder with the drawings of `report.md`, beside it."""


def render(
    results: Results | Path,
    out_dir: Path,
    formats: Sequence[str] = ("html", "md"),
    compare_with: Results | None = None,
) -> dict[str, Path]:
    """Write the report of a run, or of the run in a folder, into `out_dir`; gives the file of each format.

    With `compare_with`, another run, the report has a section that compares the two. Raises `UsageError` for an
    unknown format or a folder that cannot be written, `StoreError` for a run that cannot be read.
    """
    unknown = [name for name in formats if name not in FILES]
    if unknown:
        raise UsageError(f"unknown format {unknown[0]!r}", remedy=f"choose from {', '.join(FILES)}")
    return write(page_of(make_context(results, compare_with)), out_dir, formats)


def write(page: Page, out_dir: Path, formats: Sequence[str] = ("html", "md")) -> dict[str, Path]:
    """Write a report in these formats, in the place of an earlier one only.

    Raises `UsageError` for a folder that cannot be written, or in which something else has the name of a report's file.
    """
    written = {}
    for name in formats:
        check_is_report(out_dir / FILES[name])
    for name in formats:
        target = out_dir / FILES[name]
        if name == "md":
            _draw(page, out_dir / PICTURES, _drawings_of(target))
        _write(target, _lay_out(page, name).encode("utf-8", errors="replace"))
        written[name] = target
    return written


def page_of(context: Context) -> Page:
    """The page with all sections that have content for a run."""
    sections = find_sections()
    built = {section.anchor: section.build(context) for section in sections}
    shown = costs_shown([block for blocks in built.values() for block in blocks])
    for section in sections:
        if section.complete is not None:
            built[section.anchor] = [*built[section.anchor], *section.complete(context, shown)]
    parts = placed([Part(s.anchor, s.title, built[s.anchor], s.word) for s in sections if built[s.anchor]])
    session = context.session
    measured = sum(block.index > 0 for block in session.blocks)
    used = session.blocks_used
    left_out = f" ({measured - used} disturbed ones excluded)" if used < measured else ""
    name = f"{format.clean(session.label, 100)}: " if session.label else ""
    subtitle = (
        f"{name}{format.clean(session.host_id, 60)}, {format.clean(session.started, 40)}: "
        f"{format.count(len(session.environments), 'environment')}, {format.count(used, 'block')}{left_out}, "
        f"profile {format.clean(session.profile, 40)}, every ratio against {context.title(context.baseline)}"
    )
    footer = f"Written by isobench {format.clean(session.isobench, 40)} from run {format.clean(session.run_id, 80)}."
    values = explorer(context)
    return Page(TITLE, subtitle, footer, parts, values.data if values is not None else "")


def make_context(results: Results | Path, compare_with: Results | None = None) -> Context:
    """The context for the sections, from a run or the run in a folder."""
    mine = results if isinstance(results, Results) else load(results)
    folder = mine.run.path.resolve().parent.parent
    return Context(mine, compare_with, folder if (folder / mine.session.host_id).is_dir() else None)


def find_sections() -> list[Section]:
    """Every section that lies in `bench/report/sections/`, and other packages', in order."""
    found: list[Section] = list(plugins.find(SECTION_PLUGINS, sections).values())
    return sorted(found, key=lambda section: section.order)


def _wrong_section(one: object) -> list[str]:
    return [] if isinstance(one, Section) else [f"it is of type {type(one).__name__}, not isobench.api.Section"]


SECTION_PLUGINS = plugins.Kind("a section", "SECTION", "isobench.sections", _wrong_section, "anchor")


def _lay_out(page: Page, name: str) -> str:
    if name == "html":
        return html.lay_out(page)
    return markdown.lay_out(page, PICTURES)


def check_is_report(target: Path) -> None:
    """Raise `UsageError` if this is a file other than a report: it would be overwritten."""
    head = _content(target)[:_HEAD]
    if head and TITLE.encode() not in head:
        reason = f"{target} is already there, and is not a report of isobench"
        raise UsageError(reason, remedy="choose another folder, or remove it")


def _drawings_of(target: Path) -> set[str]:
    """The names of the drawings in a report that is already there."""
    return set(re.findall(rf"\]\({PICTURES}/([\w-]+\.svg)\)", _content(target).decode(errors="replace")))


def _content(target: Path) -> bytes:
    with suppress(OSError):  # there is none, or it is none that could be read
        return read_regular(target, _LARGEST)
    return b""


_LARGEST = 1 << 26


def _draw(page: Page, folder: Path, before: set[str]) -> None:
    """The drawings, each a file; those of the report there before (`before`) that are not in this one are removed."""
    drawn = pictures_of(page)
    if folder.is_symlink():  # what is written and removed is the report's own
        folder.unlink()
    for name, data in drawn.items():
        _write(folder / name, data)
    for name in before - drawn.keys():
        (folder / name).unlink(missing_ok=True)


def _write(target: Path, data: bytes) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, data)
    except OSError as error:
        reason = f"cannot write the report to {target.parent}: {error.strerror}"
        raise UsageError(reason, remedy=mends(error, "--out (of isobench run: --reports)")) from error
