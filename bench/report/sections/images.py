"""Images: from the registry to the first byte by kind of image and engine, and what each kind takes and exposes. The
disks that virtual machines have instead are in `_disks.py`.

A raw process has no image. So kinds are compared with each other, within the same blocks of one engine: with an image
from scratch, those that differ only in their layers with the same files in one layer, and those that differ only in
their compression with gzip.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from isobench.contracts.image_kinds import KINDS, ZSTD
from isobench.layout import format
from isobench.layout.blocks import Figure, Paragraph, Span, table
from isobench.report import charts
from isobench.report.context import Section
from isobench.report.sections import _disks
from isobench.report.sections._shared import (
    SEEN_LISTS,
    alt_of,
    count_of,
    name_cell,
    scenario_details,
    seen_cell,
    whole_number,
    within_blocks,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from isobench.analysis.results import Estimate
    from isobench.layout.blocks import Block, Cell, Text
    from isobench.report.context import Context
    from isobench.report.sections._shared import Ratio

PREFIX = "image-"
_PARTS = ("fetch", "unpack", "fetch and unpack", "create", "start", "create and start")
"""Parts of the way to the first byte. If an engine does not separate two of them, there is one for both."""
_COSTS = (
    *("first-byte", "pull", "pull-top", "load", "import", "push"),
    *("build", "build-cached", "buildkit", "buildkit-cached", "remove", "start", "start-again", "memory"),
)
_MOST_BARS = 30
"""More cannot be distinguished, and make large files; the tables have all."""
_ON_DISK = {"disk": "the image", "disk-first": "one container", "disk-tenth": "ten"}
_COUNTS = ("layers", "files", "packages")
_NAMES = ("set-uid", "shells", "interpreters")


def build(context: Context) -> list[Block]:
    return [*_of_kinds(context), *_verified(context), *_disks.build(context)]


def _of_kinds(context: Context) -> list[Block]:
    kinds = _kinds(context)
    if not kinds:
        return []
    names = context.measured({row.environment for kind in kinds for row in context.select(PREFIX + kind)})
    figure = _figure(context, kinds, names)
    blocks: list[Block] = [figure] if figure else []
    blocks += [_costs(context, kinds, name) for name in names]
    blocks += [*_sizes(context, kinds, names), *_with_containers(context, kinds, names)]
    blocks += _inside(context, kinds)
    return [*blocks, *(block for kind in kinds for block in scenario_details(context, PREFIX + kind))]


def against(context: Context, metric: str, kind: str, reference: str, environment: str) -> Ratio | None:
    """The ratio of a cost between two kinds of images in the same engine; None if they share no block."""
    return within_blocks(context, metric, PREFIX + kind, PREFIX + reference, environment)


def told(context: Context, kind: str, fact: str) -> str:
    """A fact about a kind of image, the same in every engine; empty if it was not recorded."""
    return next(
        (text for record in context.session.environments if (text := record.facts.get(f"{PREFIX}{kind}.{fact}", ""))),
        "",
    )


def told_number(context: Context, kind: str, fact: str) -> float:
    """The same as a number; NaN if it was not recorded."""
    return whole_number(told(context, kind, fact))


def _kinds(context: Context) -> list[str]:
    """The kinds of images that were measured, in the order of the catalogue."""
    have = {row.scenario for row in context.estimates}
    return [kind for kind in KINDS if PREFIX + kind in have]


def _reference(kind: str) -> str:
    if kind.endswith(ZSTD):
        return kind.removesuffix(ZSTD)
    return "layers-1" if kind.startswith("layers-") else "scratch"


def _figure(context: Context, kinds: Sequence[str], names: Sequence[str]) -> Figure | None:
    """The parts of the way from the registry to the first byte, for each kind and engine that has them."""
    drawn = names[: max(1, _MOST_BARS // len(kinds))]
    bars, rows, uneven = [], [], []
    for kind in kinds:
        for name in drawn:
            label = f"{kind}, {format.clean(name, 30)}" if len(names) > 1 else kind
            parts = _parts(context, kind, name)
            if parts is None:
                uneven += [label] if context.find(PREFIX + kind, "first-byte", name) else []
                continue
            bars.append(charts.Bar(label, parts))
            whole = sum(part for part in parts if part == part)
            rows.append([label, *(format.quantity(part, "second") for part in (*parts, whole))])
    if not bars:
        return None
    title = "From the request for an image to the first byte of its first container"
    data = table(f"{title}: median of each part", ["image", *_PARTS, "sum"], rows)
    note = (
        "Each part as a share of the sum, with the sum beside it. Layers that arrive early are unpacked while the rest "
        "is fetched; unpack is what remains after that. The registry is on the same host: the times include no network."
    )
    if drawn != names:
        others = format.listing([format.clean(name, 30) for name in names[len(drawn) :]])
        note += f" Not drawn, but in the tables: {others}."
    if uneven:
        note += f" Not drawn, as not every part is there in every block: {format.listing(uneven)}."
    return Figure(title, charts.stacked(bars, _PARTS, "second"), alt_of(title, data), note, data)


def _parts(context: Context, kind: str, name: str) -> list[float] | None:
    """The medians of the parts; None without values, or if they come from different blocks and do not add up."""
    found = {m: context.find(PREFIX + kind, m, name) for m in ("pull", "fetch", "unpack", "create", "start")}
    medians = {metric: row.median for metric, row in found.items() if row}
    if not medians.keys() >= {"pull", "start"} or len({row.counted for row in found.values() if row}) > 1:
        return None
    none, pull, start = math.nan, medians["pull"], medians["start"]
    fetched = [medians.get("fetch", none), medians.get("unpack", none)]
    created = medians.get("create", none)
    return [
        *([*fetched, none] if fetched[0] == fetched[0] and fetched[1] == fetched[1] else [none, none, pull]),
        *([created, start - created, none] if created == created else [none, none, start]),
    ]


def _costs(context: Context, kinds: Sequence[str], name: str) -> Block:
    """What each kind costs in one engine, with its ratio to the kind that it is compared with."""
    metrics = [m for m in _COSTS if any(context.find(PREFIX + kind, m, name) for kind in kinds)]
    rows: list[list[Cell | Text]] = []
    for kind in kinds:
        found = [context.find(PREFIX + kind, metric, name) for metric in metrics]
        if any(found):
            rows.append([_kind_cell(kind), *(_cost_cell(context, kind, row) for row in found)])
    caption = (
        f"{format.clean(context.title(name), 60)}: costs by kind of image, with their ratio to an image from scratch, "
        "or, for the same files in several layers, to one layer, and for those compressed with zstd, to the kind with "
        "gzip. Compared within blocks [95 %]."
    )
    return table(caption, ["image", *metrics], rows)


def _kind_cell(kind: str) -> Text:
    return (Span(kind, "strong"), Span(KINDS[kind], "small"))


def _cost_cell(context: Context, kind: str, row: Estimate | None) -> Text:
    if row is None:
        return format.MISSING
    cost, reference = Span(format.cost(row), "strong"), _reference(kind)
    ratio = against(context, row.metric, kind, reference, row.environment) if kind != reference else None
    return (cost,) if ratio is None else (cost, Span(ratio.words, "small"))


def _sizes(context: Context, kinds: Sequence[str], names: Sequence[str]) -> list[Block]:
    """The sizes of each kind, on the wire and on the disk of each engine, and its contents."""
    disks = [name for name in names if any(context.find(PREFIX + kind, "disk", name) for kind in kinds)]
    rows: list[list[Cell | Text]] = []
    for kind in kinds:
        cells: list[Cell | Text] = [_kind_cell(kind)]
        cells += [format.quantity(told_number(context, kind, fact), "byte") for fact in ("wire", "bytes")]
        found = [context.find(PREFIX + kind, "disk", name) for name in disks]
        cells += [format.cost(row) if row else format.MISSING for row in found]
        cells += [format.clean(told(context, kind, fact), 20) or format.MISSING for fact in _COUNTS]
        cells += [_named(told(context, kind, fact)) for fact in _NAMES]
        rows.append(cells)
    if not any(told(context, kind, "wire") for kind in kinds):
        return []
    on_disk = [f"on disk, {format.clean(name, 30)}" for name in disks]
    caption = (
        "What each kind of image takes, and what is in it besides the same probe: bytes that the registry sends, bytes "
        "of the files, blocks on the disk; set-uid and set-gid programs, shells, interpreters."
    )
    made = [
        f"{kind}: {format.clean(text, 120)}"
        for kind in kinds
        if not kind.endswith(ZSTD) and (text := told(context, kind, "made-of"))
    ]
    return [
        table(caption, ["image", "sent", "unpacked", *on_disk, *_COUNTS, *_NAMES], rows),
        *([Paragraph(f"Made of: {'; '.join(made)}.")] if made else []),
    ]


_INSIDE = {
    "files": "files",
    "setuid": "set-uid files",
    "devices": "unusual devices",
    "readable": "readable kernel files",
    "writable": "writable kernel files",
    "mounted": "the host's file systems",
    "processes": "processes",
    "capabilities": "capabilities",
    "calls": "system calls let through",
}
"""Fact about a container of a kind of image -> the column's title."""


