"""A workload in a fake instance: the costs it is judged by, and the one line of each way to fail."""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from isobench.contracts.environment import Role
from isobench.contracts.launch import Launch
from isobench.contracts.scenario import Scenario
from isobench.core.errors import BuildError, DeadlineExceeded, MeasurementError, OutOfMemory, ProbeError
from isobench.report.sections.workloads import SHARED
from isobench.workloads.measured import Measured
from isobench.workloads.workload import Allotment, Command, Number, Root, Server, Workload

FINE = {
    "ns": 2 * 10**9,
    "cpu_ns": 10**9,
    "peak": 4096,
    "output": "done\n",
    "written": 5,
    **dict.fromkeys(("status", "signal", "left", "late", "flood"), 0),
}


class Instance:
    """Says this once it is told to begin; its end is `end`."""

    def __init__(self, said: bytes, end: Exception | None = None) -> None:
        self.stdin, self.stdout = io.BytesIO(), io.BytesIO(said)
        self.events = {"requested": 0, "ready": 5 * 10**8}
        self.end = end
        self.waited = False

    def host_pids(self) -> Mapping[int, Role]:
        return {os.getpid(): "payload"}

    def wait(self) -> int:
        self.waited = True
        if self.end is not None:
            raise self.end
        return 0


class Sandbox:
    """Made of one such instance."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.launches: list[Launch] = []

    @contextmanager
    def launch(self, launch: Launch) -> Iterator[Instance]:
        self.launches.append(launch)
        yield self.instance

    def daemons(self) -> list[int]:
        return []


def _workload(tmp_path: Path) -> Measured:
    root = tmp_path / "workload-0123/root.tar"
    return Measured(Workload("program-x", "x 1", lambda: Root(root), Command(("/bin/x", "1"))))


def _measured(tmp_path: Path, answer: Mapping[str, Any], end: Exception | None = None) -> Mapping[str, float]:
    said = b"ready\n" + json.dumps({**FINE, **answer}).encode() + b"\n"
    return _workload(tmp_path).measure(Sandbox(Instance(said, end)))  # type: ignore[arg-type]


def test_the_costs(tmp_path: Path) -> None:
    """In seconds and bytes; the whole is the start of the instance and the command, and the harness's part is not."""
    values = _measured(tmp_path, {})
    assert {name: values[name] for name in ("wall", "cpu", "peak")} == {"wall": 2.0, "cpu": 1.0, "peak": 4096.0}
    assert 0.5 < values["whole"] < 0.6
    absent = {"host-cpu-helper", "host-cpu-engine", "host-cpu-vmm", "cgroup-peak"}
    assert values.keys() | absent == {metric.name for metric in _workload(tmp_path).metrics}
    assert "peak" not in _measured(tmp_path, {"peak": 0}), "a kernel that does not count it"


def test_it_is_a_scenario_that_is_told_to_begin(tmp_path: Path) -> None:
    """Its root file system and its command line are in the launch; the line that begins it comes before the answer."""
    workload, sandbox = _workload(tmp_path), Sandbox(Instance(b"ready\n" + json.dumps(FINE).encode() + b"\n"))
    assert isinstance(workload, Scenario)
    workload.measure(sandbox)  # type: ignore[arg-type]
    (launch,) = sandbox.launches
    assert launch.root == workload.root.archive and launch.needs_disk
    assert launch.arguments[0] == "run" and launch.arguments[-4:] == ("words=2", "--", "/bin/x", "1")
    assert sandbox.instance.stdin.getvalue() == b"\n" and sandbox.instance.waited
    assert workload.facts(sandbox)["root"] == "0123"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"status": 3, "output": "a\nno file x\n\n"}, "it exited with status 3: no file x"),
        ({"status": 3, "output": ""}, "it exited with status 3"),
        ({"signal": 11}, "it was killed by SIGSEGV: done"),
        ({"signal": 64}, "it was killed by SIGRTMAX: done"),
        ({"signal": 99}, "it was killed by signal 99: done"),
        ({"flood": 1, "signal": 9}, "it wrote more than 64 MiB and did not stop"),
        ({"left": 1}, "it went into the background: it ended, and processes of it were still running"),
        (
            {"status": 1, "output": "top: failed tty get\n"},
            "it exited with status 1: top: failed tty get (it seems to need a terminal, and has none)",
        ),
        ({"status": 1, "output": "caf\u00c3\u00a9 \u00ff\n"}, "it exited with status 1: café \ufffd"),
    ],
)
def test_a_command_that_fails_fails_its_cell(tmp_path: Path, answer: dict[str, Any], reason: str) -> None:
    """With one line, and the end of its output."""
    with pytest.raises(MeasurementError) as failed:
        _measured(tmp_path, answer)
    assert failed.value.reason == reason
    assert bool(failed.value.console) == (answer.get("output") != "")


