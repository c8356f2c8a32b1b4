"""Host facts and interference counters."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from isobench.cells.gate import SHARES, marks
from isobench.host import machine
from isobench.host.counters import Counter
from isobench.results.record import CellRecord
from isobench.run import doctor


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
    assert machine.parse_throttled(text, name) == pytest.approx(seconds)


@pytest.mark.parametrize("version", [1, 2])
def test_a_parents_quota_is_looked_at(version: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And that of the cgroups in which engines put what they start: only their own files tell what they held back."""
    controllers, tree = ("cpu,cpuacct", "cpu") if version == 1 else ("", "")
    (tmp_path / "self").mkdir()
    (tmp_path / "self/cgroup").write_text(f"3:{controllers}:/a.slice/b.scope\n")
    said = "throttled_time 1000000000" if version == 1 else "throttled_usec 1000000"
    for folder in ("", "a.slice", "a.slice/b.scope", "docker", "stranger"):
        (tmp_path / "fs/cgroup" / tree / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / "fs/cgroup" / tree / folder / "cpu.stat").write_text(said + "\n")
    for part in (0, 1):
        (tmp_path / f"devices/system/cpu/cpu{part}/thermal_throttle").mkdir(parents=True)
        (tmp_path / f"devices/system/cpu/cpu{part}/topology").mkdir()
        (tmp_path / f"devices/system/cpu/cpu{part}/topology/physical_package_id").write_text("0\n")
        file = tmp_path / f"devices/system/cpu/cpu{part}/thermal_throttle/package_throttle_total_time_ms"
        file.write_text("500\n")
    monkeypatch.setattr(machine, "_SYS", tmp_path)
    monkeypatch.setattr(machine, "_PROC", tmp_path)
    monkeypatch.setattr(machine, "_CPU", tmp_path / "devices/system/cpu")
    machine.begin(["docker", "nowhere"])
    try:
        assert machine.read()["throttled_seconds"] == pytest.approx(4.5)
        machine.begin()
        assert machine.read()["throttled_seconds"] == pytest.approx(3.5)
    finally:
        machine.begin()


def test_a_kernel_without_pressure_tells_who_waited() -> None:
    """/proc/schedstat has the nanoseconds that tasks waited for each CPU; they count only where pressure is missing."""
    said = "version 15\ncpu0 0 0 9 9 9 9 7000 2000000000 5\ndomain0 3\ncpu1 0 0 9 9 9 9 7000 500000000 5\n"
    assert machine.parse_schedstat(said) == {"waited_seconds": 2.5}


@pytest.mark.parametrize(
    ("more", "expected", "said"),
    [
        ({}, {}, ["tasks waited for a CPU (50% of the block)"]),
        ({"psi_cpu_seconds": 0.0}, {}, []),
        ({}, {"startup": ["psi_cpu_seconds"]}, []),
    ],
)
def test_waiting_counts_where_pressure_is_missing(
    more: dict[str, float], expected: dict[str, list[str]], said: list[str]
) -> None:
    """And not in a scenario that drives it by itself."""
    assert marks([CellRecord("process", "startup", 0.0, 1.0, 1.0, {"waited_seconds": 0.5, **more})], expected) == said


