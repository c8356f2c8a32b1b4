"""The lab's bookkeeping: hosts as files, what a check's end means, what HOSTS.md says of a host."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from isobench.core.errors import BuildError
from isobench.host.machine import cgroup_layout
from isobench.planning import catalog
from isobench.results import store
from isobench.results.journal import Sample
from isobench.results.record import BlockRecord, CellRecord, FailureRecord, SkipRecord
from tests.busy import soon
from tests.unit.report.made import session
from verification.hosts import checks, host, image, machine, table


class SayingMachine(machine.Machine):
    """One that answers each command by the next of the given answers."""

    def __init__(self, folder: Path, *answers: machine.Done) -> None:
        self.folder = folder
        self.asked: list[str] = []
        self._answers = list(answers)

    def run(self, command: str, seconds: float, *, stdin: bytes = b"") -> machine.Done:
        self.asked.append(command)
        return self._answers.pop(0)

    def reboot(self) -> None:
        self.asked.append("reboot")

    def wait(self, deadline: float = 0.0) -> float:
        self.asked.append("wait")
        return 0.0


def test_every_host_is_read() -> None:
    """What a file says arrives; a host is named after its file."""
    hosts = host.known()
    assert hosts["debian-13"].release == "trixie"
    assert all(one.name == name and one.about and one.release for name, one in hosts.items())


def test_hosts_that_share_a_disk_differ_in_how_they_are_booted() -> None:
    """What the disk is made of is the same, so that its image has one key and they do not push each other out."""
    by_disk: dict[str, list[host.Host]] = {}
    for one in host.known().values():
        by_disk.setdefault(one.disk, []).append(one)
    assert len(by_disk["debian-12"]) >= 3
    for sharing in by_disk.values():
        assert len({(one.release, one.python, one.packages, one.commands) for one in sharing}) == 1
        assert len({one.kernel for one in sharing}) == len(sharing)


def test_entries_of_the_cache_are_packed_for_a_disk(tmp_path: Path) -> None:
    """They arrive as they are and belong to root; what cannot be packed is said."""
    built, disk = tmp_path / "built", tmp_path / "disk"
    for name in ("one", "other"):
        (built / name).mkdir(parents=True)
        (built / name / "tree.tar").write_text(name)
    (built / "CACHEDIR.TAG").write_text("tag")
    with open(disk, "wb") as file:
        machine._pack([built / "one"], file.fileno())
    with tarfile.open(disk) as archive:
        assert archive.getnames() == ["CACHEDIR.TAG", "one", "one/tree.tar"]
        assert all(member.uid == 0 for member in archive)
    assert disk.stat().st_size % 512 == 0
    with open(disk, "wb") as file, pytest.raises(BuildError, match=r"cannot be packed: .*missing"):
        machine._pack([built / "missing"], file.fileno())


def test_a_fresh_host_has_to_install_what_the_others_have() -> None:
    """It has no engine, no Python and no compiler, reaches the mirrors, and runs what the README says."""
    hosts = host.known()
    fresh, full = hosts["debian-13-fresh"], hosts["debian-13"]
    assert fresh.is_fresh and not full.is_fresh and fresh.release == full.release
    assert not {"docker.io", "python3", "gcc", "pipx"} & set(image._packages(fresh))
    assert {"docker.io", "python3", "gcc", "pipx"} < set(image._packages(full))
    devices = [" ".join(machine._devices(one, Path("/x"), 22)) for one in (fresh, full)]
    assert ["restrict=off" in words for words in devices] == [True, False]
    readme = (image.ROOT / "README.md").read_text()
    for check in (check for check in checks.CHECKS if check.is_fresh):
        _, command = check.command.split(" && pipx ")
        assert f"pipx {command.partition('--provision')[0]}--provision " in readme


def test_a_host_runs_the_checks_that_it_can() -> None:
    """A fresh one those that need mirrors; one of another architecture none that needs programs from here."""

    def checks_of(name: str) -> set[str]:
        return {check.name for check in checks.CHECKS if check.is_for(host.known()[name])}

    assert checks_of("debian-13-fresh") == {
        "the README's first command",
        "the README's second command",
        "distributions",
    }
    assert checks_of("debian-13") - checks_of("debian-13-arm64") == {"workloads", "slow workloads"}


def test_debian_13_is_asked_everything_and_the_others_what_could_differ_there() -> None:
    """What a host's file asks is a check, which that host can carry out."""
    for one in host.known().values():
        asked = [check.name for check in checks.CHECKS if check.is_asked_of(one)]
        can = [check.name for check in checks.CHECKS if check.is_for(one)]
        assert asked and set(one.checks) <= set(can)
        assert asked == [name for name in can if name in one.checks or not one.checks]
    assert not host.known()["debian-13"].checks


