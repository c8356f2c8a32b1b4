"""Each section from a run whose numbers are known."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import msgspec
import pytest

from isobench.analysis.results import Difference, load
from isobench.report import html, markdown, rules
from isobench.report.blocks import Banner, Block, Details, Figure, Heading, Items, Table, plain
from isobench.report.build import find_sections, make_context, page_of
from isobench.report.caveats import caveats
from isobench.report.context import Context
from isobench.report.page import Page, Part
from isobench.report.rungs import find_rungs
from isobench.report.sections import _shared, claims, comparison, io, ladder, startup, trend, trust, verdict
from isobench.results.record import EnvironmentRecord
from tests.unit.analysis.made import night, write_run
from tests.unit.report.made import HOSTILE, context, estimate, with_session


def with_differences(made: Context) -> Context:
    """The same context, its differences filled from the medians instead of by the analysis."""
    found = []
    for rung in find_rungs(made):
        for metric in ("ready", "gone", "cpu"):
            upper, lower = (made.find("startup", metric, name) for name in (rung.upper, rung.lower))
            assert upper is not None and lower is not None
            gap = upper.median - lower.median
            found.append(Difference("startup", metric, rung.upper, rung.lower, "second", 5, gap, gap * 0.9, gap * 1.1))
    made.__dict__["differences"] = found
    return made


def all_tables(blocks: list[Block]) -> list[Table]:
    """Every table of these blocks, those in figures and folds too."""
    found = []
    for block in blocks:
        if isinstance(block, Table):
            found.append(block)
        elif isinstance(block, Figure):
            found.append(block.data)
        elif isinstance(block, Details):
            found += all_tables(block.blocks)
    return found


def row_of(table: Table, name: str) -> list[str]:
    """The words of the row that begins with this name."""
    rows = [[plain(cell.text) for cell in row] for row in table.rows]
    return next(row for row in rows if row[0].split()[0] == name)


def test_sections_come_in_the_order_of_the_report() -> None:
    """Verdict first, host last, no two with one anchor."""
    found = find_sections()
    anchors = [section.anchor for section in found]
    assert anchors[:2] == ["verdict", "trust"] and anchors[-1] == "host"
    assert len(set(anchors)) == len(anchors) == len({section.order for section in found})


def decisions(made: Context) -> list[str]:
    """The lines of the verdict that decide."""
    (items,) = (block for block in verdict.build(made) if isinstance(block, Items))
    return [plain(entry) for entry in items.entries]


def test_the_verdict_decides_each_need() -> None:
    """The strongest isolation that is free, then what stronger ones cost, with ratio and value."""
    rows = [
        estimate("startup", "ready", name, ratio)
        for name, ratio in (("process", 1.0), ("chroot", 1.0), ("ns-all", 1.01), ("docker", 300.0))
    ]
    made = context(estimates=rows)
    assert decisions(made)[0] == (
        "Startup (request to first byte; process 1.00 ms): ns-all costs the same (1.01× [0.990, 1.03]); "
        "docker 300× (300 ms)."
    )
    table = next(b for b in verdict.build(context()) if isinstance(b, Table))
    assert row_of(table, "docker")[1] == "300 ms 300× [294, 306]"
    assert "tcg-null" not in [plain(row[0].text) for row in table.rows]


def test_a_decision_claims_no_number_for_what_is_not_a_difference() -> None:
    """An inconclusive ratio around 1 is no certain difference; one that is away from it is said to be inconclusive."""
    rows = [
        estimate("startup", "ready", "process", 1.0),
        estimate("startup", "ready", "ns-all", 1.02, ratio_low=0.9, verdict="inconclusive"),
        estimate("startup", "ready", "docker", 1.5, ratio_low=1.2, verdict="inconclusive"),
    ]
    (line,) = (text for text in decisions(context(estimates=rows)) if text.startswith("Startup"))
    assert line.endswith(": no certain difference in ns-all; docker 1.50× (1.50 ms, inconclusive).")


def test_a_guest_that_was_emulated_decides_nothing() -> None:
    """It stands in the table, marked; no decision names its number, and what is missing is said with the reason."""
    lines = decisions(context())
    assert not any("tcg" in line for line in lines[:-1])
    assert lines[-1] == "A kernel of its own is not decided by this run: tcg ran on an emulated processor."
    table = next(b for b in verdict.build(context()) if isinstance(b, Table))
    assert row_of(table, "tcg")[0] == "tcg (an emulated processor)"


def test_no_headline_names_what_tells_of_this_host() -> None:
    """Emulated and nested guests and null kernels are drawn, and named in no title with a number; nor is what cannot
    be what it seems."""
    made = with_differences(context())
    titles = [block.title for section in find_sections()
              for block in section.build(made) if isinstance(block, Figure)]  # fmt: skip
    assert len(titles) >= 8 and not any("tcg" in title and "not a finding" not in title for title in titles), titles
    rows = [estimate("io", "randread-4k", "process", 1.0), estimate("io", "randread-4k", "docker", 0.5)]
    flagged = context(estimates=[row._replace(verdict="faster") for row in rows])
    assert [row.environment for row in rules.nameable(flagged, flagged.estimates)] == ["process"]


def test_sections_without_anything_to_say_are_not_there() -> None:
    """A run of one scenario in two environments has no section of another, no ladder without a cause, no claim."""
    rows = [estimate("syscall", "getppid", name, ratio) for name, ratio in (("process", 1.0), ("docker", 1.2))]
    named = [part.anchor for part in page_of(with_differences_of_none(context(estimates=rows))).sections]
    assert named == ["verdict", "trust", "overview", "syscalls", "claims", "method", "host"]
    rows = [estimate("startup", "ready", name, ratio) for name, ratio in (("process", 1.0), ("docker", 1.2))]
    assert ladder.build(context(estimates=rows)) == []
    rows = [estimate("memory", "rss", "process", 1.0)]
    assert claims.build(with_differences_of_none(context(estimates=rows))) == []


def test_every_section_that_is_there_says_something() -> None:
    """No part of a page is empty, or only a heading."""
    for made in (with_differences(context()), context(estimates=[])):
        for part in page_of(made).sections:
            assert any(not isinstance(block, Heading) for block in part.blocks), part.anchor


def test_the_cheapest_isolation_is_one_that_can_run_a_program_and_nobody_dearer_shares_the_mark() -> None:
    """A null kernel never is the answer to a need; who costs 2 % more in each block is told apart, overlap or not."""
    rows = [
        estimate("startup", "ready", n, r)
        for n, r in (("process", 1.0), ("tcg-null", 2.0), ("ns-all", 3.0), ("docker", 3.05), ("tcg", 4.0))
    ]
    table = next(b for b in verdict.build(context(estimates=rows, blocks=8)) if isinstance(b, Table))
    assert [row_of(table, n)[1].startswith("✓") for n in ("ns-all", "docker", "tcg")] == [True, False, False]


def test_the_first_screen_warns_and_trust_tells_of_skips_and_failures() -> None:
    """A virtual host and emulation are said first; what was skipped or failed stands there with its reason."""
    banner = verdict.build(context())[0]
    assert isinstance(banner, Banner)
    assert "itself virtual" in plain(banner.text) and "without KVM" in plain(banner.text)
    blocks = trust.build(context())
    words = json.dumps([[plain(c.text) for c in row] for t in all_tables(blocks) for row in t.rows])
    assert "no guest came up" in words and "use bare metal" in words and "fio did not end" in words


def test_an_emulated_host_is_told_as_one() -> None:
    """Not as a virtual machine, whose ratios are to be trusted."""
    made = context()
    made.session.host["virtual"] = "emulated CPU (QEMU without KVM)"
    told = caveats(made)
    assert any("emulated CPU" in text and "neither times nor ratios" in text for text in told)
    assert not any("trust the ratios" in text for text in told)


def test_a_confined_isobench_is_told() -> None:
    """A daemon's containers are not pinned where isobench is: a ratio to a process compares two hosts then."""
    made = context()
    for how, is_told in (("no", False), ("1 of 2 processors, nice 15", True)):
        made.session.host["confined"] = how
        assert any(how in text and "do not hold" in text for text in caveats(made)) == is_told


