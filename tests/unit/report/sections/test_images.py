"""Images: kinds against each other within blocks, the parts of a start, sizes from facts; nothing that was not told."""

from __future__ import annotations

import msgspec
import pytest

from isobench.core.model import Unit
from isobench.layout.blocks import Figure, plain
from isobench.report.context import Context
from isobench.report.sections import claims, images
from isobench.results.record import MetricRecord, ScenarioRecord
from isobench.results.store import Run, Series
from tests.unit.report.made import all_tables, context, estimate, results_of, row_of

COSTS: dict[str, dict[str, float]] = {
    "scratch": {
        "pull": 0.1,
        "fetch": 0.06,
        "unpack": 0.04,
        "create": 0.1,
        "start": 0.4,
        "start-again": 0.4,
        "first-byte": 0.5,
    },
    "slim": {
        "pull": 2.0,
        "fetch": 0.5,
        "unpack": 1.5,
        "create": 0.1,
        "start": 0.4,
        "start-again": 0.4,
        "first-byte": 2.4,
        "disk": 2.0**20,
        "disk-first": 1.5 * 2**20,
        "disk-tenth": 5.0 * 2**20,
    },
    "slim-zstd": {"pull": 1.0},
    "layers-1": {"pull": 1.0},
    "layers-10": {"pull": 2.0, "start": 0.3},
    "layers-120": {"pull": 5.0, "pull-top": 0.3},
}
FACTS = {
    "image-scratch.wire": "1024",
    "image-scratch.set-uid": "none",
    "image-slim.wire": str(28 << 20),
    "image-slim.bytes": str(70 << 20),
    "image-slim.made-of": "the essential packages",
    "image-slim.packages": "69",
    "image-slim.set-uid": "/usr/bin/su, /usr/bin/passwd",
    "image-slim.shells": "sh",
    "image-slim.interpreters": "none",
}


def _made(facts: dict[str, str], blocks: int = 8, names: tuple[str, ...] = ("docker",)) -> Context:
    """A run in which every block is a percent beside the one before, in all kinds alike."""
    chosen = [
        estimate(f"image-{kind}", metric, name, 1.0, unit=_unit(metric), median=value)
        for name in names
        for kind, costs in COSTS.items()
        for metric, value in costs.items()
    ]
    indices = list(range(1, blocks + 1))
    moved = [1 + block % 3 / 100 for block in indices]
    series = [
        Series(e.scenario, e.metric, e.environment, e.unit, indices, [e.median * m for m in moved], []) for e in chosen
    ]
    record = context().session
    scenarios = [
        ScenarioRecord(f"image-{kind}", kind, [MetricRecord(metric, _unit(metric), metric) for metric in costs])
        for kind, costs in COSTS.items()
    ]
    environments = [
        msgspec.structs.replace(one, facts=facts if one.name == "docker" else {}) for one in record.environments
    ]
    session = msgspec.structs.replace(record, scenarios=scenarios, environments=environments)
    return Context(results_of(Run(context().run.path, session, series), chosen))


def _unit(metric: str) -> Unit:
    return "byte" if metric.startswith("disk") else "second"


def test_kinds_are_compared_within_blocks() -> None:
    """What moves all of them moves no ratio; layers are compared with one layer, and what is compared has none."""
    costs = all_tables(images.build(_made(FACTS)))[1]
    columns = [column.title for column in costs.columns]
    assert columns == ["image", "first-byte", "pull", "pull-top", "start", "start-again"]
    assert row_of(costs, "slim")[1].startswith("2.") and "4.80× [4.80, 4.80]" in row_of(costs, "slim")[1]
    assert "20.0× [20.0, 20.0]" in row_of(costs, "slim")[2]
    assert "1.00× [1.00, 1.00]" in row_of(costs, "slim")[4]
    assert "5.00× [5.00, 5.00]" in row_of(costs, "layers-120")[2]
    assert "×" not in row_of(costs, "scratch")[2] + row_of(costs, "layers-1")[2]
    assert row_of(costs, "layers-120")[1] == "–"


