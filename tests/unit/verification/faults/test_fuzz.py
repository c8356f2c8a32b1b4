"""Every parser of outside data, fuzzed: whatever it is given, it answers or raises an error of isobench's own.

A few hundred examples here; `nox -s faults` takes ten thousand (ISOBENCH_FUZZ_EXAMPLES).
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from math import isfinite
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isobench import config
from isobench.commands import run
from isobench.contracts import answers
from isobench.core.errors import IsobenchError, UsageError
from isobench.environments.docker import _published
from isobench.environments.libvirt import _network
from isobench.filesystem import mounts
from isobench.guests import modules
from isobench.host import machine
from isobench.lifecycle import leftovers
from isobench.planning.catalog import scenarios
from isobench.probe import launcher
from isobench.processes import accounting
from isobench.resources import capacity, memory
from isobench.results import store
from isobench.scenarios import _fio, _net, io_jobs, io_meta, net
from isobench.scenarios.io import JOBS as IO_JOBS
from tests.fake import SayingSandbox
from tests.unit.report.made import session
from tests.unit.results.test_store import write

EXAMPLES = int(os.environ.get("ISOBENCH_FUZZ_EXAMPLES", "200"))
fuzzed = settings(
    max_examples=EXAMPLES,
    database=None,
    derandomize=EXAMPLES < 1000,
    suppress_health_check=list(HealthCheck),
)

MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""Where folders are made: in memory where that can be."""

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


SIDE = {"iops": 10.0, "total_ios": 4, "lat_ns": {"percentile": dict.fromkeys(_fio.PERCENTILES.values(), 7.0)}}


def fio_document(jobs: Iterable[_fio.Job]) -> dict[str, Any]:
    """What fio answers to these jobs, as far as it is read."""
    beside = {"error": 0, "sync": SIDE, "usr_cpu": 1, "sys_cpu": 1, "job_runtime": 9}
    options = {"job options": {"ioengine": "libaio"}}
    return {
        "fio version": "fio-3.33",
        "jobs": [{"jobname": job.name, job.side: SIDE, **beside, **options} for job in jobs],
    }


def batches(*names: str) -> list[dict[str, Any]]:
    """The answers about these operations."""
    return [{"name": name, "ns": [5.5, 7, 9]} for name in names]


SEEN = json.loads("""
{"kernel": "6.1", "kernel_build": "#1", "boot_id": "0", "clock": 7, "effective": 7, "bounding": 7, "seccomp": 2,
 "uid": 0, "no_new_privs": 1, "mounts": 0, "writable": ["/proc/x"], "readable": [], "devices": ["/dev/kmsg"],
 "device_nodes": 9, "processes": 2, "setuid": 0, "cut": 0, "files": 70, "file_bytes": 900, "pid": 1,
 "environment": ["PATH"], "umask": "0022", "folder": "/", "nice": 0, "limits": {"nofile": "1024"},
 "namespaces": {"user": 1}, "uid_map": "0 1000 1", "label": "docker-default (enforce)", "sockets": ["/run/x"],
 "mounted": [["/", "ext4"]]}
""")
TEMPERATURES: list[dict[str, Any]] = [
    {"warm": "isobench.fio", "pages": 16384, "resident": 16384},
    {"cold": "inside", "all_caches": "dropped"},
    {"cold": "isobench.fio", "pages": 16384, "resident": 0},
]
SERVER = {"tcp": 1, "udp": 2, "token": "0011223344556677", "addresses": ["192.0.2.7"]}
TRUE: dict[str, list[dict[str, Any]]] = {
    "syscall": [{"kernel": "6.1", "clocksource": "hpet"}, *batches("getppid", "stat"), {"name": "x", "unavailable": 1}],
    "syscall-all": [{"kernel": "6.1"}, *batches("mount")],
    "io": [fio_document(IO_JOBS)],
    "io-meta": [{"folders": "spread", "file system": "ext4"}, *batches(*io_meta.META)],
    "io-copy-up": batches(*io_meta.COPY_UP),
    **{
        s.name: [*TEMPERATURES, *(fio_document([job]) for job in s.jobs)]
        for s in io_jobs.SCENARIOS
        if isinstance(s, io_jobs.IoJobs)
    },
    "memory-touch": [{"total": 1 << 27}, {"touched": 1 << 27}, {"freed": 1 << 27}],
    "sharing": [{"bytes": 1 << 21, "resident": 1 << 20}],
    "limit-memory": [{"bytes": 1 << 26, "ns": 10**7, "signal": 9, "errno": 0}],
    "limit-disk": [{"written": 10**9, "synced": 2 * 10**9, "read": 10**9}],
    "limit-operations": [{"written": 10**9, "synced": 2 * 10**9, "read": 10**9}],
    "limit-files": [{"count": 64, "errno": 24}],
    "surface": [SEEN, {"calls": [[0, 0, 9], [165, 1, 1], [435, 0, 38], [169, -1000, -31]]}],
}
"""Scenario -> what its probe says, as far as it is read."""