def test_a_busy_host_is_told_and_a_quiet_one_is_not() -> None:
    """From a fifth of the blocks on."""
    made = context()
    for block in made.session.blocks[1:2]:
        block.marks.append("steal")
    assert any("The host was busy: 1 of 5 blocks were disturbed" in text for text in caveats(made))
    made.session.blocks[1].marks.clear()
    assert not any("busy" in text for text in caveats(made))


def test_an_unsteady_clock_is_flagged_where_trust_is_told() -> None:
    """One banner for each environment whose clock the probe doubted, however many scenarios found it."""
    made = context()
    doubt = "not stable: acpi_pm; reading the time enters the kernel"
    environment = next(e for e in made.session.environments if e.name == "tcg")
    environment.facts.update({"syscall.clock": doubt, "syscall-all.clock": doubt, "net.clock": "none"})
    banners = [plain(b.text) for b in trust.build(made) if isinstance(b, Banner)]
    assert [b for b in banners if "clock" in b] == [f"The clock inside tcg is {doubt}."]


def test_the_control_is_reported_with_its_worst_metric() -> None:
    """The sentence counts false alarms and names the largest ratio."""
    rows = [
        estimate("startup", "ready", "process", 1.0),
        estimate("startup", "ready", "process@control", 1.2, p=0.01),
        estimate("startup", "gone", "process@control", 1.0),
    ]
    sentence = trust.control_sentence(context(estimates=rows))
    assert "in 1 of 2 metrics" in sentence and "1.20×" in sentence and "startup.ready" in sentence


