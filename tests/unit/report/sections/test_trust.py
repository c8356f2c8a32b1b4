"""How far the numbers can be trusted: skips and failures, clocks, the control."""

from __future__ import annotations

import json

from isobench.report.blocks import Banner, plain
from isobench.report.sections import trust, verdict
from tests.unit.report.made import all_tables, context, estimate


def test_the_first_screen_warns_and_trust_tells_of_skips_and_failures() -> None:
    """A virtual host and emulation are said first; what was skipped or failed stands there with its reason."""
    banner = verdict.build(context())[0]
    assert isinstance(banner, Banner)
    assert "itself virtual" in plain(banner.text) and "without KVM" in plain(banner.text)
    blocks = trust.build(context())
    words = json.dumps([[plain(c.text) for c in row] for t in all_tables(blocks) for row in t.rows])
    assert "no guest came up" in words and "use bare metal" in words and "fio did not end" in words


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
