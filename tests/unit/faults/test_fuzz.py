"""Every parser of outside data, fuzzed: whatever it is given, it answers or raises an error of isobench's own.

A few hundred examples here; `nox -s faults` takes ten thousand (ISOBENCH_FUZZ_EXAMPLES).
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench import answers, host, launcher, lifecycle, memory, mounts, store
from bench.errors import IsobenchError
from bench.images import initramfs
from scenarios import _fio
from scenarios.io import JOBS
from scenarios.syscall import SCENARIOS as SYSCALL
from tests.unit.report.made import session
from tests.unit.test_store import write

EXAMPLES = int(os.environ.get("ISOBENCH_FUZZ_EXAMPLES", "200"))
fuzzed = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize=EXAMPLES < 1000,
    suppress_health_check=list(HealthCheck),
)

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


def mutated(data: st.DataObject, whole: bytes) -> bytes:
    """A true file with a few parts cut out, doubled, or replaced by noise; now and then nothing but noise."""
    if data.draw(st.integers(0, 9)) == 0:
        return data.draw(st.binary(max_size=200))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(whole)))
        size = data.draw(st.integers(0, 40))
        noise = data.draw(
            st.binary(max_size=12)
            | st.sampled_from([b"-1", b"1e999", b"NaN", b"null", b"[", b"\xff", whole[at : at + 60]])
        )
        whole = whole[:at] + noise + whole[at + size :]
    return whole


def replaced(data: st.DataObject, document: Any) -> Any:
    """A true document with one of its parts, at whatever depth, replaced by any JSON."""
    if isinstance(document, dict) and document and data.draw(st.integers(0, 4)):
        key = data.draw(st.sampled_from(sorted(document)))
        return {**document, key: replaced(data, document[key])}
    if isinstance(document, list) and document and data.draw(st.integers(0, 4)):
        at = data.draw(st.integers(0, len(document) - 1))
        return [*document[:at], replaced(data, document[at]), *document[at + 1 :]]
    return data.draw(JSON)


@fuzzed
@given(st.data())
def test_probe_replies(data: st.DataObject) -> None:
    """What an instance writes: after the ready line or instead of it."""
    said = mutated(data, b'ready\n{"name": "getppid", "ns": [1.5, 2]}\n{"name": "open", "unavailable": "EPERM"}\n')
    for read in (answers.read_answers, answers.first_answer):
        with contextlib.suppress(IsobenchError):
            read(io.BytesIO(said))


@fuzzed
@given(JSON)
def test_answers_about_system_calls(answer: Any) -> None:
    """Objects of the syscall verb, read and reckoned with."""
    said = answer if isinstance(answer, dict) else {"name": "getppid", "ns": answer}
    with contextlib.suppress(IsobenchError):
        for one in answers.read_answers(io.BytesIO(b"ready\n" + json.dumps(said).encode() + b"\n")):
            SYSCALL[0]._values(one)


SIDE = {"iops": 10.0, "total_ios": 4, "lat_ns": {"percentile": dict.fromkeys(_fio.PERCENTILES.values(), 7.0)}}
FIO = {
    "jobs": [
        {"jobname": job.name, "error": 0, job.side: SIDE, "sync": SIDE, "usr_cpu": 1, "sys_cpu": 1, "job_runtime": 9}
        for job in JOBS
    ]
}


@fuzzed
@given(st.data())
def test_fios_json(data: st.DataObject) -> None:
    """fio's document with any part replaced."""
    document = replaced(data, FIO)
    with contextlib.suppress(IsobenchError):
        found = _fio.results(document)
        for job in JOBS:
            for cost in _fio.costs(job, found.get(job.name, {}), _fio.PERCENTILES, cpu=True).values():
                assert cost > 0