def test_a_cause_is_named_only_for_a_single_factor() -> None:
    """A rung that differs in several things, or whose neighbour was not measured, names no cause."""
    rungs = {rung.upper: rung for rung in find_rungs(context())}
    assert rungs["chroot"].cause == "what chroot adds"
    assert rungs["docker"].cause == "" and rungs["docker"].adds == "what docker adds"


def test_a_rung_is_compared_with_the_nearest_one_measured() -> None:
    """Where the rung between is missing, the step spans both and is no single cause."""
    made = context(estimates=[estimate("startup", "ready", n, 2.0) for n in ("process", "tcg")])
    (rung,) = find_rungs(made)
    assert (rung.upper, rung.lower, rung.cause) == ("tcg", "process", "")
    assert rung.adds == "what tcg-null adds and what tcg adds"


def test_a_rung_whose_neighbour_the_run_does_not_know_starts_at_the_baseline() -> None:
    """A run without the rungs between still says what all of them cost together, and names no cause."""
    made = context(estimates=[estimate("startup", "ready", n, 2.0) for n in ("process", "a")])
    alone = EnvironmentRecord("a", "a", "engine", "an engine", "unknown", True)
    session = msgspec.structs.replace(made.session, environments=[*made.session.environments, alone])
    (rung,) = find_rungs(with_session(made, session))
    assert (rung.lower, rung.cause) == ("process", "")
    assert rung.adds == "all that lies beneath unknown, and that itself and an engine"


def test_a_ladder_that_bites_its_tail_ends() -> None:
    """Records that are compared with each other in a circle give no rung and no endless loop."""
    made = context(estimates=[estimate("startup", "ready", "process", 1.0), estimate("startup", "ready", "a", 2.0)])
    circle = [EnvironmentRecord("a", "a", "vm", "", "b", True), EnvironmentRecord("b", "b", "vm", "", "a", True)]
    session = msgspec.structs.replace(made.session, environments=[*made.session.environments, *circle])
    made = with_session(made, session)
    assert find_rungs(made) == []


