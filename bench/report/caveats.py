"""What a reader has to know before using a number of this run: one sentence each, on the report's first screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isobench.analysis.verdicts import IMPROBABLE
from isobench.estimation.paired import FEWEST_PAIRS
from isobench.host.machine import EMULATED, FREE, UNKNOWN
from isobench.layout import format

if TYPE_CHECKING:
    from isobench.report.context import Context
    from isobench.results.record import EnvironmentRecord

BUSY = 0.2
"""The share of disturbed blocks from which a host is called busy."""


def caveats(context: Context) -> list[str]:
    """Sentences about the host, the processor of its guests, disturbances, the control and the number of blocks; none
    if the run has no caveats."""
    found = [
        *_host(context),
        *_guests(context),
        _confined(context),
        _busy(context),
        _cut_off(context),
        control_failed(context),
    ]
    counted = context.session.blocks_used
    if 0 < counted < FEWEST_PAIRS:
        blocks = format.count(counted, "block")
        found.append(f"Only {blocks}: fewer than six give no 95 % interval, so nothing is concluded.")
    return [text for text in found if text]


def artefact(context: Context, environment: str) -> str:
    """Why the numbers of an environment describe this host and not its kind of isolation; "" if they do not."""
    record = context.environment(environment)
    if record is None or not record.facts:
        return ""
    if _uses(record, "tcg", "qemu"):
        return "an emulated processor"
    return "a nested KVM" if _uses(record, "kvm", "kvm") and is_virtual(context) else ""


def is_virtual(context: Context) -> bool:
    """Whether the host is itself a guest, as far as it can be told."""
    return context.session.host.get("virtual", "") not in ("", UNKNOWN, "bare metal")


def control_failed(context: Context) -> str:
    """A sentence about a failed control; empty if it passed."""
    strayed = {row.name: row.strayed for row in context.estimates if row.strayed > 1}
    if not strayed:
        return ""
    most = max(strayed, key=lambda name: strayed[name])
    return (
        f"The A/A control failed (so many differences have a probability below {format.percent(IMPROBABLE)}, or one is "
        f"far off): every interval of {format.count(len(strayed), 'metric')} is widened by the copy's deviation, up to "
        f"{format.ratio(strayed[most])} in {most}."
    )


def _uses(record: EnvironmentRecord, name: str, domain: str) -> bool:
    """By the recorded domain if there is one, else by the prefix of the name."""
    told = record.facts.get("domain", "")
    return told.startswith(f'<domain type="{domain}"') if told else record.name.startswith(name)


def _confined(context: Context) -> str:
    how = context.session.host.get("confined", FREE)
    if how == FREE:
        return ""
    return (
        f"isobench and the programs that it starts itself were confined ({format.clean(how, 80)}); containers and "
        "guests that a daemon starts were not: their ratios to a process do not hold."
    )


def _host(context: Context) -> list[str]:
    virtual = context.session.host.get("virtual", "")
    what = format.clean(virtual, 80)
    if virtual.startswith(EMULATED):
        return [f"This host has an {what}: trust what works and the order of costs, but neither times nor ratios."]
    return [f"This host is itself virtual ({what}): trust the ratios, not the absolute values."] * is_virtual(context)


def _guests(context: Context) -> list[str]:
    found: dict[str, list[str]] = {}
    for record in context.session.environments:
        found.setdefault(artefact(context, record.name), []).append(format.clean(record.name, 40))
    words = {
        "an emulated processor": "ran without KVM, on an emulated processor: a virtual machine with KVM costs less.",
        "a nested KVM": "ran under a nested or emulated KVM, which may be slower than none.",
    }
    return [f"{format.listing(found[why])} {said}" for why, said in words.items() if why in found]


def _busy(context: Context) -> str:
    measured = [block for block in context.session.blocks if block.index > 0]
    marked = sum(bool(block.marks) for block in measured)
    if not measured or marked / len(measured) < BUSY:
        return ""
    return f"The host was busy: {marked} of {format.count(len(measured), 'block')} were disturbed and excluded."


def _cut_off(context: Context) -> str:
    if context.session.finished:
        return ""
    torn = " The block that was being written is lost." if context.session.torn else ""
    return f"The run was cut off; this report shows the blocks that were finished.{torn}"