def test_the_figure_adds_up_to_the_first_byte() -> None:
    """Divided where the engine tells its parts, and whole where it does not; only of kinds that were started."""
    (figure,) = [block for block in images.build(_made(FACTS)) if isinstance(block, Figure)]
    rows = {plain(row[0].text): [plain(cell.text) for cell in row[1:]] for row in figure.data.rows}
    assert rows["slim"] == ["500 ms", "1.50 s", "–", "100 ms", "300 ms", "–", "2.40 s"]
    assert rows["layers-10"] == ["–", "–", "2.00 s", "–", "–", "300 ms", "2.30 s"]
    assert set(rows) == {"scratch", "slim", "layers-10"}


def test_what_is_not_drawn_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Engines for which there is no room, and kinds of which a part is missing in some blocks."""
    made = _made(FACTS, names=("docker", "kvm"))
    (figure,) = [block for block in images.build(made) if isinstance(block, Figure)]
    assert "Not drawn" not in figure.note and len(figure.data.rows) == 6
    monkeypatch.setattr(images, "_MOST_BARS", 9)
    (figure,) = [block for block in images.build(made) if isinstance(block, Figure)]
    assert figure.note.endswith(" Not drawn, but in the tables: kvm.") and len(figure.data.rows) == 3
    monkeypatch.setattr(images, "_parts", lambda context, kind, name: [1.0] * 6 if kind == "scratch" else None)
    (figure,) = [block for block in images.build(_made(FACTS)) if isinstance(block, Figure)]
    assert figure.note.endswith(" Not drawn, as not every part is there in every block: slim.")


def test_sizes_are_told_with_what_is_inside() -> None:
    sizes = all_tables(images.build(_made(FACTS)))[2]
    assert row_of(sizes, "slim")[1:4] == ["28.0 MiB", "70.0 MiB", "1.00 MiB"]
    assert row_of(sizes, "slim")[-4:] == ["69", "2 /usr/bin/su, /usr/bin/passwd", "1 sh", "0"]
    assert row_of(sizes, "layers-1")[1:4] == ["–", "–", "–"]


def test_what_containers_add_on_the_disk_is_beside_what_the_image_takes() -> None:
    """Of the kinds of which it is known, and with no table of nothing."""
    disks = all_tables(images.build(_made(FACTS)))[3]
    assert [column.title for column in disks.columns] == [
        *("image", "docker, the image", "docker, one container", "docker, ten"),
    ]
    assert row_of(disks, "slim")[1:] == ["1.00 MiB", "1.50 MiB", "5.00 MiB"] and len(disks.rows) == 1


def test_what_is_seen_in_a_container_of_each_kind_is_one_table() -> None:
    """Names are counted; the claim says whether the boundary differs, too."""
    seen = {"files": "1", "setuid": "0", "devices": "none", "readable": "/proc/kallsyms, /proc/modules", "calls": "302"}
    facts = {f"image-{kind}.inside.{name}": text for kind in ("scratch", "slim") for name, text in seen.items()}
    facts |= {"image-slim.inside.files": "3712", "image-slim.inside.setuid": "9"}
    table = all_tables(images.build(_made(FACTS | facts)))[4]
    assert [len(table.rows), *row_of(table, "slim")[1:6]] == [2, "3712", "9", "0", "2", "–"]
    assert row_of(table, "slim")[-1] == row_of(table, "scratch")[-1] == "302"
    minimal = next(claim for claim in claims.CLAIMS if claim.said.startswith("Minimal images"))
    assert minimal.answer(_made(FACTS | facts)).words.endswith("; 302 system calls are let through, as from scratch")
    facts["image-slim.inside.calls"] = "300"
    assert minimal.answer(_made(FACTS | facts)).words.endswith("; 300 system calls are let through instead of 302")


@pytest.mark.parametrize("text", ["", "x", "-1", "1e9", "9" * 400, "٣", "<b>"])
def test_a_record_may_say_anything_of_a_size(text: str) -> None:
    """What is no number is shown as missing."""
    made = _made({**FACTS, "image-slim.bytes": text, "image-slim.packages": text})
    assert row_of(all_tables(images.build(made))[2], "slim")[2] == "–"


def test_few_blocks_have_no_interval_and_no_facts_no_sizes() -> None:
    tables = all_tables(images.build(_made({}, blocks=2)))
    assert "20.0× [no interval]" in row_of(tables[1], "slim")[2]
    assert [table.caption for table in tables if table.caption.startswith("What each kind")] == []


def test_a_run_without_images_has_no_section() -> None:
    assert images.build(context()) == []


def test_verifying_is_compared_with_the_same_pull_without() -> None:
    """Within blocks; also in a run with no other image."""
    costs = {"pull-unverified": 0.2, "pull-verified": 0.3}
    chosen = [estimate("image-signed", m, "docker", 1.0, unit="second", median=v) for m, v in costs.items()]
    indices = list(range(1, 9))
    series = [
        Series(e.scenario, e.metric, e.environment, e.unit, indices, [e.median * (1 + b % 3) for b in indices], [])
        for e in chosen
    ]
    metrics = [MetricRecord(metric, "second", metric) for metric in costs]
    session = msgspec.structs.replace(context().session, scenarios=[ScenarioRecord("image-signed", "Signed", metrics)])
    table, *details = images.build(Context(results_of(Run(context().run.path, session, series), chosen)))
    (verified,) = all_tables([table])
    assert row_of(verified, "docker")[1:] == ["200 ms", "300 ms", "1.50× [1.50, 1.50]"] and details
    half = results_of(Run(context().run.path, session, series[:1]), chosen[:1])
    (cut,) = all_tables(images.build(Context(half))[:1])
    assert row_of(cut, "docker")[1:] == ["200 ms", "–", "–"]


def test_the_claims_are_answered() -> None:
    """With the largest kind that was measured, and with the most layers."""
    said = {claim.said: claim.answer(_made(FACTS)) for claim in claims.CLAIMS}
    minimal = said["Minimal images start faster, take less and expose less"]
    assert minimal.verdict == "measured"
    assert minimal.words.startswith("slim distribution against an image from scratch, in Docker: ")
    assert "takes 1.00× [1.00, 1.00] as long to start, one from the registry 4.80× [4.80, 4.80]" in minimal.words
    assert "28.0 MiB are sent instead of 1.00 KiB, with 2 set-uid programs, 1 shell and 0 interp" in minimal.words
    layers = said["Images are layers on a union file system"].words
    assert "in 120 layers in 5.05 s, 5.00× [5.00, 5.00]" in layers or "in 120 layers in 5.00 s" in layers
    assert "but the uppermost there in 300 ms" in layers
    without = {claim.said: claim.answer(_made({})) for claim in claims.CLAIMS}
    assert "sent" not in without["Minimal images start faster, take less and expose less"].words


def test_minimal_images_are_better_where_every_respect_was_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A longer start from an image that is there, too; without the sizes, or with too few blocks, there are numbers
    only."""
    minimal = next(claim for claim in claims.CLAIMS if claim.said.startswith("Minimal images"))
    monkeypatch.setitem(COSTS, "slim", {**COSTS["slim"], "start-again": 0.8, "memory": 3 * 2.0**20})
    monkeypatch.setitem(COSTS, "scratch", {**COSTS["scratch"], "memory": 2.0**20})
    answer = minimal.answer(_made(FACTS))
    assert answer.verdict == "holds" and "its processes take 3.00× [3.00, 3.00] as much memory" in answer.words
    harmless = {fact: text for fact, text in FACTS.items() if not fact.startswith(("image-slim.se", "image-slim.sh"))}
    for made in (_made(harmless), _made({}), _made(FACTS, blocks=2)):
        assert minimal.answer(made).verdict == "measured"


def test_how_quick_an_image_is_set_up_is_told() -> None:
    """Of the largest kind, the steps that were measured."""
    quick = next(claim for claim in claims.CLAIMS if claim.said.startswith("Containers are quick to set up"))
    assert "an image (slim distribution) is fetched and started in 2.40 s by Docker" in quick.answer(_made(FACTS)).words
    assert "an image" not in quick.answer(context()).words
    alike = _made({**FACTS, "image-slim.rebuilt": "3 of 3 layers are the same, the image is another one"})
    assert "by Docker; of two builds without a cache, 3 of 3 layers are the same, the im" in quick.answer(alike).words
    assert "builds" not in quick.answer(_made(FACTS)).words