def test_each_root_file_system_is_laid_in_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of workloads, of images and of what disturbs a neighbour: a host reaches no mirror to make them."""

    def tree(packages: Sequence[str], without: Sequence[str] = ()) -> Path:
        return Path("/cache", "+".join((*packages, *(["less"] if without else []))), "tree.tar")

    monkeypatch.setattr("isobench.images.debian.debian_tree", tree)
    laid = [entry.name for entry in image.trees(("compile", "compile", "redis"))]
    assert len(laid) == len(set(laid)) == 5
    assert {"apt", "redis-server+redis-tools", "fio+stress-ng+less"} < set(laid)


def test_what_builds_the_documentation_is_not_laid_in() -> None:
    """No check wants it, and not all of it has wheels: what is laid in is chosen for another Python than this one's."""
    words = " ".join(image._requirements())
    assert "argparse-manpage" not in words and "zensical" not in words
    assert {"scipy", "docker", "libvirt-python", "pytest"} <= set(re.findall(r"[a-z-]+", words))


def test_checks_name_what_there_is() -> None:
    """Every environment and group that a check asks for is in the catalogue."""
    asked = [name for check in checks.CHECKS for name in re.findall(r"(?:-e|--require) (\S+)", check.command)]
    assert len(asked) >= 8
    for names in asked:
        assert catalog.select_environments(names.strip("'"))


def test_every_contract_test_is_in_one_check() -> None:
    """Each file, and of the file that has every environment each environment that is not emulated once more."""
    words = [word for check in checks.CONTRACT.values() for word in check.split() if word.endswith(".py")]
    there = {str(file.relative_to(image.ROOT)) for file in (image.ROOT / "tests/contract").glob("test_*.py")}
    assert set(words) == there
    assert {word for word in words if words.count(word) > 1} == {"tests/contract/test_environments.py"}
    chosen = [check.partition(" -k ")[2].strip("'") for check in checks.CONTRACT.values() if " -k " in check]
    for name in catalog.environments():
        known = {word: word in name for word in ("docker", "kvm", "tcg")}
        assert sum(bool(eval(expression, {}, known)) for expression in chosen) == (not known["tcg"]), name


def test_a_host_that_lacks_something_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "odd.toml"
    file.write_text('about = "x"\nrelease = "trixie"\npackages = []\nkernel = []\n')
    with pytest.raises(KeyError, match="python"):
        host.read(file)


def test_the_end_of_a_check(tmp_path: Path) -> None:
    """Its exit code decides, its last line is the reason, and all that it said is kept."""
    good = SayingMachine(tmp_path, machine.Done(0, "first\nall is well\n", "", 60.0))
    assert checks.carry_out(checks.Check("a b", "true", 1), good) == (True, "passed", 1.0)
    assert "first" in (tmp_path / "a-b.txt").read_text()
    bad = SayingMachine(tmp_path, machine.Done(5, "", "isobench: nothing was measured\n", 6.0))
    assert checks.carry_out(checks.Check("c", "true", 1), bad)[:2] == (False, "exit 5: isobench: nothing was measured")
    late = SayingMachine(tmp_path, machine.Done(124, "half", "", 120.0))
    assert checks.carry_out(checks.Check("d", "true", 2), late)[:2] == (False, "took longer than 2 minutes")


def test_a_host_that_broke_down_is_asked_once_more(tmp_path: Path) -> None:
    """When it is up again; what it said before is kept, and a second breakdown is the outcome."""
    gone, good = machine.Done(255, "half", "closed", 60.0), machine.Done(0, "all", "", 120.0)
    one = SayingMachine(tmp_path, gone, good)
    outcome = checks.carry_out(checks.Check("a", "true", 1), one)
    assert outcome == (True, "passed, after the host had broken down once", 2.0)
    assert one.asked[1] == "wait" and one.asked[0] == one.asked[2]
    assert re.search(r"half.*once more:\nall", (tmp_path / "a.txt").read_text(), re.DOTALL)
    assert not checks.carry_out(checks.Check("b", "true", 1), SayingMachine(tmp_path, gone, gone)).passed