def test_the_waterfall_adds_up_to_the_whole() -> None:
    """Sum, unexplained rest and the measured whole stand in the table."""
    made = context()
    records = [msgspec.structs.replace(e, single_factor=e.name != "docker") for e in made.session.environments]
    session = msgspec.structs.replace(made.session, environments=records)
    made = with_differences(with_session(made, session))
    figure = next(b for b in ladder.build(made) if isinstance(b, Figure))
    assert figure.title.startswith("Of the time that docker takes to its first byte, 98 % is the step to docker")
    assert row_of(figure.data, "sum")[2] == "300 ms" and row_of(figure.data, "not")[2] == "0 ns"
    assert row_of(figure.data, "docker")[2].startswith("+295 [+266, +324] ms")


def test_a_way_on_which_no_rung_has_a_cause_is_no_waterfall() -> None:
    """Docker beside a rung that differs in several things, those between not run: nothing would be explained."""
    titles = [b.title for b in ladder.build(with_differences(context())) if isinstance(b, Figure)]
    assert titles and all("docker" not in title for title in titles)


def test_phases_are_differences_of_stamps() -> None:
    """Neighbouring stamps are subtracted block by block, teardown follows, and a phase may be negative."""
    rows = [
        estimate("startup", metric, "process", ratio)
        for metric, ratio in (("created", 4.0), ("started", 3.0), ("ready", 10.0), ("gone", 2.0))
    ]
    phases = startup.phases_of(context(estimates=rows), "process")
    assert phases == pytest.approx(
        {
            "request → created": 4.12e-3,
            "created → started": -1.03e-3,
            "started → ready": 7.21e-3,
            "exit → gone": 2.06e-3,
        }
    )


def test_a_start_of_one_phase_in_one_block_has_neither_phases_nor_an_order() -> None:
    """Nothing to divide, nothing to follow; where there are phases, the note says what happens at each stamp."""
    rows = [estimate("startup", "ready", name, ratio) for name, ratio in (("process", 1.0), ("docker", 300.0))]
    captions = [b.data.caption for b in startup.build(context(estimates=rows, blocks=1)) if isinstance(b, Figure)]
    assert captions == ["Quantiles of request to first byte"]
    figures = [b for b in startup.build(context()) if isinstance(b, Figure)]
    assert len(figures) == 3 and "ready: means ready" in figures[1].note


def test_claims_without_a_measurement_are_open() -> None:
    """A run of startup alone leaves memory and overhead open, and says how containers compare with VMs."""
    rows = [estimate("startup", "ready", n, r) for n, r in (("process", 1.0), ("docker", 300.0), ("tcg", 3000.0))]
    made = with_differences_of_none(context(estimates=rows, blocks=8))
    (table,) = all_tables(claims.build(made))
    verdicts = {plain(row[0].text)[:20]: plain(row[1].text) for row in table.rows}
    assert len(verdicts) == 13
    assert verdicts["Containers are light"] == "measured", "an emulated guest decides no claim about virtual machines"
    assert verdicts["Containers save reso"] == "open"
    made.session.host["virtual"] = "bare metal"
    rows = [row._replace(environment=row.environment.replace("tcg", "kvm")) for row in rows]
    made = with_session(with_differences_of_none(context(estimates=rows, blocks=8)), made.session)
    (table,) = all_tables(claims.build(with_differences_of_none(made)))
    assert "holds" in [plain(row[1].text) for row in table.rows]


def with_differences_of_none(made: Context) -> Context:
    """The same context without any rung."""
    made.__dict__["differences"] = []
    return made


def test_a_slope_is_a_least_squares_slope() -> None:
    """The line through exact points has their slope; a single point has none."""
    assert _shared.line_fit([1, 2, 4], [12, 14, 18]) == pytest.approx((2.0, 10.0))
    assert _shared.line_fit([3, 3], [1, 2]) is None


