"""Disks of virtual machines beside images: what each way of making them costs, and what one more instance takes.

Ways are compared with a copy, within the blocks of one environment.
"""

from __future__ import annotations

import math
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from isobench.contracts.disks import DISK_KINDS, WAYS
from isobench.contracts.image_kinds import KINDS
from isobench.layout import format
from isobench.layout.blocks import Paragraph, Span, table
from isobench.report.sections._shared import name_cell, scenario_details, whole_number, within_blocks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from isobench.analysis.results import Estimate
    from isobench.layout.blocks import Block, Cell, Text
    from isobench.report.context import Context

_COSTS = ("first-byte", "make", "make-tenth", "start", "remove", "disk", "disk-used")
_REFERENCE = "copy"


class _Made(NamedTuple):
    """A kind of image whose files were on disks that were made in one way."""

    kind: str
    way: str

    @property
    def scenario(self) -> str:
        return scenario_of(self.kind, self.way)

    @property
    def cell(self) -> Text:
        return (Span(f"{self.kind}-{self.way}", "strong"), Span(f"{KINDS[self.kind]}: {WAYS[self.way]}", "small"))


def scenario_of(kind: str, way: str) -> str:
    """The scenario of disks with the files of a kind of image, made in one way."""
    return f"disk-{kind}-{way}"


def build(context: Context) -> list[Block]:
    have = {row.scenario for row in context.estimates}
    made = [one for kind in DISK_KINDS for way in WAYS if (one := _Made(kind, way)).scenario in have]
    names = context.measured({row.environment for one in made for row in context.select(one.scenario)})
    return [
        *(_costs(context, made, name) for name in names),
        *_one_more(context, made, names),
        *_distributions(context, names),
        *(block for one in made for block in scenario_details(context, one.scenario)),
    ]


def sentence(context: Context, names: Sequence[str]) -> str:
    """What one more of these virtual machines takes with a backing file and with a copy; empty if not measured."""
    for kind in reversed(DISK_KINDS):
        for name in names:
            found = [context.find(scenario_of(kind, way), "disk-used", name) for way in ("qcow2", "copy")]
            if None not in found:
                shared, whole = (format.cost(row) for row in found if row is not None)
                return (
                    f"one more virtual machine ({name}) with the files of the image {kind} takes {shared} on the disk "
                    f"if it has a qcow2 with a backing file, {whole} if it has a copy"
                )
    return ""


def _costs(context: Context, made: Sequence[_Made], name: str) -> Block:
    """What each way of making a disk costs in one environment, with its ratio to a copy."""
    metrics = [m for m in _COSTS if any(context.find(one.scenario, m, name) for one in made)]
    rows: list[list[Cell | Text]] = []
    for one in made:
        found = [context.find(one.scenario, metric, name) for metric in metrics]
        if any(found):
            rows.append([one.cell, *(_cost_cell(context, one, row) for row in found)])
    caption = (
        f"{format.clean(context.title(name), 60)}: costs of ten disks with the files of a kind of image, by how they "
        "are made, with their ratio to a copy, within blocks [95 %]."
    )
    return table(caption, ["disk", *metrics], rows)


def _cost_cell(context: Context, one: _Made, row: Estimate | None) -> Text:
    if row is None:
        return format.MISSING
    cost, ratio = Span(format.cost(row), "strong"), None
    if one.way != _REFERENCE:
        ratio = within_blocks(context, row.metric, one.scenario, scenario_of(one.kind, _REFERENCE), row.environment)
    return (cost,) if ratio is None else (cost, Span(ratio.words, "small"))


def _one_more(context: Context, made: Sequence[_Made], names: Sequence[str]) -> list[Block]:
    """What the first instance takes, and each further one, of containers and of virtual machines with the same
    files."""
    rows: list[list[Cell | Text]] = []
    for kind in dict.fromkeys(one.kind for one in made):
        engines = context.measured({row.environment for row in context.select(f"image-{kind}", "start-again")})
        rows += [_container(context, kind, name) for name in engines]
        ways = [one for one in made if one.kind == kind]
        rows += [_guest(context, one, name) for name in names for one in ways if _was_made(context, one, name)]
    caption = (
        "What one more instance with the same files takes (medians): of a container a ninth of what nine take beside "
        "the first, and its start from an image that is there; of a virtual machine its disk after the guest has run, "
        "and making that disk and booting. The first one takes the image besides, or the disk from which the others "
        "are made."
    )
    columns = ["environment", "files", "its storage", "the first takes", "one more takes", "until its first byte"]
    return [table(caption, columns, rows, left=3)] if rows else []


def _was_made(context: Context, one: _Made, name: str) -> bool:
    return context.find(one.scenario, "make", name) is not None


def container_bytes(context: Context, kind: str, name: str) -> float:
    """What one more container of a kind of image takes on the disk of an engine: the mean of nine in each block, the
    median over the blocks. NaN if that was not measured."""
    metrics = ("disk-first", "disk-tenth")
    first, ten = (dict(zip(*context.values(f"image-{kind}", m, name), strict=True)) for m in metrics)
    found = [(ten[block] - first[block]) / 9 for block in first if block in ten]
    return median(found) if found else math.nan


def _container(context: Context, kind: str, name: str) -> list[Cell | Text]:
    first, start = (context.find(f"image-{kind}", metric, name) for metric in ("disk-first", "start-again"))
    whole, own = first.median if first else math.nan, container_bytes(context, kind, name)
    return _row(context, name, kind, "what the engine adds to the image", whole, own, start)


def _guest(context: Context, one: _Made, name: str) -> list[Cell | Text]:
    disk, first = (context.find(one.scenario, metric, name) for metric in ("disk-used", "first-byte"))
    record = context.environment(name)
    source = whole_number(record.facts.get(f"{one.scenario}.source", "") if record else "")
    own = disk.median if disk else math.nan
    return _row(context, name, one.kind, WAYS[one.way], source + own, own, first)


def _row(
    context: Context, name: str, kind: str, storage: str, whole: float, own: float, first: Estimate | None
) -> list[Cell | Text]:
    taken = [format.quantity(value, "byte") for value in (whole, own)]
    return [name_cell(context, name), KINDS[kind], storage, *taken, format.cost(first) if first else format.MISSING]


def _distributions(context: Context, names: Sequence[str]) -> list[Block]:
    """How much longer a whole distribution takes than a kernel that is booted directly, where both were started."""
    found = [(name, context.difference("startup", "ready", f"{name}-distro", name)) for name in names]
    told = [f"{format.clean(name, 30)} {format.difference(one)}" for name, one in found if one is not None]
    if not told:
        return []
    return [
        Paragraph(
            "A stock Debian, which firmware and boot loader start from a qcow2 with a backing file, sends its first "
            f"byte later than a kernel that is booted directly: {format.listing(told)}."
        )
    ]