@pytest.mark.parametrize(
    ("cpuinfo", "said"),
    [
        ("model name\t: QEMU TCG CPU version 2.5+\nflags\t\t: fpu svm hypervisor\n", "emulated CPU (QEMU without KVM)"),
        ("model name\t: AMD EPYC\nflags\t\t: fpu hypervisor\n", "virtual machine (Box)"),
        ("model name\t: AMD EPYC\nflags\t\t: fpu svm\n", "bare metal"),
        ("CPU implementer\t: 0x00\nCPU part\t: 0x051\n", "emulated CPU (QEMU without KVM)"),
        ("CPU implementer\t: 0x41\nCPU part\t: 0xd0c\n", "bare metal"),
    ],
)
def test_a_host_says_what_is_under_it(cpuinfo: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU whose instructions are translated is no virtual machine's."""
    (tmp_path / "class/dmi/id").mkdir(parents=True)
    (tmp_path / "class/dmi/id/product_name").write_text("Box\n")
    (tmp_path / "cpuinfo").write_text(cpuinfo)
    monkeypatch.setattr(machine, "_SYS", tmp_path)
    monkeypatch.setattr(machine, "_PROC", tmp_path)
    assert machine.virtualisation() == said


def dmi(vendor: str, product: str) -> dict[str, str]:
    return {"class/dmi/id/sys_vendor": vendor, "class/dmi/id/product_name": product}


ARM = "processor\t: 0\nBogoMIPS\t: 243.75\nCPU implementer\t: 0x41\nCPU variant\t: 0x3\nCPU part\t: 0xd0c\n"


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (
            dmi("Amazon EC2", "m7g.large"),
            "virtual machine (m7g.large)",
        ),
        (dmi("Amazon EC2", "m7g.metal"), "bare metal"),
        (dmi("QEMU", "KVM Virtual Machine"), "virtual machine"),
        (
            dmi("Microsoft Corporation", "Virtual Machine"),
            "virtual",
        ),
        (
            dmi("Microsoft Corporation", "Surface Pro"),
            "bare metal",
        ),
        (
            dmi("Google", "Google Compute Engine"),
            "virtual machine",
        ),
        (dmi("Ampere", "Mt. Jade"), "bare metal"),
        ({"class/dmi/id/sys_vendor": "x", "class/dmi/id/chassis_asset_tag": "OracleCloud.com"}, "virtual machine"),
        ({"firmware/devicetree/base/model": "Raspberry Pi 4 Model B\0"}, "bare metal"),
        ({"firmware/devicetree/base/compatible": "linux,dummy-virt\0"}, "virtual machine"),
        ({"firmware/devicetree/base/hypervisor/compatible": "linux,kvm\0"}, "virtual machine"),
        ({"hypervisor/type": "xen"}, "virtual machine"),
        ({}, "unknown"),
    ],
)
def test_a_machine_without_a_flag_for_it_says_so_by_name(
    files: dict[str, str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """aarch64 has no hypervisor flag: firmware, device tree and clouds' names say it, or it is not known."""
    for name, text in {"cpuinfo": ARM, **files}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(machine, "_SYS", tmp_path)
    monkeypatch.setattr(machine, "_PROC", tmp_path)
    assert machine.virtualisation().startswith(said)
    assert "implementer 0x41, part 0xd0c" in machine.fingerprint()["cpu"]


def test_sizes_are_in_the_unit_that_shows_them() -> None:
    """A swap of 48 MiB is one."""
    assert [machine.size(n) for n in (0, 512, 48 << 20, 24 << 30)] == ["none", "512 B", "48.0 MiB", "24.0 GiB"]


@pytest.mark.parametrize(
    ("facts", "warned"),
    [
        ({"thp": "never", "swap": "none", "virtual": "bare metal", "governor": "performance"}, set()),
        ({"thp": "madvise", "swap": "none", "virtual": "unknown"}, set()),
        ({"thp": "always", "swap": "48.0 MiB", "virtual": "virtual machine"}, {"thp", "swap", "virtual"}),
    ],
)
def test_noise_is_what_makes_noise(facts: dict[str, str], warned: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """No huge pages are as quiet as those that are asked for."""
    monkeypatch.setattr(machine, "facts", lambda: {**facts, "load": "0.1 0.1 0.1"})
    monkeypatch.setattr(doctor, "_other_instances", lambda: iter(()))
    assert {f.name for f in doctor.check_noise() if f.outcome == "WARN"} == warned


def test_a_tools_version_in_another_encoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is told as far as it can be read; one that says nothing, or fails, is no error of isobench's."""
    for name, text in (
        ("podman", "printf 'podman 4 \\251\\n'"),
        ("crun", "echo no; exit 3"),
        ("runsc", "printf '\\033[2J'"),
    ):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    found = {f.name: f for f in doctor.check_tools()}
    assert found["podman"].outcome == "PASS" and found["podman"].reason.startswith("podman 4 ")
    assert found["crun"].outcome == "FAIL" and "crun --version fails" in found["crun"].reason


def test_a_throttled_block_is_left_out() -> None:
    """The rule has a limit for it, and the counter has the name that the rule looks for."""
    assert "throttled_seconds" in SHARES
    cell = CellRecord("process", "startup", 0.0, 1.0, 1.0, {"throttled_seconds": 0.2})
    assert marks([cell]) == ["the CPU was throttled (20% of the block)"]
    assert marks([CellRecord("process", "startup", 0.0, 1.0, 1.0, {"throttled_seconds": 0.001})]) == []


def test_every_counter_of_the_rule_is_one_that_is_read() -> None:
    """What the gate looks at, this kernel tells, but for throttling where the host has no such file."""
    before = machine.read()
    changed = machine.delta(before, machine.read())
    assert set(SHARES) - set(changed) <= {"throttled_seconds"} | {c for c in SHARES if c.startswith("psi_")}


def test_other_peoples_work_is_seen_where_cpus_are_left_over() -> None:
    """Nobody waits for a CPU on a host of 64 when 20 compile, so pressure says nothing; three CPUs may be our own."""

    def block(busy: float, scenario: str = "startup") -> list[CellRecord]:
        return [CellRecord("process", scenario, 0.0, 1.0, 1.0, {"busy_seconds": busy, "idle_seconds": 64 - busy})]

    assert marks(block(20.0)) == ["other programs kept CPUs busy (27% of all)"]
    assert marks(block(3.0)) == []
    assert marks(block(20.0, "density"), {"density": ["psi_cpu_seconds"]}) == []


def test_other_peoples_processes_are_named() -> None:
    """A build beside a guest keeps the second of two CPUs busy; nobody waits, and three CPUs could be our own."""

    def said(others: dict[str, float]) -> list[str]:
        cell = CellRecord("tcg", "startup", 0.0, 10.0, 9.0, {"busy_seconds": 19.0, "idle_seconds": 1.0})
        return marks([cell], None, {"busy_seconds": 19.0, "idle_seconds": 1.0}, others)

    assert said({"cc1": 8.0, "make": 0.5}) == ["other programs kept CPUs busy (42% of all, most of it cc1)"]
    assert said({"cc1": 1.9}) == []
    assert said({"make": -0.5}) == said({}) == []
    assert said({"a\u202eb" + 40 * "c": 8.0})[0].count("\u202e") == 0


def test_interrupts_disks_and_a_changed_frequency_limit_mark_a_block() -> None:
    """A network's packets, a disk that others use on a kernel without pressure, a power profile that is switched."""

    def said(**counters: float) -> list[str]:
        return marks([CellRecord("process", "startup", 0.0, 1.0, 1.0, counters)])

    assert said(interrupt_seconds=0.2) == ["interrupts took CPU time (20% of the block)"]
    assert said(disk_busy_seconds=0.9) == ["tasks waited for I/O (90% of the block)"]
    assert said(disk_busy_seconds=0.9, psi_io_seconds=0.1) == []
    assert said(frequency_limit_change=800_000.0) == [
        "the highest frequency that a CPU may have was changed (800000 kHz)"
    ]


def test_what_a_scenario_causes_itself_marks_no_block_and_the_same_elsewhere_does() -> None:
    """A fork bomb of ours keeps this process waiting, too; what happens in another cell or between cells is told."""
    expected = {"neighbour-fork": frozenset({Counter.STOOD_STILL})}
    bomb = CellRecord("docker", "neighbour-fork", 0.0, 9.0, 8.0, {"stood_still_seconds": 1.5})
    other = CellRecord("docker", "startup", 9.0, 1.0, 1.0, {"stood_still_seconds": 0.3})

    def said(cells: list[CellRecord], whole: float) -> list[str]:
        return marks(cells, expected, {"stood_still_seconds": whole})

    assert said([bomb], 1.6) == marks([bomb], expected) == []
    assert said([bomb], 1.8) == ["isobench itself was stopped (0.30 s)"]
    assert said([bomb, other], 1.8) == ["isobench itself was stopped (0.30 s)"]
    assert marks([bomb]) == ["isobench itself was stopped (1.50 s)"]


def test_a_frequency_limit_is_a_level(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any change of it counts, down or up, and a host without one has no such counter."""
    policy = tmp_path / "cpufreq/policy0/scaling_max_freq"
    monkeypatch.setattr(machine, "_CPU", tmp_path)
    assert "frequency_limits_khz" not in machine.read()
    policy.parent.mkdir(parents=True)
    policy.write_text("3600000\n")
    before = machine.read()
    policy.write_text("2800000\n")
    assert machine.delta(before, machine.read())["frequency_limit_change"] == 800_000


def test_disks_are_counted_once() -> None:
    """Neither their partitions nor what is made of them."""
    busy = {"sda": 1500, "sda1": 1400, "dm-0": 1400, "nvme0n1": 500, "nvme0n1p1": 500, "loop0": 900}
    text = "\n".join(f"8 0 {name} 1 0 8 5 1 0 8 5 0 {ticks} 10" for name, ticks in busy.items())
    assert machine.parse_diskstats(text) == {"disk_busy_seconds": 2.0}
    assert machine.parse_diskstats("") == {}


@pytest.mark.tool("taskset")
@pytest.mark.tool("chrt")
def test_a_process_that_is_scheduled_otherwise_is_told() -> None:
    """An engine's containers are not pinned and not nice where isobench is: the record says so, and the fingerprint."""
    code = "from isobench.host import machine; print(machine.confined(), '|', machine.fingerprint().get('confined'))"
    for words, told in (
        (["nice", "-n", "7"], "nice"),
        (["taskset", "-c", str(min(os.sched_getaffinity(0)))], f"1 of {os.cpu_count()} processors"),
        (["chrt", "--batch", "0"], "scheduled as batch"),
    ):
        said = subprocess.run([*words, sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        alone = os.cpu_count() == 1 and words[0] == "taskset"
        assert alone or (told in said.partition("|")[0] and told in said.partition("|")[2])


@pytest.mark.parametrize("told", ["", "uninitialized", "nonsense\x1b[2J"])
def test_a_machine_id_that_is_none(told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in an image before its first boot: the hardware's tells the machine, not that of all such images."""
    (tmp_path / "machine-id").write_text(told)
    (tmp_path / "class/dmi/id").mkdir(parents=True)
    monkeypatch.setattr(machine, "_MACHINE_ID", tmp_path / "machine-id")
    monkeypatch.setattr(machine, "_SYS", tmp_path)
    found = set()
    for uuid in ("one", "another"):
        (tmp_path / "class/dmi/id/product_uuid").write_text(uuid)
        found.add(machine.host_id())
    assert len(found) == 2


def test_whether_the_caches_were_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the kernel's own count: a process that writes meanwhile fills them again, and a container's file may do
    nothing."""
    asked, count = tmp_path / "sys/vm/drop_caches", tmp_path / "vmstat"
    asked.mkdir(parents=True)
    monkeypatch.setattr(machine, "_PROC", tmp_path)
    assert not machine.drop_caches()  # it cannot be written
    asked.rmdir()
    assert not machine.drop_caches() and asked.read_text() == "3"  # nothing is counted
    count.write_text("nr_free_pages 9\ndrop_pagecache 4\ndrop_slab 7\n")
    assert not machine.drop_caches()  # the count stays
    writes = Path.write_text
    monkeypatch.setattr(Path, "write_text", lambda file, text: writes(count, f"drop_pagecache {1 + machine._drops()}"))
    assert machine.drop_caches() and machine._drops() == 5


@pytest.mark.parametrize(("content", "enforces"), [("1", True), ("0", False), (None, False)])
def test_selinux_enforces_or_only_warns_or_is_not_there(
    content: str | None, enforces: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "_SYS", tmp_path)
    if content is not None:
        (tmp_path / "fs/selinux").mkdir(parents=True)
        (tmp_path / "fs/selinux/enforce").write_text(content)
    assert machine.selinux_enforces() == enforces