def test_what_selinux_would_deny_is_counted(tmp_path: Path) -> None:
    """Whatever the file and the guest's own categories."""
    line = (
        'type=AVC msg=audit(1.2:{n}): avc:  denied  {{ map }} for  pid={n} comm="qemu" path="/{n}" dev="vda" ino={n} '
        "scontext=system_u:system_r:svirt_t:s0:c{n},c30 tcontext=system_u:object_r:boot_t:s0 tclass=file permissive=1\n"
    )
    (tmp_path / "audit.log").write_text("".join(line.format(n=number) for number in (7, 8)) + "type=SYSCALL x\n")
    command = checks.DENIED.replace("/var/log/audit", str(tmp_path))
    subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True)
    told = 'denied  { map } for comm="qemu" scontext=system_u:system_r:svirt_t:s0'
    told += " tcontext=system_u:object_r:boot_t:s0 tclass=file"
    (counted,) = (tmp_path / "out/denied.txt").read_text().splitlines()
    assert counted.split() == ["2", *told.split()]


def test_a_hosts_layout_of_cgroups_is_a_fact(tmp_path: Path) -> None:
    """Three hosts differ in nothing else."""

    class ThisMachine(SayingMachine):
        def run(self, command: str, seconds: float, *, stdin: bytes = b"") -> machine.Done:
            done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False, timeout=seconds)
            return machine.Done(done.returncode, done.stdout, done.stderr, 0.0)

    facts = ThisMachine(tmp_path).facts().split(", ")
    version = {"v2": "2", "hybrid": "1 with a tree of version 2", "v1": "1", "": "1"}[cgroup_layout()]
    assert facts[0] == platform.release() and f"cgroup version {version}" in facts


def test_what_follows_a_reboot_decides(tmp_path: Path) -> None:
    one = SayingMachine(tmp_path, machine.Done(0, "", "", 1.0), machine.Done(1, "", "left behind: x", 1.0))
    outcome = checks.carry_out(checks.Check("reboot", "begin", 1, "look"), one)
    assert [word for word in one.asked if word == "reboot"] and one.asked[-1].endswith("look")
    assert not outcome.passed and outcome.note == "exit 1: left behind: x"


def test_the_page_tells_measured_failed_and_skipped(tmp_path: Path) -> None:
    """Measured scenarios come from the runs, a failure beside them, and for the rest the doctor's reason and remedy."""
    folder = tmp_path / "debian-13"
    cells = [CellRecord(name, "startup", 0.0, 1.0, 0.5) for name in ("process", "docker")]
    record = msgspec.structs.replace(session(), blocks=[], warmups={}, failures=[], skips=[])
    writer = store.RunWriter(folder / "results", record, {("startup", "ready"): "second"})
    samples = [Sample(1, "process", "startup", "ready", 0.1)]
    writer.add_block(BlockRecord(1, 0.0, 1.0, cells), samples, [FailureRecord(1, "docker", "startup", "it | broke")])
    writer.finish()
    (folder / "out").mkdir()
    found = {"kind": "environment", "outcome": "SKIP", "reason": "there is no /dev/kvm", "remedy": "modprobe kvm"}
    (folder / "out/doctor.json").write_text(json.dumps([{**found, "name": "kvm"}]))
    outcomes = {"doctor": checks.Outcome(True, "fine", 2.0), "default": checks.Outcome(False, "exit 1", 3.0)}
    seen = table.seen(tmp_path / "record/debian-13.json", "about it", "abc", outcomes, folder)
    assert seen.environments["process"].measured == {"startup": record.started[:10]}
    table.write(tmp_path / "HOSTS.md", tmp_path / "record", _named("doctor", "default", "ladder"))
    lines = (tmp_path / "HOSTS.md").read_text().splitlines()
    assert lines[-1].startswith("Not run on any host yet: ladder, process-fork, ") and "kvm," not in lines[-1]
    assert "| process | startup |" in lines
    assert "| docker | **FAIL** startup: it \\| broke |" in lines
    assert "| kvm | there is no /dev/kvm → modprobe kvm |" in lines
    assert "| doctor | fine (2 min, abc) |" in lines
    assert "| default | **FAIL** exit 1 (3 min, abc) |" in lines