PROC = {
    name: Path(f"/proc/{name}").read_bytes()[:4000]
    for name in (
        *("stat", "vmstat", "meminfo", "zoneinfo", "pressure/cpu"),
        *("self/smaps_rollup", "self/cgroup", "self/mountinfo"),
    )
    if Path(f"/proc/{name}").exists()
}
PROC["memory.stat"] = b"anon 4096\nfile 0\nkernel 12\nrss 7\n"
PROC["modules.dep"] = b"kernel/fs/ext4/ext4.ko.xz: kernel/lib/crc16.ko.xz kernel/fs/jbd2/jbd2.ko.xz\n"
PARSERS: list[tuple[str, Any]] = [
    ("stat", host.parse_stat),
    ("vmstat", host.parse_vmstat),
    ("meminfo", host.parse_meminfo),
    ("zoneinfo", memory.per_cpu_free),
    ("pressure/cpu", host.parse_pressure),
    ("self/smaps_rollup", memory.parse_smaps_rollup),
    ("self/cgroup", memory.memory_cgroup),
    ("memory.stat", memory.parse_memory_stat),
    ("self/mountinfo", mounts.mount_points),
    ("modules.dep", initramfs._parse_dependencies),
]


@pytest.mark.parametrize(("name", "parse"), PARSERS, ids=[name for name, _ in PARSERS])
@fuzzed
@given(data=st.data())
def test_proc_and_cgroup_files(name: str, parse: Any, data: st.DataObject) -> None:
    """The kernel's files, damaged: nothing is raised at all."""
    parse(mutated(data, PROC.get(name, b"some avg10=0.00 total=5\n")).decode(errors="replace"))


@fuzzed
@given(st.data(), st.sampled_from(["prepared", "ready", "exited"]))
def test_launcher_messages(data: st.DataObject, kind: str) -> None:
    """What the C launcher says, and what says so in its place."""
    true = {
        "prepared": b"prepared",
        "ready": b"ready: requested 1 created 2 started 3 ready 4 pid 5 step-caps 6",
        "exited": b"exited: released 1 exited 2 status 0 gone 3 cpu_payload_us 4 cpu_launcher_us 5 netns 1",
    }
    with contextlib.suppress(IsobenchError):
        launcher.parse_message(mutated(data, true[kind]), kind)


@pytest.fixture(scope="module")
def run_folder() -> Iterator[tuple[Path, dict[str, bytes]]]:
    """A run's folder, in memory where that can be, and its files as they were."""
    shm = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shm if os.access(shm, os.W_OK) else None) as name:
        path = write(Path(name))
        (path / store.SESSION).write_bytes(
            msgspec.json.encode(msgspec.structs.replace(session(), blocks=session().blocks[:1]))
        )
        yield path, {file: (path / file).read_bytes() for file in (store.SESSION, store.SUITE)}


@pytest.mark.parametrize("file", [store.SESSION, store.SUITE])
@fuzzed
@given(data=st.data())
def test_records_and_suites(run_folder: tuple[Path, dict[str, bytes]], file: str, data: st.DataObject) -> None:
    """A run's files with bytes or parts replaced: loaded, or refused with the file's name."""
    path, whole = run_folder
    changed = mutated(data, whole[file])
    if data.draw(st.booleans()):
        changed = json.dumps(replaced(data, json.loads(whole[file]))).encode(errors="surrogatepass")
    (path / file).write_bytes(changed)
    try:
        store.load(path)
    except IsobenchError as error:
        assert str(path) in error.reason
    finally:
        (path / file).write_bytes(whole[file])


@fuzzed
@given(st.binary(max_size=60) | JSON.map(lambda document: json.dumps(document).encode(errors="surrogatepass")))
def test_state_files(noise: bytes) -> None:
    """A state file of any content is one of a dead run: cleaned, and gone."""
    with tempfile.TemporaryDirectory() as name, mock.patch.dict(os.environ):
        os.environ.update(ISOBENCH_STATE=f"{name}/state", ISOBENCH_WORK=name, ISOBENCH_CACHE=f"{name}/cache")
        os.mkdir(f"{name}/state")  # noqa: PTH102
        file = Path(name, "state/isobench-20200101T000000Z-00ff00.json")
        file.write_bytes(noise)
        assert lifecycle.clean(lambda run: []) == []
        assert not file.exists()