def _inside(context: Context, kinds: Sequence[str]) -> list[Block]:
    """What a program sees in a container of each kind, in the first engine of which it was recorded."""
    for record in context.session.environments:
        have = [kind for kind in kinds if f"{PREFIX}{kind}.inside.files" in record.facts]
        if have:
            break
    else:
        return []
    rows: list[list[Cell | Text]] = []
    for kind in have:
        facts = {fact: record.facts.get(f"{PREFIX}{kind}.inside.{fact}", "") for fact in _INSIDE}
        cells = [seen_cell(text, is_list=fact in SEEN_LISTS) for fact, text in facts.items()]
        rows.append([_kind_cell(kind), *cells])
    caption = (
        f"What a program sees in a container of each kind, in {format.clean(context.title(record.name), 60)}. Files "
        "are an image's own; all else is the boundary that the engine makes, which should not depend on an image."
    )
    return [table(caption, ["image", *_INSIDE.values()], rows)]


_SIGNED = "image-signed"


def _verified(context: Context) -> list[Block]:
    """What it costs that an engine verifies a signature before it uses an image."""
    rows: list[list[Cell | Text]] = []
    for name in context.measured({row.environment for row in context.select(_SIGNED)}):
        found = [context.find(_SIGNED, metric, name) for metric in ("pull-unverified", "pull-verified")]
        ratio = within_blocks(context, "pull-verified", _SIGNED, _SIGNED, name, than="pull-unverified")
        costs = [format.cost(row) if row else format.MISSING for row in found]
        rows.append([name_cell(context, name), *costs, ratio.words if ratio else format.MISSING])
    if not rows:
        return []
    caption = (
        "Pulling the same signed image from scratch by a policy that accepts any image, and by one that demands its "
        "signature (simple signing with GPG), compared within blocks [95 %]. In each block the second policy also "
        "refused an unsigned image, and one with the signature of another."
    )
    seen = table(caption, ["environment", "unverified", "verified", "ratio"], rows)
    return [seen, *scenario_details(context, _SIGNED)]