@pytest.mark.parametrize(
    ("output", "told"),
    [
        ("starting\nFatal Python error: no module encodings\n\nCurrent thread 0x1:\n  <no Python frame>\n",
         "Fatal Python error: no module encodings"),
        ("panic: open /etc/app.conf: no such file or directory\n\ngoroutine 1 [running]:\n\t/x.go:7 +0x1d\n",
         "panic: open /etc/app.conf: no such file or directory"),
        ("one\ntwo\n\n", "two"),
    ],
)  # fmt: skip
def test_the_line_that_names_what_went_wrong_is_told(tmp_path: Path, output: str, told: str) -> None:
    """Not the end of the stack below it. What a workload says to do then is told, too."""
    instance = Instance(b"ready\n" + json.dumps(FINE | {"status": 1, "output": output}).encode() + b"\n")
    work = _workload(tmp_path).workload._replace(if_it_fails="use --image")
    with pytest.raises(MeasurementError) as failed:
        Measured(work).measure(Sandbox(instance))  # type: ignore[arg-type]
    assert failed.value.reason.endswith(f": {told}") and failed.value.remedy == "use --image"


def test_one_that_is_killed_for_want_of_memory_is_told_as_that(tmp_path: Path) -> None:
    """Where the instance knows; the end of the output is the program's."""
    with pytest.raises(OutOfMemory, match=r"OOM-killed.*killed by SIGKILL") as failed:
        _measured(tmp_path, {"signal": 9, "output": "last\n"}, OutOfMemory("OOM-killed"))
    assert failed.value.console == "last\n"


def test_one_that_cannot_be_started(tmp_path: Path) -> None:
    """In the probe's words."""
    said = b'ready\n{"error": "the program cannot be started: /none: No such file or directory"}\n'
    with pytest.raises(ProbeError, match="cannot be started: /none"):
        _workload(tmp_path).measure(Sandbox(Instance(said)))  # type: ignore[arg-type]


def test_an_instance_that_has_ended_says_why(tmp_path: Path) -> None:
    """And not that nobody reads what it is told."""

    class Broken(io.BytesIO):
        def write(self, data: object, /) -> int:
            raise BrokenPipeError

    instance = Instance(b"ready\n", OutOfMemory("OOM-killed"))
    instance.stdin = Broken()
    with pytest.raises(OutOfMemory, match="OOM-killed"):
        _workload(tmp_path).measure(Sandbox(instance))  # type: ignore[arg-type]


def test_one_that_does_not_end(tmp_path: Path) -> None:
    """The deadline is told as the program's, with what sets it."""

    class Hanging(io.RawIOBase):
        def readline(self, *_: object) -> bytes:
            raise DeadlineExceeded("the instance sent nothing more before its deadline")

    instance = Instance(b"")
    instance.stdout = Hanging()  # type: ignore[assignment]
    with pytest.raises(DeadlineExceeded, match="the program did not end within 0 s") as failed:
        _workload(tmp_path).measure(Sandbox(instance))  # type: ignore[arg-type]
    assert "--timeout" in failed.value.remedy


@pytest.mark.parametrize("answer", [{"ns": "x"}, {"ns": None}, {"output": 7}, {"signal": -1}, {"cpu_ns": True}])
def test_an_answer_that_is_none(tmp_path: Path, answer: dict[str, Any]) -> None:
    """Never a sample, never an error of isobench's own."""
    with pytest.raises(ProbeError):
        _measured(tmp_path, answer)


def test_a_root_file_system_that_cannot_be_made_is_lacking() -> None:
    """The workload is left out with the reason, once, and is not tried again."""
    tries = []

    def fail() -> Root:
        tries.append(1)
        raise BuildError("the disk is full", remedy="free space")

    workload = Measured(Workload("x", "x", fail, Command(("/x",))))
    assert workload.lacks() == workload.lacks() == ("the disk is full", "free space")
    with pytest.raises(BuildError):
        workload.identity  # noqa: B018
    assert len(tries) == 1