@pytest.mark.parametrize("words", [HOSTILE, "x" * 10_000, "\u202e" * 50])
def test_hostile_results_are_neutral_in_every_format(words: str) -> None:
    """Nothing a result says becomes a tag, a link, or an invisible mark in HTML, SVG or Markdown."""
    made = with_differences(context(words))
    parts = [Part(s.anchor, s.title, s.build(made)) for s in find_sections()]
    page = Page(f"T{words}", f"S{words}", f"F{words}", parts)
    outside_code = re.sub(r"(?ms)^(`{3,})text\n.*?^\1$", "", markdown.lay_out(page))
    for text in (html.lay_out(page), outside_code, *_drawings(parts)):
        assert "<script" not in text and "\u202e" not in text and "\u200f" not in text and "\x1b" not in text
    assert 'href="http' not in html.lay_out(page)


def test_every_figure_has_words_and_numbers() -> None:
    """Each figure has a title with a number, an alternative text, a note with n, and data."""
    made = with_differences(context())
    figures = [b for s in find_sections()
               for b in s.build(made) if isinstance(b, Figure)]  # fmt: skip
    assert len(figures) >= 8
    for figure in figures:
        assert len(figure.picture.light) < 200_000, "a drawing that heavy has a pattern made of circles"
        assert any(c.isdigit() for c in figure.title), figure.title
        assert figure.title[:20] in figure.alt and figure.data.rows and "n = " in figure.note


def test_drawings_are_reproducible() -> None:
    """The same data give the same bytes, and the dark variant differs only in colours."""
    first, second = (html.lay_out(Page("t", "s", "f", [Part("a", "A", startup.build(context()))])) for _ in range(2))
    assert first == second


def _drawings(parts: list[Part]) -> list[str]:
    figures = [block for part in parts for block in part.blocks if isinstance(block, Figure)]
    return [text for figure in figures for text in (figure.picture.light, figure.picture.dark)]


def test_a_confirmed_change_is_drawn_and_the_rest_is_folded(tmp_path: Path) -> None:
    """Docker a fifth slower than in the run before; nothing else moved."""
    before = write_run(tmp_path, started="2026-01-01T02:00:00Z", seed=1)
    now = write_run(tmp_path, started="2026-01-02T02:00:00Z", seed=2, factors={"docker": 240.0})
    blocks = comparison.build(make_context(now, load(before)))
    figure = next(b for b in blocks if isinstance(b, Figure))
    assert figure.title.startswith("The largest change is startup.ready of docker: 1.19")
    assert len(figure.data.rows) == 1 and row_of(figure.data, "startup.ready")[-1] == "slower"
    assert any(
        "1 of 2 costs of environments changed" in plain(line)
        for b in blocks
        if isinstance(b, Items)
        for line in b.entries
    )


def test_the_trend_names_confirmed_changes(tmp_path: Path) -> None:
    """Twenty nights, docker a fifth slower from the thirteenth on."""
    for night_number in range(20):
        factors = {"docker": 240.0} if night_number >= 13 else {}
        path = write_run(tmp_path, started=night(night_number), seed=night_number, blocks=6, factors=factors)
    blocks = trend.build(make_context(path))
    (changes,) = (b for b in blocks if isinstance(b, Table))
    assert len(changes.rows) == 1
    assert plain(changes.rows[0][0].text) == "1"
    assert "startup.ready/docker moved by +" in plain(changes.rows[0][2].text)
    drawn = {b.data.caption.split()[0]: b for b in blocks if isinstance(b, Figure)}
    words = re.findall(r"<text[^>]*>([^<]+)</text>", drawn["startup.ready"].picture.light)
    assert "1" in words and "date of the run (UTC)" in words
    assert len([word for word in words if re.fullmatch(r"2026-01-\d\d", word)]) in range(2, 8)
    assert "Dashed" in drawn["startup.ready"].note and "Dashed" not in drawn["The"].note


def test_without_a_second_run_there_is_no_comparison_and_no_trend() -> None:
    """Sections whose data are absent say nothing."""
    assert comparison.build(context()) == [] and trend.build(context()) == []


