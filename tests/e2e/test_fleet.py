"""The fleet: hosts with their own sshd, measured by Ansible.

They share this machine, so that they are measured one after the other; each is asked for two blocks of one environment.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from isobench.filesystem import paths
from isobench.results import store
from tests import fleet
from tests.conftest import STRICT
from tests.documents import ROOT
from tests.unit.test_json import obeys

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fleet import Host

pytestmark = [pytest.mark.root, pytest.mark.tool("sshd"), pytest.mark.slow]
if not STRICT:
    pytest.importorskip("ansible_runner")

COLLECTIONS = ROOT / "contrib/ansible"
ISOBENCH = f"env PYTHONPATH={ROOT} {sys.executable} -m isobench"
"""What the hosts have: this tree. One of them is given a wheel."""


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Host]]:
    names = ["alder", "birch", "cedar", "dogwood", "elm", "slow", "full"]
    with fleet.hosts(names, tmp_path_factory.mktemp("fleet")) as running:
        fleet.fill(running["full"], "/var/lib/isobench/fleet")
        fleet.burden(running["elm"])
        yield running


def inventory(folder: Path, hosts: dict[str, dict[str, Any]], **variables: object) -> Path:
    """An inventory of these hosts, with this tree's isobench."""
    every = {
        "isobench_source": "",
        "isobench_provision": False,
        "isobench_command": ISOBENCH,
        "isobench_arguments": ["-e", "process", "-s", "startup", "--blocks", 2],
        "isobench_room": 1 << 20,
        **variables,
    }
    file = folder / "inventory.json"
    file.write_text(json.dumps({"all": {"hosts": hosts, "vars": every}}))
    return file


def playing(playbook: str, file: Path, *words: str) -> subprocess.Popen[str]:
    """Begin to play one of the collection's playbooks as anybody would."""
    environ = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS), "ANSIBLE_HOME": str(file.parent / "home")}
    command = [sys.executable, "-m", "ansible", "playbook", "-i", str(file), f"isobench.fleet.{playbook}", *words]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=file.parent, env=environ, stdout=pipe, stderr=pipe, text=True)


def played(playbook: str, file: Path, *words: str) -> dict[str, dict[str, int]]:
    """Play one; gives what Ansible counted, by host."""
    with playing(playbook, file, *words) as play:
        said, errors = play.communicate()
    recap = re.findall(r"^(\S+) +: (.*)$", said.partition("PLAY RECAP")[2], re.MULTILINE)
    assert recap, said + errors
    counts = {host: {word: int(n) for word, n in re.findall(r"(\w+)=(\d+)", line)} for host, line in recap}
    assert not any(one["failed"] or one["unreachable"] for one in counts.values()), said
    return counts


def left_by_plays(host: Host) -> list[Path]:
    """What Ansible left on a host since it booted, also beside its folders: /tmp is this machine's."""
    booted = (host.place / "machine-id").stat().st_mtime
    beside = [path for path in Path("/tmp").glob("ansible_*") if path.stat().st_mtime > booted]
    return sorted([*(host.place / "tmp").iterdir(), *beside])


def left(host: Host, name: str, of: str | None = None, *, ago: float = 3700, user: int = 0) -> Path:
    """A folder of a play on this host as if it had been left there; `of`: by a play on that one, which shares it."""
    folder = host.place / "tmp" / f"isobench-play-{of or host.name}-{name:0<10}"
    (folder / "ansible-tmp-1").mkdir(parents=True)
    os.chown(folder, user, user)
    long_ago(folder, ago)
    return folder


def long_ago(folder: Path, seconds: float = 3700) -> None:
    os.utime(folder, times=(time.time() - seconds,) * 2)