def _served(answers: list[Mapping[str, Any]], **changes: Any) -> tuple[Measured, Mapping[str, float], list[str]]:
    """A server and its driver with these answers: the workload, its costs, and what the probe was told to do."""
    made = Workload("x", "x", lambda: Root(Path("/x/workload-1/root.tar")), Command(("ask",)), **changes)
    measured = Measured(made)
    said = b"".join(json.dumps({**FINE, **answer}).encode() + b"\n" for answer in answers)
    sandbox = Sandbox(Instance(b"ready\n" + said))
    values = measured.measure(sandbox)  # type: ignore[arg-type]
    assert sandbox.instance.stdin.getvalue() == b"\n" * len(answers)
    return measured, values, list(sandbox.launches[0].arguments)


def test_a_server_and_its_driver() -> None:
    """Preparing counts nowhere; CPU time is the server's and the driver's, the peak the server's."""
    server = Server(Command(("serve",)), port=7, asked=Command(("ping",)))
    numbers = (Number("get", "second", "", re.compile(r"(\d+) ms"), factor=1e-3),)
    answers: list[Mapping[str, Any]] = [
        {"ns": 9},
        {"ns": 1},
        {"ns": 2},
        {"output": "5 ms\n"},
        {"cpu_ns": 3 * 10**9, "peak": 8192},
    ]
    measured, values, words = _served(answers, prepare=(Command(("make",)),), server=server, numbers=numbers)
    absent = {"host-cpu-helper", "host-cpu-engine", "host-cpu-vmm", "cgroup", "cgroup-peak"}
    assert values.keys() | absent == {metric.name for metric in measured.metrics}
    assert (values["wall"], values["cpu"], values["peak"], values["get"]) == (2.0, 4.0, 8192.0, 0.005)
    assert 0.5 < values["first-answer"] < 0.6
    kinds = [word for word in words if word.startswith(("as=", "port=", "keep=")) or word in ("make", "serve", "ask")]
    assert kinds == [
        *("keep=2000", "make"),
        *("as=server", "port=7", "keep=2000", "serve", "as=retry", "keep=2000", "keep=65536", "ask", "as=stop"),
    ]


def test_the_warm_up_counts_nowhere() -> None:
    """It is done before the driver; one that fails is named."""
    changes: dict[str, Any] = {"server": Server(Command(("serve",))), "warm_up": Command(("warm",))}
    answers: list[Mapping[str, Any]] = [{}, {"ns": 9, "cpu_ns": 9 * 10**9}, {"ns": 10**9}, {}]
    _, values, words = _served(answers, **changes)
    assert values["wall"] == 1.0 and values["cpu"] == 2.0
    assert [word for word in words if word in ("serve", "warm", "ask")] == ["serve", "warm", "ask"]
    with pytest.raises(MeasurementError, match="warming up exited with status 1"):
        _served([{}, {"status": 1, "output": ""}, {}, {}], **changes)


def test_where_the_driver_was_is_told_as_the_report_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """That it shared the instance's CPUs is said above the report's numbers."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    server = Server(Command(("serve", "$PORT")), port=7)
    work = Workload("x", "x", lambda: Root(Path("/x/w-1/root.tar")), Command(("ask",)), server=server)
    from_host = Measured(work._replace(is_driven_from_host=True), Allotment(2))
    sandbox = Sandbox(Instance(b""))
    assert SHARED in from_host.facts(sandbox)["driver"]  # type: ignore[arg-type]
    assert SHARED not in Measured(work._replace(is_driven_from_host=True), Allotment(1)).facts(sandbox)["driver"]  # type: ignore[arg-type]
    assert SHARED in Measured(work, Allotment(2)).facts(sandbox)["driver"]  # type: ignore[arg-type]
    assert "on CPUs of its own (1 more)" in Measured(work, Allotment(1)).facts(sandbox)["driver"]  # type: ignore[arg-type]
    assert "driver" not in Measured(work._replace(server=None)).facts(sandbox)  # type: ignore[arg-type]


@pytest.mark.parametrize(("host", "given", "own"), [(2, 2, 0), (2, 1, 1), (3, 2, 1), (8, 2, 2)])
def test_the_driver_beside_its_server_has_cpus_of_its_own(
    monkeypatch: pytest.MonkeyPatch, host: int, given: int, own: int
) -> None:
    """As many as the server, if the host has them; the instance has both, and the driver those after the server's."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(host)))
    work = Workload("x", "x", lambda: Root(Path("/x/w-1/root.tar")), Command(("ask",)))
    work = work._replace(server=Server(Command(("serve",))), warm_up=Command(("warm",)))
    said = b"ready\n" + (json.dumps(FINE).encode() + b"\n") * 4
    sandbox = Sandbox(Instance(said))
    Measured(work, Allotment(given)).measure(sandbox)  # type: ignore[arg-type]
    (launch,) = sandbox.launches
    assert launch.cpus == given + own
    where = [word for word in launch.arguments if word.startswith(("cpus=", "after="))]
    drivers = [f"after={given}", f"cpus={own}"] if own else [f"cpus={given}"]
    assert where == [f"cpus={given}", *drivers, *drivers]


