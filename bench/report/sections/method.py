"""How it was measured: the exact configuration of every environment, versions, and what the method cannot show."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isobench.core.model import BAND
from isobench.layout import format
from isobench.layout.blocks import Block, Cell, Code, Details, Heading, Items, Paragraph, table
from isobench.report.context import Section
from isobench.report.sections._shared import name_cell

if TYPE_CHECKING:
    from isobench.layout.blocks import Text
    from isobench.report.context import Context
    from isobench.results.record import EnvironmentRecord

_LONG = 100
"""A fact longer than this, or of several lines, is shown as code."""

_CODE_LIMIT = 20_000

_PROTOCOL = (
    "Every value comes from one fresh instance of the same static program, launched for it and destroyed after it.",
    "Every block launches each environment once, in an order shuffled from the stored seed, and the baseline twice: "
    "the second copy is the A/A control.",
    "A ratio is the Hodges–Lehmann centre of the log-ratios of environment to baseline within one block; its interval "
    "holds at 95 % (Wilcoxon inversion).",
    f"Verdicts compare the interval with the band from {format.band(BAND)}. An interval outside the band is printed "
    "wider, as Holm's correction for the number of comparisons requires. "
    "An interval that crosses an edge of the band is inconclusive, which is not the same as equal.",
    "All startup events are stamped on the host's monotonic clock; no guest clock is used.",
    "Nothing is subtracted, and no outlier is removed. The warm-up block is stored and not used. A block that a rule "
    "fixed beforehand marks as disturbed is excluded whole.",
    "The numbers hold for this host on this day. A ratio is a better guide to another host than an absolute value, but "
    "neither replaces a run there.",
)


def build(context: Context) -> list[Block]:
    entries: list[Text] = list(_PROTOCOL)
    blocks: list[Block] = [Items(entries), _differences(context)]
    blocks.append(Heading("Exact configuration"))
    blocks += [_configuration(e, context) for e in context.session.environments if e.facts]
    versions: list[list[Cell | Text]] = [
        [format.clean(k, 60), format.clean(v)] for k, v in context.session.versions.items()
    ]
    if versions:
        blocks.append(Details("Versions", [table("Tools and libraries used", ["what", "version"], versions, left=2)]))
    return blocks


def _differences(context: Context) -> Block:
    rows: list[list[Cell | Text]] = []
    for environment in context.session.environments:
        other = environment.compared_with
        alone = "that alone" if environment.single_factor else "several things" if other else ""
        rows.append(
            [
                name_cell(context, environment.name),
                format.clean(environment.layer, 40),
                format.clean(other or "", 60) or "stands alone",
                format.clean(environment.adds) or format.MISSING,
                alone or format.MISSING,
            ]
        )
    columns = ["environment", "layer", "compared with", "what it adds", "differs in"]
    return table("The environments of this run and how they differ", columns, rows, left=5)


def _configuration(environment: EnvironmentRecord, context: Context) -> Block:
    short: list[list[Cell | Text]] = []
    long: list[Block] = []
    for key, text in environment.facts.items():
        if len(text) > _LONG or "\n" in text:
            long += [Paragraph(format.clean(key, 80) + ":"), Code(format.clip(text, _CODE_LIMIT))]
        else:
            short.append([format.clean(key, 80), format.clean(text)])
    inside: list[Block] = (
        [table(f"Facts of {format.clean(environment.name, 60)}", ["fact", "value"], short, left=2)] if short else []
    )
    return Details(f"{format.clean(environment.name, 60)}: {context.title(environment.name)}", [*inside, *long])


SECTION = Section(120, "method", "How it was measured", build, "Method")
