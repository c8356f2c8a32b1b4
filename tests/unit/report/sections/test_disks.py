"""Disks of virtual machines beside images: ways against a copy within blocks, what one more takes, and nothing that was
not told."""

from __future__ import annotations

import msgspec
import pytest

from isobench.core.model import Unit
from isobench.layout.blocks import Paragraph, plain
from isobench.report.context import Context
from isobench.report.sections import claims, images
from isobench.results.record import MetricRecord, ScenarioRecord
from isobench.results.store import Run, Series
from tests.unit.report.made import all_tables, context, estimate, results_of, row_of

MIB = float(1 << 20)
COSTS: dict[tuple[str, str], dict[str, float]] = {
    ("image-slim", "docker"): {"pull": 2.0, "start-again": 0.4, "disk-first": 100 * MIB, "disk-tenth": 100.5625 * MIB},
    ("disk-slim-copy", "tcg"): {"make": 0.5, "make-tenth": 0.4, "first-byte": 2.9, "disk-used": 90 * MIB},
    ("disk-slim-qcow2", "tcg"): {"make": 0.1, "make-tenth": 0.1, "first-byte": 2.6, "disk-used": MIB, "disk": 0.0},
}
FACTS = {"disk-slim-copy.source": str(80 << 20), "disk-slim-qcow2.source": str(80 << 20)}
LAYERS = "Images are layers on a union file system"


def _unit(metric: str) -> Unit:
    return "byte" if metric.startswith("disk") else "second"


def _made(facts: dict[str, str], but: str = "", blocks: int = 8) -> Context:
    """A run in which every block is a percent beside the one before, without what begins with `but`."""
    costs = {key: found for key, found in COSTS.items() if not but or not key[0].startswith(but)}
    chosen = [
        estimate(scenario, metric, name, 1.0, unit=_unit(metric), median=value)
        for (scenario, name), found in costs.items()
        for metric, value in found.items()
    ]
    indices = list(range(1, blocks + 1))
    moved = [1 + block % 3 / 100 for block in indices]
    series = [
        Series(e.scenario, e.metric, e.environment, e.unit, indices, [e.median * m for m in moved], []) for e in chosen
    ]
    record = context().session
    scenarios = [
        ScenarioRecord(scenario, scenario, [MetricRecord(metric, _unit(metric), metric) for metric in found])
        for (scenario, _), found in costs.items()
    ]
    environments = [
        msgspec.structs.replace(one, facts=facts if one.name == "tcg" else {}) for one in record.environments
    ]
    session = msgspec.structs.replace(record, scenarios=scenarios, environments=environments)
    return Context(results_of(Run(context().run.path, session, series), chosen))


def test_ways_are_compared_with_a_copy_within_blocks() -> None:
    """What moves both moves no ratio; a copy has none, and a cost of nothing neither."""
    costs = next(one for one in all_tables(images.build(_made(FACTS))) if "ten disks" in one.caption)
    columns = [column.title for column in costs.columns]
    assert columns == ["disk", "first-byte", "make", "make-tenth", "disk", "disk-used"]
    row = dict(zip(columns, row_of(costs, "slim-qcow2"), strict=True))
    assert row["make-tenth"] == "100 ms 0.250× [0.250, 0.250]" and row["disk"] == "0 B"
    assert row["disk-used"].startswith("1.00 MiB 0.0111× [0.0111, 0.0111]")
    assert "×" not in "".join(row_of(costs, "slim-copy"))


def test_one_more_of_each_is_beside_the_first() -> None:
    """Of a container what the engine adds, block by block; of a virtual machine its disk. The first has what they are
    made from besides."""
    (found,) = [one for one in all_tables(images.build(_made(FACTS))) if "one more" in one.caption.lower()]
    rows = {plain(row[2].text): [plain(cell.text) for cell in row[3:]] for row in found.rows}
    assert rows == {
        "what the engine adds to the image": ["100 MiB", "64.6 KiB", "400 ms"],
        "a copy of the source": ["170 MiB", "90.0 MiB", "2.90 s"],
        "a qcow2 with a backing file": ["81.0 MiB", "1.00 MiB", "2.60 s"],
    }


@pytest.mark.parametrize("text", ["", "x", "-1", "1e9", "9" * 400, "٣", "<b>"])
def test_a_record_may_say_anything_of_a_size(text: str) -> None:
    """What is no number makes no sum."""
    made = _made({"disk-slim-copy.source": text})
    (found,) = [one for one in all_tables(images.build(made)) if "one more" in one.caption.lower()]
    assert plain(found.rows[1][3].text) == "–" and plain(found.rows[1][4].text) == "90.0 MiB"


def test_disks_need_no_images_and_images_no_disks() -> None:
    """Each is there alone, and without both there is no section."""
    alone = all_tables(images.build(_made(FACTS, but="image")))
    assert [one.caption[:9] for one in alone[:2]] == ["tcg: cost", "What one "] and len(alone[1].rows) == 2
    assert [one for one in all_tables(images.build(_made(FACTS, but="disk"))) if "disks" in one.caption] == []
    assert images.build(context()) == []


def test_few_blocks_have_no_interval() -> None:
    costs = next(one for one in all_tables(images.build(_made(FACTS, blocks=2))) if "ten disks" in one.caption)
    assert "[no interval]" in row_of(costs, "slim-qcow2")[1]


def test_a_distribution_is_told_beside_a_kernel_that_is_booted_directly() -> None:
    """Where a run started both."""
    made = _made(FACTS)
    assert [one for one in images.build(made) if isinstance(one, Paragraph)] == []
    record = made.session.environments[-1]
    distro = msgspec.structs.replace(record, name="tcg-distro", compared_with="tcg")
    session = msgspec.structs.replace(made.session, environments=[*made.session.environments, distro])
    rows = [estimate("startup", "ready", name, times) for name, times in (("tcg", 3000.0), ("tcg-distro", 30000.0))]
    series = [
        Series("startup", "ready", row.environment, "second", list(range(1, 9)), [row.median] * 8, []) for row in rows
    ]
    run = made.run._replace(session=session, series=[*made.run.series, *series])
    (told,) = [
        one for one in images.build(Context(results_of(run, [*made.estimates, *rows]))) if isinstance(one, Paragraph)
    ]
    assert "stock Debian" in plain(told.text) and "tcg +27.0 [+27.0, +27.0] s" in plain(told.text)


def test_the_claim_is_answered() -> None:
    """With both sides, or with the one that was measured."""
    said = {claim.said: claim.answer for claim in claims.CLAIMS}[LAYERS]
    words = said(_made(FACTS)).words
    assert "one more container takes 64.6 KiB on the disk; one more virtual machine (tcg)" in words
    assert "takes 1.00 MiB on the disk if it has a qcow2 with a backing file, 90.0 MiB if it has a copy" in words
    assert said(_made(FACTS, but="disk-slim-qcow2")).words.endswith("64.6 KiB on the disk")
    assert said(_made(FACTS, but="image")).words.startswith("one more virtual machine")
