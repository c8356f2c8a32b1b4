"""Whose CPU time it is: by descent, with real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from isobench.host.others import Process, parse_stat, table

SPEND = "import time\nwhile time.process_time() < 0.3: pass\n"
"""Ends after a fixed amount of CPU time, however busy the host is."""
THEN_WAIT = "print(1, flush=True)\nimport sys\nsys.stdin.read()\n"

RUN = """
import json, subprocess, sys
from isobench.host.others import Others
{before}
others = Others({daemons!r}, ["adopted*"])
print("ready", flush=True)
sys.stdin.readline()
{own}
print(json.dumps(others.spent()), flush=True)
"""


def program(folder: Path, name: str, text: str) -> list[str]:
    """A script whose name is that of its process."""
    file = folder / name
    file.write_text(f"#!{sys.executable}\n{text}")
    file.chmod(0o755)
    return [str(file)]


@contextmanager
def a_run(daemons: tuple[str, ...] = (), own: str = "", before: str = "") -> Iterator[subprocess.Popen[str]]:
    """A process that looks at others from when it says so until it is told to tell."""
    words = [sys.executable, "-c", RUN.format(daemons=daemons, own=textwrap.dedent(own), before=before)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process


def told(process: subprocess.Popen[str]) -> dict[str, float]:
    out, _ = process.communicate("\n")
    spent: dict[str, float] = json.loads(out)
    return spent


def test_what_others_start_during_a_run_is_theirs(tmp_path: Path) -> None:
    """Running or ended; one that ended is counted once, with its parent."""
    with a_run() as run:
        subprocess.run(program(tmp_path, "ended", SPEND), check=True)
        with subprocess.Popen(
            program(tmp_path, "neighbour", SPEND + THEN_WAIT), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            spent = told(run)
            process.communicate()
    assert spent["neighbour"] >= 0.25  # in clock ticks
    assert "ended" not in spent
    assert sum(spent.values()) >= 0.5


@pytest.mark.parametrize("name", ["neighbour", "adopted-vm"])
def test_what_a_parent_inherits_is_not_its_own(name: str, tmp_path: Path) -> None:
    """What one spent moves to its parent when it ends: of others it was counted before, and the run's is not theirs."""
    own = """
    first = others.spent()
    print(json.dumps(first), flush=True)
    sys.stdin.readline()
    """
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    words = program(tmp_path, "parent", PARENT.format(child=program(tmp_path, name, SPEND + THEN_WAIT)))
    with subprocess.Popen(words, **pipes) as parent:  # type: ignore[call-overload]
        parent.stdout.readline()
        with a_run(own=own) as run:
            step(parent)
            spent = json.loads(step(run))
            assert (spent.get(name, 0.0) >= 0.25) == (name == "neighbour")  # in clock ticks
            step(parent)
            assert told(run).get("parent", 0.0) < 0.25
        parent.communicate()


PARENT = """
import subprocess, sys
print("begun", flush=True)
sys.stdin.readline()
child = subprocess.Popen({child!r}, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child.stdout.readline()
print("spent", flush=True)
sys.stdin.readline()
child.communicate()
print("ended", flush=True)
sys.stdin.read()
"""


def step(process: subprocess.Popen[str]) -> str:
    """Have it go on, and wait for what it says next."""
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    return process.stdout.readline()


def test_a_run_s_own_work_is_not_others(tmp_path: Path) -> None:
    words = program(tmp_path, "instance", SPEND)
    with a_run(own=f"subprocess.run({words!r})\nsubprocess.run(['setsid', '--fork', '--wait', *{words!r}])") as run:
        assert "instance" not in told(run)


def test_a_process_that_the_run_had_before_it_looked_is_not_others(tmp_path: Path) -> None:
    """And what that starts."""
    inner = program(tmp_path, "instance", SPEND)
    words = program(
        tmp_path, "launcher", f"import subprocess, sys\nsys.stdin.readline()\n{SPEND}subprocess.run({inner!r})\n"
    )
    before = f"launcher = subprocess.Popen({words!r}, stdin=subprocess.PIPE)"
    with a_run(before=before, own="launcher.communicate(b'1')") as run:
        assert not {"instance", "launcher"} & told(run).keys()


@pytest.mark.parametrize(("daemons", "counts"), [((), True), (("enginew*",), True), (("engined*",), False)])
def test_a_daemon_that_works_for_the_run_is_not_others(tmp_path: Path, daemons: tuple[str, ...], counts: bool) -> None:
    """Nor what it starts."""
    inner = program(tmp_path, "container", SPEND)
    text = f"{SPEND}import subprocess, sys\nprint(0, flush=True)\nsys.stdin.readline()\nsubprocess.run({inner!r})\n"
    words = program(tmp_path, "engined-1", text + SPEND.replace("0.3", "0.6") + THEN_WAIT)
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as daemon:
        assert daemon.stdin is not None and daemon.stdout is not None
        daemon.stdout.readline()
        with a_run(daemons) as run:
            daemon.stdin.write("\n")
            daemon.stdin.flush()
            daemon.stdout.readline()
            spent = told(run)
        daemon.communicate()
    assert ("engined-1" in spent) == counts


def test_an_instance_that_somebody_adopted_is_not_others(tmp_path: Path) -> None:
    """Its parent is dead, so that it has that of another: of whoever adopts orphans, who existed before."""
    with (
        a_run() as run,
        subprocess.Popen(
            program(tmp_path, "adopted-vm", SPEND + THEN_WAIT), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process,
    ):
        assert process.stdout is not None
        process.stdout.readline()
        assert "adopted-vm" not in told(run)
        process.communicate()


def test_the_table_agrees_with_the_kernel_s_own_clock() -> None:
    spent = time.process_time()
    while time.process_time() - spent < 0.05:
        pass
    before = os.times()
    mine = table()[os.getpid()]
    after = os.times()
    assert mine.parent == os.getppid()
    assert sum(before[:4]) - 1e-6 <= mine.seconds <= sum(after[:4]) + 1e-6


def test_no_thread_of_the_kernel_is_listed() -> None:
    assert not {one.name for one in table().values()} & {"kthreadd", "ksoftirqd/0", "rcu_preempt"}


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (
            b"7 (a) b (c) S 3 7 7 0 -1 4194560 1 2 0 0 150 50 10 5 20 0 1 0 99 1 1 1",
            Process(3, "a) b (c", 99, 215 / os.sysconf("SC_CLK_TCK")),
        ),
        (b"2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 9 0 0 20 0 1 0 2 0 0", None),
        (b"", None),
        (b"7 (a) S 3", None),
        (b"7 (a) S x 7 7 0 -1 4194560 1 2 0 0 150 50 10 5 20 0 1 0 99 1 1 1", None),
    ],
)
def test_a_line_of_the_table(line: bytes, found: Process | None) -> None:
    assert parse_stat(line) == found