def test_the_true_answers_are_true() -> None:
    """What is replaced below gives values as it stands."""
    for name, said in TRUE.items():
        scenario = scenarios()[name]
        assert set(scenario.measure(SayingSandbox(said))) or name in ("surface", "sharing", "limit-files")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", TRUE)
@fuzzed
@given(data=st.data())
def test_answers_of_a_scenarios_probe(name: str, data: st.DataObject) -> None:
    """Well-formed JSON with any part replaced by another type, answers missing, doubled and out of order."""
    scenario: Any = scenarios()[name]
    changed = replaced(data, TRUE[name])
    said: list[Any] = changed if isinstance(changed, list) else [changed]
    if data.draw(st.booleans()) and said:
        said = data.draw(st.lists(st.sampled_from(said), max_size=len(said) + 1))
    with NO_CACHES:
        with contextlib.suppress(IsobenchError):
            values = scenario.measure(SayingSandbox(said))
            assert all(isinstance(value, float) and isfinite(value) for value in values.values())
            assert set(values) <= {metric.name for metric in scenario.metrics}
        if hasattr(scenario, "facts"):
            with contextlib.suppress(IsobenchError):
                for text in scenario.facts(SayingSandbox(said)).values():
                    text.encode()


NO_CACHES = mock.patch("isobench.host.machine.drop_caches", return_value=True)
"""The host's own stay as they are."""


@fuzzed
@given(st.data())
def test_answers_about_the_network(data: st.DataObject) -> None:
    """Times over a path, and what a server says of itself before it comes to a command line."""
    with contextlib.suppress(IsobenchError):
        for one in read(replaced(data, batches("tcp", "udp", "mib"))):
            assert all(0 < value < float("inf") for value in _net.seconds_of("host", [one], net.OPERATIONS).values())
    with contextlib.suppress(IsobenchError):
        for one in read([replaced(data, SERVER)]):
            server = _net.server_in(one)
            assert not any("\0" in word or word.startswith("-") for word in (server.token, *server.addresses))


def read(said: Any) -> list[dict[str, Any]]:
    """These answers as they come out of an instance."""
    lines = said if isinstance(said, list) else [said]
    return answers.read_answers(io.BytesIO(b"ready\n" + b"".join(json.dumps(one).encode() + b"\n" for one in lines)))


@fuzzed
@given(st.data())
def test_fios_json(data: st.DataObject) -> None:
    """fio's document with any part replaced."""
    document = replaced(data, fio_document(IO_JOBS))
    with contextlib.suppress(IsobenchError):
        found = _fio.results(document)
        for job in IO_JOBS:
            for cost in _fio.costs(job, found.get(job.name, {}), _fio.PERCENTILES, cpu=True).values():
                assert 0 <= cost < float("inf")