def test_the_collection_works_by_itself(hosts: dict[str, Host], tmp_path: Path) -> None:
    """--check changes nothing; a night is fetched; played again nothing changes; in the end nothing is left there."""
    alder = hosts["alder"]
    listed = inventory(tmp_path, {"alder": fleet.connection(alder)}, isobench_night="one")
    there = alder.place / "lib/fleet"
    left(alder, "killed")
    others = [left(alder, "anothers", user=65534), left(alder, "killed", of="birch"), left(alder, "x", of="alder-2")]
    kept = sorted([left(alder, "living", ago=600), *others])
    played("night", listed, "--check")
    assert not (tmp_path / "results").exists() and not there.exists()
    assert left_by_plays(alder) == kept
    assert played("night", listed)["alder"]["changed"]
    (path,) = store.find_runs(tmp_path / "results")
    session = store.load(path).session
    assert session.host_id.startswith("alder-") and session.label == "one"
    before = [
        (file, file.stat().st_mtime_ns) for place in (there, tmp_path / "results") for file in place.rglob("*.json")
    ]
    assert played("night", listed)["alder"]["changed"] == 0
    assert [(file, file.stat().st_mtime_ns) for file, _ in before] == before
    played("night", listed, "-e", "isobench_night=two")  # the first has been fetched
    assert [one.name for one in (there / "nights").iterdir()] == ["two"]
    assert len(list(store.find_runs(tmp_path / "results"))) == 2
    played("remove", listed)
    assert not there.exists() and list((tmp_path / "results").rglob("*.part")) == []
    assert left_by_plays(alder) == kept
    for folder in kept:
        shutil.rmtree(folder)


def test_an_ordinary_user_who_becomes_root(hosts: dict[str, Host], tmp_path: Path) -> None:
    """By the inventory's variables, which hold for this machine, too: here nobody becomes root. Each user removes
    what is theirs."""
    cedar = hosts["cedar"]
    login = {**fleet.connection(cedar), "ansible_user": fleet.ORDINARY}
    listed = inventory(tmp_path, {"cedar": login}, ansible_become=True, ansible_become_method="su")
    left(cedar, "killed", user=fleet.UID)
    left(cedar, "killedroot")
    others = left(cedar, "anothers", user=65534)
    assert played("night", listed)["cedar"]["changed"]
    assert left_by_plays(cedar) == [others]
    assert played("night", listed)["cedar"]["changed"] == 0
    assert len(list(store.find_runs(tmp_path / "results"))) == 1
    assert left_by_plays(cedar) == [others]
    shutil.rmtree(others)


def cleaned(host: Host, *words: str) -> list[str]:
    """What `isobench clean` says on this host, for root."""
    document = json.loads(fleet.said_by(host, f"{ISOBENCH} clean --json {' '.join(words)}"))
    obeys(document, "clean")
    return list(document["done"])


def test_a_killed_play_is_cleaned_and_a_living_one_is_not(hosts: dict[str, Host], tmp_path: Path) -> None:
    """Killed in a task that could not remove its folders. As long as the task ran they stayed, however old."""
    cedar, words = hosts["cedar"], f"sleep 10{os.getpid()}"
    listed = inventory(tmp_path, {"cedar": fleet.connection(cedar)}, isobench_command=f"sh -c 'exec {words}'")
    with playing("night", listed) as play:
        while not _pids(words.replace(" ", "\0")):
            assert play.poll() is None, play.communicate()
            time.sleep(0.5)
        folders = left_by_plays(cedar)
        assert len(folders) == 2
        for folder in folders:
            long_ago(folder)
        assert cleaned(cedar) == [] and left_by_plays(cedar) == folders
        connections = [pid for pid in _pids(folders[0].name) if _lines()[pid].startswith("ssh\0")]
        for pid in (*_pids(str(tmp_path)), *connections):
            os.kill(pid, signal.SIGKILL)
    for _ in range(600):
        if not any(_pids(folder.name) for folder in folders):
            break
        time.sleep(0.5)
    for folder in folders:
        os.utime(folder)
    assert cleaned(cedar) == [] and left_by_plays(cedar) == folders  # it may be between two tasks
    for folder in folders:
        long_ago(folder)
    there = [f"/var/tmp/{folder.name}" for folder in folders]
    assert cleaned(cedar, "--dry-run") == [f"would remove {path}" for path in there]
    assert left_by_plays(cedar) == folders
    assert cleaned(cedar) == [f"folder {path}" for path in there]
    assert left_by_plays(cedar) == [] and cleaned(cedar) == []