def test_a_comparison_names_what_differs_between_the_hosts() -> None:
    """A changed fingerprint and another host are said before any number."""
    made = context()
    session = msgspec.structs.replace(made.session, host_id="other", fingerprint={"kernel": "6.1", "qemu": "7.2"})
    other = with_session(made, session)
    blocks = comparison.build(dataclasses.replace(made, other=other.results))
    words = " ".join(plain(b.text) for b in blocks if isinstance(b, Banner))
    assert "different hosts" in words and "kernel: 6.1 → not recorded and qemu: 7.2 → not recorded" in words


def test_lines_over_the_number_of_instances_have_their_slope() -> None:
    """Metrics that end in a number become one figure, whose slope is the cost of one more instance."""
    rows = [
        estimate("memory", f"pss-{n}", name, 1.0, median=float((4 + n * each) << 20))
        for name, each in (("process", 1), ("docker", 8))
        for n in (1, 2, 4)
    ]
    made = context(estimates=rows)
    (figure,) = _shared.over_count(made, "memory", ["process", "docker"], "idle instances", fit=True)
    assert figure.title == "pss: one more instance costs 8.00× as much in docker as in process"
    assert row_of(figure.data, "docker") == ["docker", "8.00 MiB", "12.0 MiB", "20.0 MiB", "36.0 MiB"]


def test_parts_show_their_sum() -> None:
    """The parts of a cost stand beside their sum; a part that does not exist is a dash."""
    rows = [estimate("startup", m, "docker", r) for m, r in (("cpu-payload", 1.0), ("cpu-engine", 3.0))]
    rows.append(estimate("startup", "cpu-payload", "process", 1.0))
    figure = _shared.parts_figure(
        context(estimates=rows), "startup", ["cpu-payload", "cpu-engine"], "CPU", ["process", "docker"]
    )
    assert figure is not None
    assert figure.title == "CPU: the largest part is cpu-engine in docker, 75 % of its sum"
    assert row_of(figure.data, "docker")[1:] == ["1.00 ms", "3.00 ms", "4.00 ms"]
    assert row_of(figure.data, "process")[1:] == ["1.00 ms", "–", "1.00 ms"]


def test_latencies_are_drawn_from_the_median_to_the_tail() -> None:
    """A panel a job with p50, p99 and p99.9; a percentile and the CPU time are no costs of their own in the title."""
    tails = {"p50": 0.5, "p99": 2.0, "p99.9": 20.0, "cpu": 0.1}
    rows = [estimate("io", "randread-4k", name, 1.0) for name in ("process", "docker")]
    rows += [estimate("io", f"randread-4k-{t}", n, r) for n in ("process", "docker") for t, r in tails.items()]
    figures = [block for block in io.build(context(estimates=rows)) if isinstance(block, Figure)]
    assert len(figures) == 3
    assert "40.0× the median" in figures[1].title
    assert [plain(cell.text) for cell in figures[1].data.rows[1]][1:] == ["50.0 µs", "200 µs", "2.00 ms"]
    assert all("-p99" not in plain(row[0].text) for row in figures[0].data.rows)


def test_a_storage_path_is_set_against_the_one_it_differs_from() -> None:
    """Paired by block, with the cause named only where it is one; against the baseline there is the ratio already."""
    rows = [estimate("io", "randread-4k", name, r) for name, r in (("process", 1.0), ("ns-all", 2.0), ("docker", 3.0))]
    tables = [b for b in io.build(context(estimates=rows)) if isinstance(b, Table) and "storage path" in b.caption]
    (row,) = [[plain(cell.text) for cell in row] for row in tables[0].rows]
    assert row[0] == "docker against ns-all" and row[2].startswith("several things")
    assert row[3] == "200 µs" and row[4].startswith("+1")


def test_copy_up_is_drawn_against_the_size_of_the_file() -> None:
    """Metrics of a first write become one figure over the size, whose title says what the largest file tells."""
    sizes = (("1k", 1.0), ("1m", 2.0), ("100m", 50.0))
    rows = [estimate("io", f"copy-up-{size}", name, r) for name in ("process", "docker") for size, r in sizes]
    figure = next(b for b in io.build(context(estimates=rows)) if isinstance(b, Figure) and "First write" in b.title)
    assert figure.title == "First write to the largest file: docker against process: 50.0×"
    cells = row_of(figure.data, "docker")[1:]
    assert cells == ["100 µs (98.0 µs … 102 µs)", "200 µs (196 µs … 204 µs)", "5.00 ms (4.90 ms … 5.10 ms)"]