@pytest.mark.parametrize(("requests", "made"), [(None, 1), (50, 50), (re.compile(r"(\d+) asked"), 30)])
def test_host_cpu_is_by_request(requests: int | re.Pattern[str] | None, made: float) -> None:
    """As many as the file says, or as the driver's output adds up to; one that does not say fails its cell."""
    work = Workload("x", "x", lambda: Root(Path("/x/w-1/root.tar")), Command(("ask",)), requests=requests)
    assert work.requested("10 asked\n20 asked\n") == made
    told = next(metric.meaning for metric in Measured(work).metrics if metric.name == "host-cpu")
    assert ("per request" in told) == (requests is not None)
    if isinstance(requests, re.Pattern):
        with pytest.raises(MeasurementError, match="does not say how many requests"):
            work.requested("nothing")


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ([{"status": 2, "output": "no room\n"}], "preparing exited with status 2: no room"),
        ([{}, {"late": 1}], "the server did not become ready: done"),
        (
            [{}, {"late": 1, "left": 1}],
            "the server went into the background: it ended, and processes of it were still running",
        ),
        ([{}, {"late": 1, "status": 3}], "the server did not become ready: it exited with status 3: done"),
        ([{}, {}, {"status": 1, "log": "its log"}], "it exited with status 1: done"),
        (
            [{}, {}, {}, {"late": 1, "signal": 6}],
            "the server ended before it was stopped: it was killed by SIGABRT: done",
        ),
        ([{}, {}, {"output": "wrong"}, {}], "the answer is wrong: the output has nothing that matches '^done$'"),
    ],
)
def test_what_fails_of_a_server(answers: list[Mapping[str, Any]], reason: str) -> None:
    """Which part it was, and why; the end of the server's output is in the console."""
    with pytest.raises(MeasurementError) as failed:
        _served(answers, prepare=(Command(("make",)),), server=Server(Command(("serve",))), expect=re.compile("^done$"))
    assert failed.value.reason == reason
    assert ("its log" in failed.value.console) == ("log" in answers[-1])


def test_every_instance_is_given_the_same(tmp_path: Path) -> None:
    """What is chosen, or what the workload needs, and no less than is usual; the commands are confined to the CPUs."""
    root = Root(tmp_path / "workload-1/root.tar")
    needs = Workload("x", "x", lambda: root, Command(("x",)), memory_bytes=1 << 30)
    sandbox = Sandbox(Instance(b"ready\n" + json.dumps(FINE).encode() + b"\n"))
    Measured(needs, Allotment(cpus=1)).measure(sandbox)  # type: ignore[arg-type]
    (launch,) = sandbox.launches
    assert (launch.cpus, launch.memory_bytes) == (1, 1 << 30) and "cpus=1" in launch.arguments
    usual = Measured(needs._replace(memory_bytes=0)).allotment
    assert usual == (min(4, len(os.sched_getaffinity(0))), 512 << 20)


@pytest.mark.parametrize(
    ("chosen", "needs", "reason"),
    [
        (Allotment(10**6), {}, "it is to have 1000000 CPUs, and the host has"),
        (Allotment(1, 1 << 60), {}, "MiB, and the host has"),
        (Allotment(), {"cpus": 10**6}, "it is to have 1000000 CPUs, and the host has"),
        (Allotment(1), {"cpus": 2}, "x needs 2 CPUs and 0 MiB, and is given 1 and 512 MiB"),
        (Allotment(1, 1 << 20), {"memory_bytes": 1 << 30}, "x needs 1 CPUs and 1024 MiB, and is given 1 and 1 MiB"),
    ],
)
def test_what_cannot_be_given(chosen: Allotment, needs: dict[str, int], reason: str) -> None:
    """The workload is left out, with what chooses; nothing is made for it."""
    made: list[int] = []
    workload = Workload("x", "x", lambda: Root(Path(f"/{made.append(1)}")), Command(("x",)), **needs)  # type: ignore[arg-type, func-returns-value]
    lack = Measured(workload, chosen).lacks()
    assert lack is not None and reason in lack.reason and "--memory" in lack.remedy and not made
