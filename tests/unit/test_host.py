"""Host facts and interference counters."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import host
from bench.analysis.gate import SHARES, marks
from bench.record import CellRecord


@pytest.mark.parametrize(
    ("name", "text", "seconds"),
    [
        ("core_throttle_total_time_ms", "1500", 1.5),
        ("core_throttle_total_time_ms", "", 0.0),
        ("cpu.stat", "usage_usec 9\nnr_throttled 3\nthrottled_usec 2500000\n", 2.5),
        ("cpu.stat", "nr_periods 0\nnr_throttled 1\nthrottled_time 250000000\n", 0.25),
        ("cpu.stat", "usage_usec 9\n", 0.0),
    ],
)
def test_throttling_is_read_wherever_it_is_told(name: str, text: str, seconds: float) -> None:
    """By heat in milliseconds; by quota in microseconds on cgroup version 2, in nanoseconds on version 1."""
    assert host.parse_throttled(text, name) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("cpuinfo", "said"),
    [
        ("model name\t: QEMU TCG CPU version 2.5+\nflags\t\t: fpu svm hypervisor\n", "emulated CPU (QEMU without KVM)"),
        ("model name\t: AMD EPYC\nflags\t\t: fpu hypervisor\n", "virtual machine (Box)"),
        ("model name\t: AMD EPYC\nflags\t\t: fpu svm\n", "bare metal"),
    ],
)
def test_a_host_says_what_is_under_it(cpuinfo: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU whose instructions are translated is no virtual machine's."""
    (tmp_path / "class/dmi/id").mkdir(parents=True)
    (tmp_path / "class/dmi/id/product_name").write_text("Box\n")
    (tmp_path / "cpuinfo").write_text(cpuinfo)
    monkeypatch.setattr(host, "_SYS", tmp_path)
    monkeypatch.setattr(host, "_PROC", tmp_path)
    assert host.virtualisation() == said


def test_a_throttled_block_is_left_out() -> None:
    """The rule has a limit for it, and the counter has the name that the rule looks for."""
    assert "throttled_seconds" in SHARES
    cell = CellRecord("process", "startup", 0.0, 1.0, 1.0, {"throttled_seconds": 0.2})
    assert marks([cell]) == ["the CPU was throttled (20% of the block)"]
    assert marks([CellRecord("process", "startup", 0.0, 1.0, 1.0, {"throttled_seconds": 0.001})]) == []


def test_every_counter_of_the_rule_is_one_that_is_read() -> None:
    """What the gate looks at, this kernel tells, but for throttling where the host has no such file."""
    before = host.read()
    changed = host.delta(before, host.read())
    assert set(SHARES) - set(changed) <= {"throttled_seconds"} | {c for c in SHARES if c.startswith("psi_")}
