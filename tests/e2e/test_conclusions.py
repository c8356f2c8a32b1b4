"""What a run says that concludes nothing, that is interrupted, or that is only planned: in words, as data, in codes."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from isobench.results import store
from tests.e2e.test_commands import ROOT, isobench
from tests.unit.test_json import obeys

RUN = ("run", "-e", "process", "-s", "startup", "--no-report")

DISTURBED = """
import sys
from isobench import cli
from isobench.cells import runner
runner.marks = lambda *_: ["tasks waited for a CPU (99% of the block)"]
sys.exit(cli.main(sys.argv[1:]))
"""


def _on_a_busy_host(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command, environ = [sys.executable, "-c", DISTURBED, *RUN, *words], {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=300, check=False)


def test_a_busy_host_concludes_nothing(tmp_path: Path) -> None:
    """It is told after the first blocks, every block is replaced as far as that goes, and the exit code is 5."""
    done = _on_a_busy_host(tmp_path, "--blocks", "6")
    assert done.returncode == 5, done.stderr
    assert "this host is busy: 3 of 3 blocks are excluded so far" in done.stderr
    last = done.stderr.splitlines()[-1]
    assert "nothing can be concluded from 0 of 6 blocks" in last and "tasks waited for a CPU" in last
    assert len(store.load(next(store.find_runs(tmp_path / "results"))).session.blocks) == 1 + 9


def test_other_peoples_work_is_seen_and_named(tmp_path: Path) -> None:
    """Real work of real processes, on a fifth of the CPUs, in blocks of many clock ticks, which is how others' time is
    counted. Which program is named depends on what else runs here."""
    program = tmp_path / "other-work"
    program.write_text(f"#!{sys.executable}\nprint(1, flush=True)\nwhile True: pass\n")
    program.chmod(0o755)
    with ExitStack() as others:
        for _ in range(1 + (os.cpu_count() or 1) // 5):
            work = others.enter_context(subprocess.Popen([program], stdout=subprocess.PIPE))
            others.callback(work.kill)
            assert work.stdout is not None
            work.stdout.readline()
        done = subprocess.run(
            [sys.executable, "-m", "isobench", *RUN, "-s", "syscall", "--blocks", "1"],
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
    assert done.returncode == 5, done.stderr
    run = store.load(next(store.find_runs(tmp_path / "results")))
    assert all("other programs kept CPUs busy" in " ".join(block.marks) for block in run.session.blocks)
    assert all("most of it" in " ".join(block.marks) for block in run.session.blocks)


@pytest.mark.root
@pytest.mark.docker
@pytest.mark.libvirt
def test_its_own_work_is_nobody_elses(tmp_path: Path) -> None:
    """Nor that of the daemons, private ones among them, and of what they adopt. Others may be at work here."""
    done = subprocess.run(
        [sys.executable, "-m", "isobench", "run", "-e", "process,docker,tcg-null", "-s", "startup", "--blocks", "1",
         "--no-report", "--wait"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 5), done.stderr
    for block in store.load(next(store.find_runs(tmp_path / "results"))).session.blocks:
        assert not re.search("most of it (probe|docker|containerd|libvirtd|qemu|runc)", " ".join(block.marks))


def test_exit_5_has_its_data(tmp_path: Path) -> None:
    """One document on standard output, whether blocks were left out or nothing was measured at all."""
    busy = _on_a_busy_host(tmp_path, "--blocks", "1", "--json", "-q")
    assert busy.returncode == 5 and json.loads(busy.stdout)["run"]
    words = ("run", "-e", "docker", "--baseline", "docker", "-s", "startup", "--no-report", "--json", "-q")
    nothing = isobench(*words, folder=tmp_path, DOCKER_HOST="unix:///nobody/answers")
    document = json.loads(nothing.stdout)
    assert nothing.returncode == 5 and document["error"] and document["summary"] == []


def test_a_plan_is_data(tmp_path: Path) -> None:
    """`--json --dry-run` prints one document with all that the text says."""
    done = isobench(
        "run", "-e", "process,chroot", "-s", "startup", "--json", "--dry-run", "--seed", "7", folder=tmp_path
    )
    document = json.loads(done.stdout)
    assert done.returncode == 0 and document["blocks"] == 20 and document["seed"] == 7
    assert {cell["environment"] for cell in document["first_block"]} == {"process", "process@control", "chroot"}


def test_ctrl_c_says_where_the_blocks_are(tmp_path: Path) -> None:
    """How many there are, in which folder, and what to do with them; and they load."""
    command = [sys.executable, "-m", "verification.undisturbed", *RUN, "--blocks", "5000"]
    process = subprocess.Popen(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("block 4 of"):
            break
    process.send_signal(signal.SIGINT)
    said = process.stderr.read()
    assert process.wait(120) == 130
    path = next(store.find_runs(tmp_path / "results"))
    blocks = sum(block.index > 0 for block in store.load(path).session.blocks)
    where = path.relative_to(tmp_path)
    assert said.splitlines()[-1] == (
        f"isobench: interrupted; {blocks} finished blocks are in {where} "
        f"(continue: isobench run --resume {where}; report: isobench report {where})"
    )
    assert blocks >= 3 and (path / "suite.json").exists()


def test_what_ctrl_c_says_to_type_goes_on(tmp_path: Path) -> None:
    """The command out of the message, as it stands there, finishes the run: same plan, one record, one report."""
    command = [
        sys.executable,
        "-m",
        "verification.undisturbed",
        *RUN,
        "--blocks",
        "300",
        "--seed",
        "9",
        "--label",
        "night",
    ]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [*command, "--json"], cwd=tmp_path, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None and process.stdout is not None
    for line in process.stderr:
        if line.startswith("block 3 of"):  # long before the last one, whatever holds this process back
            break
    process.send_signal(signal.SIGINT)
    said = process.stderr.read()
    assert process.wait(120) == 130
    interrupted = json.loads(process.stdout.read())
    obeys(interrupted, "run")
    assert interrupted["exit_code"] == 130 and f"run --resume {interrupted['run']}" in interrupted["remedy"]
    told = re.search(r"continue: isobench (run --resume [^;]*);", said)
    assert told is not None, said
    (path,) = store.find_runs(tmp_path / "results")
    before = store.load(path)
    listed = json.loads(isobench("runs", "--json", folder=tmp_path).stdout)["runs"]
    assert [(row["state"], row["label"]) for row in listed] == [("interrupted", "night")]
    done = isobench(*shlex.split(told[1]), "--json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    obeys(document, "run")
    assert [tmp_path / document["run"]] == list(store.find_runs(tmp_path / "results"))
    after = store.load(path)
    assert [block.index for block in after.session.blocks] == list(range(301))
    assert after.session.blocks[: len(before.session.blocks)] == before.session.blocks
    assert after.session.resumed[0].block == len(before.session.blocks) and after.session.stopped == "blocks"
    assert "resumed" in (tmp_path / document["report"]["md"]).read_text()
    again = isobench("run", "--resume", folder=tmp_path)
    assert again.returncode == 2 and "nothing to resume" in again.stderr


def test_what_a_time_limit_says_to_type_completes_the_run(tmp_path: Path) -> None:
    """The command out of the last lines, as it stands there; however few blocks the limit left."""
    early = isobench(*RUN, "--blocks", "60", "--max-time", "0.3", folder=tmp_path)
    assert early.returncode in (0, 5), early.stderr  # 5: fewer than six blocks
    told = re.search(r"isobench (run --resume results/\S+[^)\s])", early.stdout + early.stderr)
    assert told is not None, early
    (listed,) = json.loads(isobench("runs", "--json", folder=tmp_path).stdout)["runs"]
    assert (listed["state"], listed["stopped"]) == ("unfinished", "max-time") and listed["blocks"] < 60
    done = isobench(*shlex.split(told[1]), "--no-report", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    (listed,) = json.loads(isobench("runs", "--json", folder=tmp_path).stdout)["runs"]
    assert (listed["state"], listed["blocks_used"]) == ("complete", 60)


def test_a_killed_run_is_reported(tmp_path: Path) -> None:
    """What a kill leaves is a journal; `report` has every finished block of it, and leaves pyperf's file."""
    command = [sys.executable, "-m", "verification.undisturbed", *RUN, "--blocks", "5000", "-q"]
    process = subprocess.Popen(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)})
    deadline = time.monotonic() + 120
    found: Path | None = None
    while time.monotonic() < deadline:
        found = next(tmp_path.glob("results/*/*/journal.jsonl"), None)
        if found is not None and found.read_bytes().count(b"\n") > 8:
            break
        time.sleep(0.1)
    process.kill()
    process.wait()
    assert found is not None
    lines = found.read_bytes().count(b"\n")
    assert json.loads(isobench("runs", "--json", folder=tmp_path).stdout)["runs"][0]["state"] == "interrupted"
    done = isobench("report", "--format", "md", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {file.name for file in found.parent.iterdir()} == {"session.json", "suite.json"}
    assert len(store.load(found.parent).session.blocks) == lines
    isobench("clean", folder=tmp_path)