def test_a_newer_run_has_the_last_word_and_tells_what_it_could_not_have(tmp_path: Path) -> None:
    """What was mended since is no failure any more; what a run had to skip stands there with its reason, unasked."""
    (tmp_path / "debian-13").mkdir()
    for second, failures in ((1, [FailureRecord(1, "docker", "startup", "it broke")]), (2, [])):
        record = msgspec.structs.replace(
            session(), started=f"2026-01-01T00:00:0{second}Z", blocks=[], warmups={}, failures=[],
            skips=[
                SkipRecord("kvm", "", "there is no /dev/kvm", "modprobe kvm"),
                SkipRecord("docker", "io", "no direct I/O there", ""),
                SkipRecord("docker", "net", "not measured, because it does not apply", ""),
                SkipRecord("lxc", "", "it did not start", ""),
            ],
        )  # fmt: skip
        writer = store.RunWriter(tmp_path / "debian-13/results", record, {("startup", "ready"): "second"})
        cells = [CellRecord("docker", scenario, 0.0, 1.0, 0.5) for scenario in ("startup", "io")]
        samples = [Sample(1, "docker", "startup", "ready", 0.1)]
        writer.add_block(BlockRecord(1, 0.0, 1.0, cells), samples, failures)
        writer.finish()
    seen = table.seen(tmp_path / "debian-13.json", "about it", "abc", {}, tmp_path / "debian-13")
    assert str(seen.environments["docker"]) == "startup; no io: no direct I/O there"
    assert str(seen.environments["kvm"]) == "there is no /dev/kvm → modprobe kvm"
    assert str(seen.environments["lxc"]) == "**FAIL** it did not start"  # there is no remedy


def _named(*names: str) -> list[checks.Check]:
    return [checks.Check(name, "true", 1) for name in names]


def test_what_was_not_run_this_time_stays_on_the_page(tmp_path: Path) -> None:
    """Another host, another check of the same one, and environments whose runs are in no folder any more."""
    record = tmp_path / "record"
    for name, check in (("debian-12", "doctor"), ("debian-13", "default"), ("debian-13", "doctor")):
        outcomes = {check: checks.Outcome(True, f"{check} of {name}", 1.0)}
        table.seen(record / f"{name}.json", "about", "abc", outcomes, tmp_path / "nothing")
    one = table.read(record / "debian-12.json")
    one.environments["kvm"] = table.Cell({"io": "2026-01-01", "net": "2026-01-01"}, {"io": "it broke"})
    (record / "debian-12.json").write_bytes(msgspec.json.encode(one))
    table.seen(record / "debian-12.json", "about", "abc", {}, tmp_path / "nothing")
    asked_of_both = {"their contract tests": checks.Outcome(True, "passed", 1.0)}
    table.seen(record / "debian-13.json", "about", "abc", asked_of_both, tmp_path / "nothing")
    table.write(tmp_path / "HOSTS.md", record, _named("doctor", "default", "their contract tests"))
    lines = (tmp_path / "HOSTS.md").read_text().splitlines()
    assert "| doctor | doctor of debian-12 (1 min, abc) | doctor of debian-13 (1 min, abc) |" in lines
    assert "| their contract tests | not run | passed (1 min, abc) |" in lines
    assert "| default | – | default of debian-13 (1 min, abc) |" in lines
    assert "| kvm | net; **FAIL** io: it broke | not run |" in lines


def test_what_is_built_ends_with_its_builder(tmp_path: Path) -> None:
    """kill -9 of the lab takes the whole tree of what it started along."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    mark = tmp_path / "pids"
    code = f"from verification.hosts import image; image._run('sh', '-c', 'sleep 571 & sleep 572; echo > {mark}')"
    builder = subprocess.Popen([sys.executable, "-c", code], cwd=image.ROOT)
    try:
        assert soon(lambda: len(_running("571", "572")) == 2)
    finally:
        builder.send_signal(signal.SIGKILL)
        builder.wait()
    assert soon(lambda: not _running("571", "572"))


def _running(*seconds: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # a process that has just ended
            found.append(path.read_bytes().decode(errors="replace"))
    return [line for line in found if line in {f"sleep\0{one}\0" for one in seconds}]