def test_isobench_is_installed_from_a_wheel(hosts: dict[str, Host], wheel: Path, tmp_path: Path) -> None:
    """Into an environment of its own, and once: again only if the wheel is another one, whatever its version."""
    source = Path(shutil.copy(wheel, tmp_path))
    where = subprocess.run(
        [sys.executable, "-c", "import numpy, pathlib; print(pathlib.Path(numpy.__file__).parents[1])"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    listed = inventory(
        tmp_path,
        {"birch": fleet.connection(hosts["birch"])},
        isobench_source=source.name,  # beside the inventory
        isobench_python=os.path.realpath(sys.executable),
        isobench_extras=[],
        isobench_pip_arguments="--no-deps --no-index",  # what it needs is here already
        isobench_variables={"PYTHONPATH": where},
        isobench_command="{{ isobench_folder }}/venv/bin/isobench",
    )
    played("night", listed, "--check")
    assert not (hosts["birch"].place / "lib/fleet").exists()
    assert played("night", listed)["birch"]["changed"]
    assert played("night", listed)["birch"]["changed"] == 0
    (run,) = store.find_runs(tmp_path / "results")
    assert store.load_session(run).command[0].endswith("isobench")
    with zipfile.ZipFile(source, "a") as archive:
        archive.comment = b"the same version, and another file"
    assert played("night", listed)["birch"]["changed"]
    assert played("remove", listed)["birch"]["changed"]
    assert played("remove", listed)["birch"]["changed"] == 0


def test_what_cannot_be_installed_changes_nothing(hosts: dict[str, Host], tmp_path: Path) -> None:
    """A host that lacks a package which its distribution has not got is measured without it, every night."""
    lacking = tmp_path / "lacking"
    document = json.dumps({"schema": 1, "done": ["not firecracker: apt finds no such package here; without it: some"]})
    lacking.write_text(f"#!/bin/sh\ncase $1 in provision) echo '{document}'; exit 1;; esac\nexec {ISOBENCH} \"$@\"\n")
    lacking.chmod(0o755)
    connected = {"dogwood": fleet.connection(hosts["dogwood"])}
    listed = inventory(tmp_path, connected, isobench_provision=True, isobench_command=str(lacking))
    assert played("night", listed)["dogwood"]["changed"]
    assert played("night", listed)["dogwood"]["changed"] == 0


def measured(folder: Path, listed: Path, *words: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """`isobench fleet run`: its exit code, and what it says of each host."""
    command = [sys.executable, "-m", "isobench", "fleet", "run", "-i", str(listed), "--json", *words]
    done = subprocess.run(command, cwd=folder, env=ENVIRON, capture_output=True, text=True, timeout=1800, check=False)
    document = json.loads(done.stdout)
    obeys(document, "fleet-run")
    return done.returncode, {row["host"]: row for row in document["hosts"]}


ENVIRON = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}


def undisturbed(folder: Path) -> Path:
    """A copy of the results in which every block counts, whatever else this machine did."""
    copy = Path(shutil.copytree(folder / "results", folder / "counted"))
    for record in copy.glob("*/*/session.json"):
        session = json.loads(record.read_text())
        for block in session["blocks"]:
            block["marks"] = []
        record.write_text(json.dumps(session))
    return copy


def test_a_host_that_went_down_keeps_its_blocks(hosts: dict[str, Host], tmp_path: Path) -> None:
    """A run that was killed, and nobody completed in its night: a later one fetches it before it is removed there."""
    connected = {"dogwood": fleet.connection(hosts["dogwood"])}
    nights = hosts["dogwood"].place / "lib/fleet/nights"
    folder = "/var/lib/isobench/fleet/nights/one"
    run = f"{ISOBENCH} run {shlex.join(map(str, ENDLESS))} --out {folder} --no-report >/dev/null 2>&1"
    until = f"[ $(cat {folder}/*/*/journal.jsonl 2>/dev/null | grep -c block) -gt 2 ]"
    script = f"mkdir -p {folder}; {run} & until {until}; do kill -0 $! || exit; sleep 0.5; done; kill -9 $!"
    fleet.said_by(hosts["dogwood"], script)
    (journal,) = nights.glob("one/*/*/journal.jsonl")
    played("night", inventory(tmp_path, connected, isobench_night="two"))
    assert [night.name for night in nights.iterdir()] == ["two"] and not journal.exists()
    (kept,) = (tmp_path / "results").glob(f"*/{journal.parent.name}")
    assert {file.name for file in kept.iterdir()} == {"session.json", "suite.json"}
    assert len(store.load(kept).session.blocks) > 2


MEASURED = ("alder", "birch", "cedar", "dogwood", "elm")
ENDLESS = ["-e", "process", "-s", "startup", "--blocks", 1_000_000]


def enough_for_blocks(host: Host) -> int:
    """Seconds in which this host measures some blocks, though it shares its CPUs with another host and with Ansible."""
    few = [*ENDLESS[:-1], 2, "--out", "/run/tried", "--no-report"]
    began = time.monotonic()
    fleet.said_by(host, f"{ISOBENCH} run {shlex.join(map(str, few))} || [ $? = 5 ]")  # 5: these are too few
    return 10 + round(5 * (time.monotonic() - began))


def test_what_fails_on_a_host_costs_that_host_alone(hosts: dict[str, Host], tmp_path: Path) -> None:
    """One is slow, one unreachable, one full, one of another Python: each with its reason, and the others measured; the
    report names the odd one of these. The same command again measures nobody twice, and goes on where the deadline
    ended the slow one."""
    rack = {name: fleet.connection(host) for name, host in hosts.items()}
    deadline = enough_for_blocks(hosts["slow"])
    rack["slow"] |= {"isobench_arguments": ENDLESS, "isobench_deadline": deadline}
    rack["nobody"] = {**rack["birch"], "ansible_host": fleet.NOBODY}
    rack["python"] = {**rack["birch"], "isobench_source": "isobench", "isobench_python": "/usr/bin/python2.7"}
    arguments = ["-e", "process,ns-all", "-s", "startup", "--blocks", 10]
    listed = inventory(tmp_path, rack, isobench_arguments=arguments)
    words = (*("--night", "nine"), *("--at-once", "2"))
    code, found = measured(tmp_path, listed, *words)
    assert code == 1
    assert {name: row["state"] for name, row in found.items()} == {
        **dict.fromkeys(MEASURED, "measured"), "slow": "failed", "full": "failed", "nobody": "unreachable",
        "python": "failed",
    }  # fmt: skip
    reasons = {name: row["reason"] for name, row in found.items()}
    assert {reasons[name] for name in MEASURED} == {""}
    assert f"not done within {deadline} s" in reasons["slow"] and "free, and 1.00 MB are needed" in reasons["full"]
    assert "ssh: connect to host" in reasons["nobody"]
    assert "/usr/bin/python2.7 is not there, and isobench needs 3.11" in reasons["python"]
    runs = {path.parent.name.partition("-")[0]: path for path in store.find_runs(tmp_path / "results")}
    assert runs.keys() == {*MEASURED, "slow"}
    assert (tmp_path / found["alder"]["run"]).samefile(runs["alder"])
    kept = store.load_session(runs["slow"])
    assert kept.stopped == "interrupted" and len(kept.blocks) > 1
    command = [sys.executable, "-m", "isobench", "fleet", "report", str(undisturbed(tmp_path))]
    told = subprocess.run(command, env=ENVIRON, capture_output=True, text=True, check=True).stdout
    assert [line.split("-")[0] for line in told.splitlines() if line.startswith("odd: ")] == ["odd: elm"], told

    code, again = measured(tmp_path, listed, *words, "--only", "alder,birch,slow")
    assert code == 1
    assert [(again[name]["state"], again[name]["changed"]) for name in ("alder", "birch")] == [
        ("already measured", 0)
    ] * 2
    assert {path.parent.name.partition("-")[0]: path for path in store.find_runs(tmp_path / "results")} == runs
    assert len(store.load_session(runs["slow"]).blocks) > len(kept.blocks)


@contextlib.contextmanager
def measuring(host: Host, folder: Path, night: str) -> Iterator[subprocess.Popen[bytes]]:
    """`isobench fleet run` without end on this host, as soon as the first blocks are there. Its temporary files would
    be in `folder`/tmp."""
    listed = inventory(folder, {host.name: fleet.connection(host)}, isobench_arguments=ENDLESS)
    command = [sys.executable, "-m", "isobench", "fleet", "run", "-i", str(listed), "--night", night, "--json"]
    (folder / "tmp").mkdir()
    environ = {**ENVIRON, "TMPDIR": str(folder / "tmp")}
    with subprocess.Popen(command, cwd=folder, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        there, journals = host.place / "lib/fleet/nights" / night, list[Path]()
        while not (journals and journals[0].read_bytes().count(b"\n") > 3):
            assert running.poll() is None, running.communicate()
            time.sleep(0.5)
            journals = list(there.glob("*/*/journal.jsonl"))
        yield running


def ended(host: Host, folder: Path, night: str) -> None:
    """The night's run ends in order, and keeps its blocks; of Ansible nothing is left, neither here nor there."""
    for _ in range(600):
        if not (left := _named(f"nights/{night}") + _named(str(folder / "inventory.json"))):
            break
        time.sleep(0.5)
    assert left == []
    (run,) = store.find_runs(host.place / "lib/fleet/nights" / night)
    assert store.load_session(run).stopped == "interrupted"
    assert left_by_plays(host) == [] and list((folder / "tmp").iterdir()) == []


def test_ctrl_c_leaves_nothing_behind(hosts: dict[str, Host], tmp_path: Path) -> None:
    """Neither here nor on the host, where the run ends in order and keeps its blocks; it can be completed."""
    before = set(paths.work_root().iterdir())
    with measuring(hosts["slow"], tmp_path, "stopped") as running:
        running.send_signal(signal.SIGINT)
        said, _ = running.communicate(timeout=300)
    assert running.returncode == 130 and json.loads(said)["exit_code"] == 130
    ended(hosts["slow"], tmp_path, "stopped")
    assert not [path for path in set(paths.work_root().iterdir()) - before if path.is_dir() and _is_fleets(path)]


def test_kill_9_is_made_good_by_clean(hosts: dict[str, Host], tmp_path: Path) -> None:
    """What is killed cannot remove its folder and Ansible's processes, which have sessions of their own; `clean` does,
    and then the connections end, and with them what was started on the host."""
    with measuring(hosts["slow"], tmp_path, "killed") as running:
        (folder,) = filter(_is_fleets, paths.work_root().iterdir())
        running.kill()
    assert folder.is_dir()
    done = subprocess.run(
        [sys.executable, "-m", "isobench", "clean"], env=ENVIRON, capture_output=True, text=True, check=False
    ).stdout
    assert f"folder {folder}" in done and not folder.exists()
    ended(hosts["slow"], tmp_path, "killed")


def _is_fleets(folder: Path) -> bool:
    """Whether this is the work folder of `isobench fleet run`: plays of Ansible are in it."""
    return any(folder.glob("*/local"))


def _named(text: str) -> list[str]:
    """The command lines of all processes that have this text."""
    return [line for line in _lines().values() if text in line]


def _pids(text: str) -> list[int]:
    """These processes, in all hosts' numbers."""
    return [pid for pid, line in _lines().items() if text in line]


def _lines() -> dict[int, str]:
    """The command lines of all processes of this machine, the hosts' included."""
    found = {}
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found[int(file.parent.name)] = file.read_bytes().decode(errors="replace")
    return found