PROC = {
    name: Path(f"/proc/{name}").read_bytes()[:4000]
    for name in (
        *("stat", "vmstat", "meminfo", "zoneinfo", "pressure/cpu", "loadavg"),
        *("self/smaps_rollup", "self/cgroup", "self/mountinfo"),
    )
    if Path(f"/proc/{name}").exists()
}
PROC["memory.stat"] = b"anon 4096\nfile 0\nkernel 12\nrss 7\n"
PROC["pids.max"] = b"32768"
PROC["net/tcp"] = (
    b"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
    b"   0: 0100007F:9C41 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0  0 7 1 0000000000000000 100 0\n"
)
PROC["modules.dep"] = b"kernel/fs/ext4/ext4.ko.xz: kernel/lib/crc16.ko.xz kernel/fs/jbd2/jbd2.ko.xz\n"
PROC["modules.softdep"] = b"softdep ext4 pre: crypto-crc32c post: b\n"
PROC["modules.alias"] = b"alias crypto-crc32c crc32c_intel\nalias fs-ext4 ext4\n"
PROC["modules.builtin.modinfo"] = b"ext4.softdep=pre: crypto-crc32c\0main.parmtype=x:bool\0"
PARSERS: list[tuple[str, Any]] = [
    ("stat", machine.parse_stat),
    ("diskstats", machine.parse_diskstats),
    ("vmstat", machine.parse_vmstat),
    ("meminfo", machine.parse_meminfo),
    ("zoneinfo", memory.per_cpu_free),
    ("pressure/cpu", machine.parse_pressure),
    ("self/smaps_rollup", memory.parse_smaps_rollup),
    ("self/cgroup", memory.memory_cgroup),
    ("memory.stat", memory.parse_memory_stat),
    ("self/mountinfo", mounts.mount_points),
    ("loadavg", capacity.parse_tasks),
    ("self/cgroup", accounting.cgroup_paths),
    ("pids.max", capacity.parse_limit),
    ("net/tcp", lambda text: _network.parse_bound_port(text, {"socket:[7]"})),
    ("modules.dep", modules.parse_dependencies),
    ("modules.softdep", modules.parse_soft),
    ("modules.alias", modules.parse_aliases),
    ("modules.builtin.modinfo", modules.parse_builtin),
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
        "prepared": b"prepared: clone3 1 into-cgroup 0 netns-watch 1",
        "ready": b"ready: requested 1 created 2 started 3 ready 4 pid 5 step-caps 6",
        "exited": b"exited: released 1 exited 2 status 0 gone 3 cpu_payload_us 4 cpu_launcher_us 5 netns 1",
    }
    with contextlib.suppress(IsobenchError):
        launcher.parse_message(mutated(data, true[kind]), kind)


ENGINE = {"NetworkSettings": {"Ports": {f"7001/{kind}": [{"HostPort": "32768"}] for kind in ("tcp", "udp")}}}
ROUTES = [{"dst": "default", "dev": "eth0"}, {"type": "local", "dst": "10.213.0.1"}, {"dst": "192.0.2.0/24"}]


@fuzzed
@given(st.data())
def test_what_engines_and_tools_say(data: st.DataObject) -> None:
    """A container's ports in Docker's words, the host's routes in those of ip: any part replaced, or damaged."""
    with contextlib.suppress(IsobenchError):
        _published.parse_ports(replaced(data, ENGINE))
    with contextlib.suppress(IsobenchError):
        _network.parse_routes(json.dumps(replaced(data, ROUTES)))
    with contextlib.suppress(IsobenchError):
        _network.parse_routes(mutated(data, json.dumps(ROUTES).encode()).decode(errors="replace"))


def toml(value: Any) -> str:
    """JSON in TOML's words; what TOML has no word for is a text."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, float):
        return str(value)
    return json.dumps(str(value)) if value is None else json.dumps(value)


@fuzzed
@given(st.data())
def test_configuration(data: st.DataObject) -> None:
    """A file with any value of any type under an option's name, or damaged, and a variable: defaults or a usage error
    that names the place."""
    parser = argparse.ArgumentParser()
    run.configure(parser)
    option = data.draw(st.sampled_from(sorted(config._options(parser))))
    text = f"[run]\n{option} = {toml(data.draw(JSON))}\n".encode(errors="surrogatepass")
    text = mutated(data, text) if data.draw(st.booleans()) else text
    variable = f"ISOBENCH_RUN_{option.upper().replace('-', '_')}"
    value = data.draw(st.none() | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
    with tempfile.TemporaryDirectory(dir=MEMORY) as name, contextlib.chdir(name), mock.patch.dict(os.environ):
        Path(config.FILE).write_bytes(text)
        if value is not None:
            os.environ[variable] = value
        try:
            config.apply("run", parser, ("run", "report"))
        except UsageError as error:
            assert config.FILE in error.reason or variable in error.reason


@pytest.fixture(scope="module")
def run_folder() -> Iterator[tuple[Path, dict[str, bytes]]]:
    """A run's folder, in memory where that can be, and its files as they were."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
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
        assert leftovers.clean(lambda run: []) == []
        assert not file.exists()
