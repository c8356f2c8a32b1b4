"""The fleet: hosts with their own sshd, measured by Ansible.

They share this machine, so that they are measured one after the other; each is asked for two blocks of one environment.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
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


def played(playbook: str, file: Path, *words: str) -> dict[str, dict[str, int]]:
    """Play one of the collection's playbooks as anybody would; gives what Ansible counted, by host."""
    environ = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS), "ANSIBLE_HOME": str(file.parent / "home")}
    command = [sys.executable, "-m", "ansible", "playbook", "-i", str(file), f"isobench.fleet.{playbook}", *words]
    done = subprocess.run(command, cwd=file.parent, env=environ, capture_output=True, text=True, check=False)
    recap = re.findall(r"^(\S+) +: (.*)$", done.stdout.partition("PLAY RECAP")[2], re.MULTILINE)
    assert recap, done.stdout + done.stderr
    counts = {host: {word: int(n) for word, n in re.findall(r"(\w+)=(\d+)", line)} for host, line in recap}
    assert not any(one["failed"] or one["unreachable"] for one in counts.values()), done.stdout
    return counts


def temporary(host: Host) -> Path:
    """The folder on a host for Ansible's files; /run is the host's own."""
    return Path(f"/proc/{host.pid}/root/run/ansible")


def left_by_plays(host: Host) -> list[Path]:
    """What Ansible left on a host since it booted, also beside its folder: /tmp is this machine's."""
    booted = (host.place / "machine-id").stat().st_mtime
    beside = [path for path in Path("/tmp").glob("ansible_*") if path.stat().st_mtime > booted]
    return [*temporary(host).iterdir(), *beside]


def test_the_collection_works_by_itself(hosts: dict[str, Host], tmp_path: Path) -> None:
    """--check changes nothing; a night is fetched; played again nothing changes; in the end nothing is left there."""
    listed = inventory(tmp_path, {"alder": fleet.connection(hosts["alder"])}, isobench_night="one")
    there = hosts["alder"].place / "lib/fleet"
    names = ("killed", "living", "anothers")
    killed, living, anothers = (temporary(hosts["alder"]) / f".isobench-play-{name}" for name in names)
    for folder in (killed, living, anothers):
        (folder / "ansible-tmp-1").mkdir(parents=True)
    for path in (killed / "ansible-tmp-1", killed, anothers / "ansible-tmp-1", anothers):
        os.utime(path, (0, 0))  # long ago
    os.chown(anothers, 65534, 65534)
    played("night", listed, "--check")
    assert not (tmp_path / "results").exists() and not there.exists()
    assert set(left_by_plays(hosts["alder"])) == {living, anothers}
    shutil.rmtree(anothers)
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
    assert left_by_plays(hosts["alder"]) == [living]


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
    assert played("night", listed)["birch"]["changed"]
    assert played("night", listed)["birch"]["changed"] == 0
    (run,) = store.find_runs(tmp_path / "results")
    assert store.load_session(run).command[0].endswith("isobench")
    with zipfile.ZipFile(source, "a") as archive:
        archive.comment = b"the same version, and another file"
    assert played("night", listed)["birch"]["changed"]
    played("remove", listed)


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


MEASURED = ("alder", "birch", "cedar", "dogwood", "elm")
ENDLESS = ["-e", "process", "-s", "startup", "--blocks", 1_000_000]


def test_what_fails_on_a_host_costs_that_host_alone(hosts: dict[str, Host], tmp_path: Path) -> None:
    """One is slow, one unreachable, one full, one of another Python: each with its reason, and the others measured; the
    report names the odd one of these. The same command again measures nobody twice, and goes on where the deadline
    ended the slow one."""
    rack = {name: fleet.connection(host) for name, host in hosts.items()}
    rack["slow"] |= {"isobench_arguments": ENDLESS, "isobench_deadline": 45}
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
    assert "not done within 45 s" in reasons["slow"] and "free, and 1.00 MB are needed" in reasons["full"]
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
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(file.read_bytes().decode(errors="replace"))
    return [line for line in found if text in line]