def overlays(*names: str) -> Context:
    """A run of copy-ups in these environments, 5 ms through an overlay and 1 ms without, and more blocks than six."""
    adds = "its data on a named volume instead of the overlay"
    volume = EnvironmentRecord("docker-volume", "volume", "engine", adds, "docker", True, {"storage": "a named volume"})
    metrics = [(f"copy-up-{size}", 10.0) for size in ("1k", "1m", "100m")] + [("again-1m", 1.0)]
    dear = {"docker": 5.0, "ns-all": 5.0}
    rows = [estimate("io", m, n, times * dear.get(n, 1.0)) for n in names for m, times in metrics]
    made = context(estimates=[row._replace(scenario="io-copy-up") for row in rows], blocks=11)
    scenario = msgspec.structs.replace(made.session.scenarios[-1], name="io-copy-up", metrics=[])
    records = [*made.session.environments, volume]
    for record in records:
        if record.name in dear:
            record.facts["storage"] = "overlay2 on /var/lib/docker"
    return with_session(made, msgspec.structs.replace(made.session, environments=records, scenarios=[scenario]))


def test_an_overlay_is_set_against_a_volume() -> None:
    """What copying up costs is Docker's overlay against Docker's volume, paired, for first and second write alike; an
    overlay without such a partner stands against the baseline."""
    figures = [b for b in io.build(overlays("process", "ns-all", "docker", "docker-volume")) if isinstance(b, Figure)]
    (figure,) = [f for f in figures if f.title.startswith("An overlay")]
    assert figure.title == "An overlay adds to the first write to files of 3 of 3 sizes; none stands out"
    rows = [[plain(cell.text) for cell in row] for row in figure.data.rows]
    assert [row[0] for row in rows[::4]] == ["docker against docker-volume", "ns-all against process"]
    assert [row[1] for row in rows[:4]] == ["copy-up-1k", "copy-up-1m", "copy-up-100m", "again-1m"]
    assert "named volume" in rows[0][2] and "several things" in rows[4][2]
    assert rows[0][3] == "1.00 ms" and rows[0][4] == "+4.24 [+3.82, +4.66] ms"
    assert rows[3][4].startswith("+4"), rows[3]
    assert "95 % interval; n = 11 pairs" in figure.note


def test_an_overlay_is_named_where_it_certainly_adds_most() -> None:
    """One size and path by more than all others reach; none where none is certain."""
    near = Difference("io", "m", "docker", "volume", "second", 12, 1.0, 0.5, 1.5)
    far, unsure = near._replace(value=9.0, low=8.0, high=10.0), near._replace(value=2.0, low=-1.0, high=3.0)
    assert io._what_overlays_add({near: (0, "x"), far: (2, "y")}, 3).endswith("to the largest file: y")
    assert io._what_overlays_add({unsure: (0, "x")}, 3) == "No first write is certainly dearer through an overlay"


def test_no_title_holds_an_absolute_value() -> None:
    """Seconds and bytes are of this host, and a title is what is remembered: ratios and shares only."""
    made = [context(), context(blocks=20), overlays("process", "ns-all", "docker", "docker-volume")]
    figures = [b for one in made for section in find_sections() for b in section.build(one) if isinstance(b, Figure)]
    assert len(figures) > 10
    for figure in figures:
        assert not re.search(r"\d\s?(ns|µs|ms|s|[KMG]i?B|B)\b", figure.title), figure.title


def test_copy_up_without_an_overlay_has_nothing_to_set_it_against() -> None:
    """Where neither an overlay nor its partner was measured, there is the one figure."""
    for names in (("process",), ("docker",), ("process", "docker-volume")):
        assert len([b for b in io.build(overlays(*names)) if isinstance(b, Figure)]) == 1
