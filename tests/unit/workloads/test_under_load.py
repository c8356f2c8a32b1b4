"""The host's side of a workload: CPU time by who spends it, and memory, read of real processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest

from isobench.contracts.environment import Role
from isobench.processes.accounting import descendants
from isobench.workloads import under_load
from isobench.workloads.under_load import Spent

SPIN = "import time\nwhile time.process_time() < 0.3: pass\nprint(flush=True)\n"


class Instance:
    """These processes."""

    def __init__(self, pids: Mapping[int, Role]) -> None:
        self._pids = pids

    def host_pids(self) -> Mapping[int, Role]:
        return self._pids


class Sandbox:
    def daemons(self) -> list[int]:
        return []


@contextmanager
def _child(program: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        try:
            yield child
        finally:
            child.kill()


def test_a_driver_that_has_ended_counts_in_its_parent() -> None:
    """What the payload's children spent stays with it once they are reaped; a helper's is its own."""
    parent = f"import subprocess, sys\ninput()\nsubprocess.run([sys.executable, '-c', {SPIN!r}])\ninput()\n"
    with _child(parent) as payload, _child("print(flush=True); input()") as helper:
        assert payload.stdin is not None and payload.stdout is not None
        assert helper.stdout is not None and helper.stdout.readline()  # what its start took is behind it
        instance, sandbox = Instance({payload.pid: "payload", helper.pid: "helper"}), Sandbox()
        before = under_load.spent(instance, sandbox)  # type: ignore[arg-type]
        payload.stdin.write(b"\n")
        payload.stdin.flush()
        payload.stdout.readline()
        while descendants(payload.pid):
            pass
        after = under_load.spent(instance, sandbox)  # type: ignore[arg-type]
    spent = under_load.cpu_between(before, after, 1)
    assert spent["host-cpu-payload"] >= 0.29 and spent["host-cpu-helper"] < 0.1
    assert spent["host-cpu"] == pytest.approx(sum(seconds for name, seconds in spent.items() if name != "host-cpu"))
    assert under_load.cpu_between(before, after, 10)["host-cpu"] == pytest.approx(spent["host-cpu"] / 10)


def test_what_the_payload_starts_is_payload() -> None:
    """Whatever the launcher calls it, which knows the probe by its name."""
    with _child(
        "import subprocess, sys\nwith subprocess.Popen(['sleep', '60']) as p: print(p.pid, flush=True)"
    ) as child:
        assert child.stdout is not None
        below = int(child.stdout.readline())
        try:
            found = under_load.spent(Instance({child.pid: "payload", below: "helper"}), Sandbox())  # type: ignore[arg-type]
        finally:
            os.kill(below, 9)
    assert found.parts["helper"] == 0.0 < found.parts["payload"]


def test_parts_that_are_not_there_are_left_out() -> None:
    """Not told as zero; and of an instance of which nothing is seen nothing is told."""
    nothing = Spent(dict.fromkeys(("payload", "helper", "engine", "vmm"), 0.0), {})
    assert under_load.cpu_between(nothing, nothing, 1) == {}
    some = Spent({**nothing.parts, "vmm": 3.0}, {2: 1.0})
    earlier = Spent({**nothing.parts, "vmm": 1.0}, {2: 0.5})
    told = under_load.cpu_between(earlier, some, 2)
    assert told == {"host-cpu": 1.25, "host-cpu-vmm": 1.0, "host-cpu-kernel": 0.25}


def test_memory_is_of_a_server_that_is_still_there() -> None:
    """Of a program that has ended only its cgroup could tell."""
    with _child("input()") as child:
        served = under_load.memory_of(Instance({child.pid: "payload"}), is_served=True)  # type: ignore[arg-type]
        assert {"pss", "uss", "rss"} <= served.keys() and served["rss"] >= served["pss"] >= served["uss"] > 0
        assert not {"pss", "cgroup"} & under_load.memory_of(Instance({child.pid: "payload"}), is_served=False).keys()  # type: ignore[arg-type]
