"""Programs in real environments: the same bits inside each, and what each says of one that fails."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from isobench.contracts.answers import first_answer
from isobench.contracts.capabilities import Capability
from isobench.contracts.launch import commands
from isobench.core import deadlines
from isobench.core.errors import MeasurementError, OutOfMemory
from isobench.filesystem.mounts import mounted_below
from isobench.filesystem.paths import work_root
from isobench.images.closure import closure_of
from isobench.planning import catalog
from isobench.resources.oom import memory_limit
from isobench.workloads.measured import Measured
from isobench.workloads.program import program_workload
from isobench.workloads.workload import Allotment, Command, Root
from tests.contract.opening import GUEST, opened, skip_without_runsc

pytestmark = pytest.mark.root

SOURCE = r"""
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "eat") == 0)
        for (size_t size = 16 << 20;;) {
            char *more = malloc(size);
            if (more == NULL)
                return 9;
            memset(more, 1, size);
        }
    if (argc > 1 && strcmp(argv[1], "fail") == 0) {
        puts("a reason");
        return 3;
    }
    if (argc > 1 && strcmp(argv[1], "background") == 0) {
        if (fork() == 0)
            for (;;)
                pause();
        return 0;
    }
    FILE *file = fopen("mine", "wx");
    if (file == NULL || fputs("x", file) < 0 || fclose(file) != 0)
        return 4;
    if (open("/dev/null", O_RDWR) < 0 || access("/proc/self/exe", R_OK) < 0)
        return 5;
    if (mkstemp((char[]){"/tmp/XXXXXX"}) < 0)
        return 6;
    return 0;
}
"""

MARKS = {"engine": [pytest.mark.docker], "vm": [pytest.mark.libvirt]}
NAMES = (
    *("process", "process-fork", "chroot", "ns-all", "ns-all-user", "ns-all+seccomp", "handmade"),
    *("bubblewrap", "nspawn", "runc", "podman", "podman-rootless", "containerd"),
    *("docker", "docker-nonet", "docker-volume", "docker-tmpfs", "docker-runsc", "docker-rootless", GUEST),
    *("docker-remap", "docker-fuse"),
)


def _parameters() -> Iterator[object]:
    for name in NAMES:
        yield pytest.param(name, marks=MARKS.get(catalog.environments()[name].layer, []))


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("program") / "program"
    subprocess.run(["/usr/bin/cc", "-x", "c", "-", "-o", str(target)], input=SOURCE.encode(), check=True)
    return target


def _answer(sandbox: Any, root: Root, command: Command) -> dict[str, Any]:
    with sandbox.launch(commands(root.archive, *command.step(root, cpus=1), timeout=60)) as instance:
        instance.stdin.write(b"\n")
        answer = first_answer(instance.stdout)
        instance.wait()
    return answer


@pytest.mark.parametrize("name", list(_parameters()))
def test_a_program_in_an_environment(name: str, program: Path) -> None:
    """It sees the bits that are in the archive, finds what programs expect, and its folder is fresh each time."""
    assert Capability.COMMAND in catalog.environments()[name].capabilities
    skip_without_runsc(name)
    mine = Measured(program_workload([str(program)]))
    failing = Measured(program_workload([str(program), "fail"]))
    sums = program_workload(["sha256sum"])
    loader = closure_of(Path("/usr/bin/sha256sum")).loader
    assert loader is not None
    with opened(name) as sandbox:
        for _ in range(2):
            values = mine.measure(sandbox)
            assert 0 < values["wall"] < values["whole"] < deadlines.stretched(60)
        with pytest.raises(MeasurementError, match="it exited with status 3: a reason"):
            failing.measure(sandbox)
        command = sums.command._replace(words=(*sums.command.words, loader, os.path.realpath("/usr/bin/sha256sum")))
        answer = _answer(sandbox, sums.root(), command)
        said = [line.split()[0] for line in answer["output"].splitlines()]
        assert said == [_sha256(Path(path)) for path in command.words[-2:]]
        work = work_root()
    assert [point for point in mounted_below(work) if f"/{name}/" in point] == []


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.mark.parametrize("name", ["handmade", "runc", pytest.param("docker", marks=pytest.mark.docker)])
def test_a_program_without_end_to_its_memory(name: str, program: Path) -> None:
    """Its limit is what it was given; the reason is that, and not what became of it."""
    eating = Measured(program_workload([str(program), "eat"]), Allotment(1, 100 << 20))
    with opened(name) as sandbox, pytest.raises(OutOfMemory, match="OOM-killed"):
        eating.measure(sandbox)


@pytest.mark.parametrize("name", list(_parameters()))
def test_the_cpus_and_the_memory_that_it_is_given(name: str) -> None:
    """One CPU everywhere, however many there are; a guest has so much memory, a container so much at most."""
    skip_without_runsc(name)
    workload = program_workload(["nproc"])
    root, command = workload.root(), workload.command
    launch = commands(root.archive, *command.step(root, cpus=1), cpus=2, memory_bytes=300 << 20, timeout=60)
    with opened(name) as sandbox, sandbox.launch(launch) as instance:
        payload = next(pid for pid, role in instance.host_pids().items() if role == "payload")
        limit = memory_limit(payload)
        instance.stdin.write(b"\n")
        assert first_answer(instance.stdout)["output"] == "1\n"
        instance.wait()
    if name in ("handmade", "runc", "podman", "containerd", "docker", "docker-volume"):
        assert limit == 300 << 20


@pytest.mark.parametrize("name", ["process", pytest.param("docker", marks=pytest.mark.docker)])
def test_one_that_goes_into_the_background_leaves_nothing(name: str, program: Path) -> None:
    """It fails its cell, and what it left is gone with the instance."""
    workload = Measured(program_workload([str(program), "background"]))
    with opened(name) as sandbox, pytest.raises(MeasurementError, match="went into the background"):
        workload.measure(sandbox)
    assert [line for line in _command_lines() if line.startswith(bytes(program))] == []


def _command_lines() -> Iterator[bytes]:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            yield (folder / "cmdline").read_bytes()
        except OSError:
            continue
