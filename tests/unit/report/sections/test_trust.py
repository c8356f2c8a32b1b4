"""How far the numbers can be trusted: skips and failures, clocks, the control."""

from __future__ import annotations

import json

import numpy as np

from isobench.layout.blocks import Banner, plain
from isobench.report.context import Context
from isobench.report.sections import trust, verdict
from isobench.results.record import SkipRecord
from tests.unit.report.made import all_tables, context, estimate
from verification.validity.runs import context_of, quiet


def test_the_first_screen_warns_and_trust_tells_of_skips_and_failures() -> None:
    """A virtual host and emulation are said first; what was skipped or failed stands there with its reason."""
    banner = verdict.build(context())[0]
    assert isinstance(banner, Banner)
    assert "itself virtual" in plain(banner.text) and "without KVM" in plain(banner.text)
    blocks = trust.build(context())
    words = json.dumps([[plain(c.text) for c in row] for t in all_tables(blocks) for row in t.rows])
    assert "no guest came up" in words and "use bare metal" in words and "fio did not end" in words


def test_what_was_skipped_for_one_reason_is_one_row() -> None:
    """Eleven kinds of images that an environment does not have are one thing to know; another remedy is another."""
    made = context()
    none = [SkipRecord("tcg", f"image-{number}", "it has no images") for number in range(25)]
    made.session.skips[:] = [
        *none,
        none[0],
        SkipRecord("tcg", "disk", "it has no images", "get some"),
        SkipRecord("kvm", "", "x"),
    ]
    rows = next(t.rows for t in all_tables(trust.build(made)) if t.caption.startswith("What could not be measured"))
    told = [[plain(cell.text) for cell in row] for row in rows]
    assert [(row[0], row[2]) for row in told] == [
        ("tcg", "it has no images"),
        ("tcg", "it has no images get some"),
        ("kvm", "x"),
    ]
    assert told[0][1].startswith("image-0, image-1, ") and told[0][1].endswith("image-18 and 6 more")
    assert [row[1] for row in told[1:]] == ["disk", "all"]


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


def _told(made: Context) -> dict[str, str]:
    """The table of what the run was."""
    table = next(t for t in all_tables(trust.build(made)) if t.caption == "What this run was")
    return {plain(row[0].text): plain(row[1].text) for row in table.rows}


def test_of_five_blocks_neither_the_control_nor_autocorrelation_is_known() -> None:
    """Five pairs have no p below 0.05 and show no correlation: "0 differ" and "none" would be no finding."""
    told = {blocks: _told(context_of({("s", "m", name): logs for name, logs in
                                      quiet(np.random.default_rng(1), 3, blocks, 0.02).items()}))
            for blocks in (5, 12)}  # fmt: skip
    for about in ("A/A control", "autocorrelated blocks"):
        assert told[5][about] == "not known: fewer than 6 pairs of blocks"
        assert not told[12][about].startswith("not known")


def test_what_has_no_ratio_for_a_value_of_zero_is_told() -> None:
    """A dash beside 200 ms would be a riddle; what was not measured is no such thing."""
    costs = {("s", "m", name): logs for name, logs in quiet(np.random.default_rng(1), 3, 12, 0.02).items()}
    assert not any(about.startswith("no ratio") for about in _told(context_of(costs)))
    costs["s", "m", "e1"][3] = -np.inf
    assert _told(context_of(costs))["no ratio, because of a value of zero or less"] == "s.m in e1"


def test_the_smallest_effect_is_also_that_of_the_noisiest_environment() -> None:
    """A start of 2.2 times was inconclusive, in a run that claimed to find 29 %: that held for the control's noise."""
    rows = [
        estimate("startup", "ready", "process@control", 1.0, mde=0.29, control=True),
        estimate("startup", "ready", "ns-all", 2.2, mde=3.4),
        estimate("startup", "ready", "docker", 400.0, mde=1.5),
    ]
    assert "29 % (at most 340 %) in startup" in _told(context(estimates=rows))["smallest effect seen"]