def _with_containers(context: Context, kinds: Sequence[str], names: Sequence[str]) -> list[Block]:
    """What each kind takes on the disk of each engine, alone, with its first container, and with ten."""
    found = {
        (kind, name, metric): row
        for kind in kinds
        for name in names
        for metric in _ON_DISK
        if (row := context.find(PREFIX + kind, metric, name))
    }
    have = {column[1:] for column in found}
    columns = [(name, metric) for name in names for metric in _ON_DISK if (name, metric) in have]
    if not any(metric != "disk" for _, metric in columns):
        return []
    rows: list[list[Cell | Text]] = []
    for kind in kinds:
        cells = [found.get((kind, *column)) for column in columns]
        if any(cells):
            rows.append([_kind_cell(kind), *(format.cost(row) if row else format.MISSING for row in cells)])
    caption = (
        "On the disk: each kind of image alone, with one container, and with ten. The containers have written "
        "nothing; what they share with the image counts once."
    )
    heads = [f"{format.clean(name, 30)}, {_ON_DISK[metric]}" for name, metric in columns]
    return [table(caption, ["image", *heads], rows)]


def _named(text: str) -> Text:
    """How many, and which."""
    if not text:
        return format.MISSING
    number = count_of(text)
    return str(number) if number == 0 else (Span(str(number)), Span(format.clean(text, 60), "small"))


SECTION = Section(83, "images", "Images and disks: until the first byte, and what is stored", build, "Images")
