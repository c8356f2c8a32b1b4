"""The kernel's own tracer, for real: what was recorded is what was done, and no trace instance is left."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from isobench.core import deadlines
from isobench.core.errors import Unavailable
from isobench.host import tracing
from isobench.host.capabilities import lacking
from isobench.images import seccomp
from isobench.planning import catalog
from isobench.probe.build import probe_path
from isobench.scenarios.surface import Surface
from tests.conftest import STRICT
from tests.contract.opening import GUEST, opened

pytestmark = pytest.mark.root


@contextmanager
def _instances() -> Iterator[Path]:
    try:
        with tracing._tracefs() as root:
            yield root / "instances"
    except Unavailable as error:
        if STRICT and "tracefs" in Path("/proc/filesystems").read_text() and not lacking():
            raise  # a root with all capabilities and a kernel that has it
        pytest.skip(error.reason)


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """As many trace instances after the test as before."""
    with _instances() as folder:
        before = sorted(os.listdir(folder))
        yield
        assert sorted(os.listdir(folder)) == before


def _exercised(kind: tracing.Kind, words: tuple[str, ...] = ()) -> tuple[frozenset[str], bytes]:
    """What was recorded of the probe's exercise as a child of this process, and what it wrote."""
    command = [*words, str(probe_path()), "exercise", "1"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as probe:
        assert probe.stdin is not None and probe.stdout is not None
        assert probe.stdout.read(6) == b"ready\n"
        with tracing.recording(kind, [probe.pid]) as recording:
            probe.stdin.write(b"\n")
            said = probe.stdout.readline()
            names, is_cut = recording.found()
        assert not is_cut
        probe.stdin.write(b"\n")
        assert probe.wait(deadlines.stretched(60)) == 0
    return names, said


def test_the_calls_of_a_process_and_its_children_are_recorded(nothing_left: None) -> None:
    """Those of the exercise, not those of the harness, which polls and reads files meanwhile."""
    known = seccomp.names()
    names = {known[int(number)] for number in _exercised(tracing.CALLS)[0]}
    assert {"getppid", "execveat", "exit_group", "epoll_wait", "mmap", "socketpair", "sendfile"} <= names
    assert "listxattr" not in names and 30 < len(names) < 120


@pytest.mark.tool("strace")
def test_strace_sees_the_same_calls(tmp_path: Path, nothing_left: None) -> None:
    """Beside those before it began and after it ended."""
    known = seccomp.names()
    ours = {known[int(number)] for number in _exercised(tracing.CALLS)[0]}
    log = tmp_path / "log"
    words = ["strace", "-f", "-o", str(log), str(probe_path()), "exercise", "1"]
    subprocess.run(words, input=b"\n\n", capture_output=True, check=True, timeout=deadlines.stretched(300))
    theirs = set(re.findall(r"^\d+ +(\w+)\(", log.read_text(), re.MULTILINE))
    assert ours - theirs <= {"restart_syscall", "rt_sigreturn"}
    assert theirs - ours <= {
        "arch_prctl",
        "set_tid_address",
        "set_robust_list",
        "rseq",
        "prlimit64",
        "getrandom",
        "execve",
    }


def test_kernel_functions_are_recorded_or_there_is_a_reason(nothing_left: None) -> None:
    try:
        names, _ = _exercised(tracing.FUNCTIONS)
    except Unavailable as error:
        assert re.search("kernel functions be traced: .+", error.reason)
        pytest.skip(error.reason)
    assert len(names) > 200 and any("getppid" in name for name in names)


def test_a_killed_harness_leaves_an_instance_that_the_next_sweep_removes() -> None:
    """And none that a living one holds, nor somebody else's."""
    program = (
        "import os, sys; from isobench.host import tracing\n"
        "with tracing.recording(tracing.CALLS, [os.getpid()]):\n"
        "    print('begun', flush=True); sys.stdin.read()"
    )
    with _instances() as folder:
        decoy = folder / f"decoy-{os.getpid()}"
        decoy.mkdir()
        try:
            with tracing.recording(tracing.CALLS, [os.getpid()]) as ours, \
                    subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE,
                                     stdout=subprocess.PIPE) as harness:  # fmt: skip
                assert harness.stdout is not None and harness.stdout.readline() == b"begun\n"
                os.kill(harness.pid, signal.SIGKILL)
                harness.wait(deadlines.stretched(60))
                left = f"isobench-{harness.pid}-0"
                assert (folder / left).exists()
                assert f"trace instance {left}" in catalog.sweep("isobench-none")
                assert not (folder / left).exists() and decoy.exists()
                assert ours.found()[0]
        finally:
            decoy.rmdir()


@pytest.mark.parametrize(
    "name",
    [
        "process",
        "ns-all",
        pytest.param("docker", marks=pytest.mark.docker),
        pytest.param(GUEST, marks=pytest.mark.libvirt),
    ],
)
def test_what_an_instance_makes_the_host_do(name: str, nothing_left: None) -> None:
    """A guest's own calls are not the host's; a process's are."""
    with opened(name) as sandbox:
        facts = Surface().facts(sandbox)
    assert "host_calls.unknown" not in facts, facts
    names = facts["host_calls.names"].split(", ")
    assert len(names) == int(facts["host_calls"].removeprefix("at least "))
    assert ("getppid" in names) == (name != GUEST)
