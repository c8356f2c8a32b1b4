"""What marks a run as alive, what is swept when it died, and what is left alone."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from isobench.core.errors import BuildError, UsageError
from isobench.daemons.address import address
from isobench.filesystem import cache, mounts, paths
from isobench.filesystem.files import atomic_write
from isobench.filesystem.mounts import mount_points
from isobench.run import lifecycle

NAME = "isobench-20260101T000000Z-abcdef"


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folders of this test's own."""
    for name in ("STATE", "WORK", "CACHE"):
        (tmp_path / name.lower()).mkdir()
        monkeypatch.setenv(f"ISOBENCH_{name}", str(tmp_path / name.lower()))
    return tmp_path


def nothing(run: str) -> list[str]:
    return []


def test_a_living_run_is_not_dead_and_loses_nothing() -> None:
    """Neither to `clean` nor to the list of dead runs, although another process looks."""
    with lifecycle.workspace(lifecycle.new_run_id()) as workdir:
        code = "from isobench.run import lifecycle; print(lifecycle.dead_runs(), lifecycle.clean(lambda run: []))"
        asked = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert asked.stdout == "[] []\n" and (workdir / "run.json").exists()
    assert not workdir.exists() and list(paths.state_dir().glob("isobench-*")) == []


def test_the_state_file_is_there_before_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is made is written down first; one who can read it reads all of it."""
    seen: list[str] = []

    def look(workdir: Path) -> Path:
        seen.extend(json.loads(file.read_text())["name"] for file in paths.state_dir().glob("isobench-*.json"))
        workdir.mkdir()
        return workdir

    monkeypatch.setattr(lifecycle, "_make", look)
    with lifecycle.workspace("20260101T000000Z-abcdef"):
        assert seen == [NAME]


def test_a_pid_that_is_anothers_by_now_keeps_nothing_alive(place: Path) -> None:
    """A dead run's state file with the pid of a living process."""
    (place / "state" / f"{NAME}.json").write_text(json.dumps({"name": NAME, "pid": os.getpid(), "engines": {}}))
    assert lifecycle.dead_runs() == [NAME]
    lifecycle.clean(nothing)
    assert lifecycle.dead_runs() == []


def test_what_cannot_be_cleaned_now_is_kept_in_mind(place: Path) -> None:
    """An engine that is down: folder and state file stay until it has been asked."""
    (place / "state" / f"{NAME}.json").write_text("{}")
    (place / "work" / NAME / "docker").mkdir(parents=True)
    assert lifecycle.clean(lambda run: ["not cleaned: no engine"]) == ["not cleaned: no engine"]
    assert (place / "work" / NAME).exists() and lifecycle.dead_runs() == [NAME]
    assert lifecycle.clean(nothing) == [f"folder {place / 'work' / NAME}"]
    assert lifecycle.dead_runs() == []


def test_it_is_swept_at_the_engines_that_it_used(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not at the ones that whoever cleans has set; the private one is known by its place."""
    monkeypatch.setenv("DOCKER_HOST", "unix:///cleaner")
    monkeypatch.setenv("ISOBENCH_LIBVIRT_URI", "cleaner:///")
    private = f"unix://{place}/state/daemons/docker/run/docker.sock"
    record = {"name": NAME, "engines": {"DOCKER_HOST": private, "PATH": "/evil"}}
    (place / "state" / f"{NAME}.json").write_text(json.dumps(record))
    seen: list[str | None] = []
    lifecycle.clean(lambda run: seen.extend(map(os.environ.get, ("DOCKER_HOST", "ISOBENCH_LIBVIRT_URI", "PATH"))) or [])  # type: ignore[func-returns-value]
    assert seen == [private, None, os.environ["PATH"]]
    assert os.environ["DOCKER_HOST"] == "unix:///cleaner"


def test_a_docker_contexts_engine_is_written_down(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also the usual one. When another context is the current one, that engine is not asked in its place; what whoever
    cleans has as the current context is believed, and stays told by it (its certificates)."""
    monkeypatch.setenv("DOCKER_CONFIG", str(place))
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    for name in ("mine", "other"):
        meta = place / "contexts/meta" / hashlib.sha256(name.encode()).hexdigest() / "meta.json"
        meta.parent.mkdir(parents=True)
        meta.write_text(json.dumps({"Endpoints": {"docker": {"Host": f"unix:///{name}.sock"}}}))

    def use(name: str) -> None:
        (place / "config.json").write_text(json.dumps({"currentContext": name}))

    def killed_run() -> None:
        with lifecycle.workspace(NAME.removeprefix("isobench-")):
            record = (place / "state" / f"{NAME}.json").read_text()
        (place / "state" / f"{NAME}.json").write_text(record)

    seen: list[str] = []

    def look(run: str) -> list[str]:
        seen.append(str(address()))
        return []

    use("mine")
    killed_run()
    use("other")
    (line,) = lifecycle.clean(look)
    assert line.startswith(f"not cleaned: {NAME} used another engine; set DOCKER_HOST=unix:///mine.sock if")
    assert lifecycle.dead_runs() == [NAME]
    use("mine")
    lifecycle.clean(look)
    assert seen == ["unix:///mine.sock (docker context mine)"] and lifecycle.dead_runs() == []

    use("default")
    killed_run()
    use("other")
    lifecycle.clean(look)
    assert seen[1:] == ["unix:///var/run/docker.sock (DOCKER_HOST)"] and "DOCKER_HOST" not in os.environ


@pytest.mark.parametrize("name", ["isobench-x", f"{NAME}0", f"x{NAME}", NAME[:-1], "isobench-20260101T000000Z-ABCDEF"])
def test_similar_names_are_nobodys_business(place: Path, name: str) -> None:
    """A folder with a state file that no run can have written."""
    (place / "work" / name).mkdir()
    (place / "work" / name / "run.json").write_text("{}")
    (place / "state" / f"{name}.json").write_text("{}")
    assert lifecycle.clean(nothing) == []
    assert (place / "work" / name / "run.json").exists()


def test_who_only_looks_is_left_alone(place: Path) -> None:
    """A process that works in a dead run's folder lives on; one that runs a program out of it does not."""
    folder = place / "work" / NAME
    folder.mkdir()
    (folder / "program").write_bytes(Path("/bin/sleep").read_bytes())
    (folder / "program").chmod(0o755)
    looking = subprocess.Popen(["sleep", "60"], cwd=folder)
    ours = subprocess.Popen([str(folder / "program"), "60"])
    try:
        time.sleep(0.1)
        assert lifecycle.kill_processes(NAME) == [ours.pid]
        assert ours.wait(10) == -signal.SIGKILL and looking.poll() is None
    finally:
        for process in (looking, ours):
            process.kill()
            process.wait()


def test_who_only_names_the_folder_is_left_alone(place: Path) -> None:
    """The tail of a service, without a terminal, on a file of a dead run; what served the run's instances dies."""
    folder = place / "work" / NAME
    folder.mkdir()
    (folder / "console").touch()
    (place / "virtiofsd").write_bytes(Path("/bin/sleep").read_bytes())
    (place / "virtiofsd").chmod(0o755)
    service: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "start_new_session": True}
    looking = subprocess.Popen(["tail", "-f", str(folder / "console")], **service)
    served = f"{folder}/data"
    named = subprocess.Popen([f"{served}/probe", "60"], executable="/bin/sleep", **service)
    ours = subprocess.Popen([served, "60"], executable=str(place / "virtiofsd"), **service)
    try:
        time.sleep(0.1)
        assert lifecycle.kill_processes(NAME) == [ours.pid]
        assert ours.wait(10) == -signal.SIGKILL and looking.poll() is None and named.poll() is None
    finally:
        for process in (looking, named, ours):
            process.kill()
            process.wait()


def test_what_was_started_with_the_runs_name_dies() -> None:
    """Known by nothing else: a worker of Ansible, in a session of its own. What has another run's name lives on."""
    names = (NAME, NAME.replace("abcdef", "012345"))
    started = [subprocess.Popen(["sleep", "60"], env={paths.RUN_VARIABLE: name, **os.environ}) for name in names]
    ours, other = started
    try:
        assert lifecycle.kill_processes(NAME) == [ours.pid]
        assert ours.wait(10) == -signal.SIGKILL and other.poll() is None
    finally:
        for process in started:
            process.kill()
            process.wait()


def test_what_a_dead_process_was_making_is_removed(place: Path) -> None:
    """A folder of the cache that is held by nobody; one that is being made is not touched."""
    cache.cached("another", "key", lambda folder: None)
    dead = place / "cache/built/.making-0123456789abcdef"
    dead.mkdir()
    (dead / ".lock").touch()

    def build(folder: Path) -> None:
        assert lifecycle.clean(nothing) == [f"folder {dead}"]
        assert folder.exists() and not dead.exists()

    assert cache.cached("kind", "key", build).exists()


def test_a_full_disk_while_building_is_told() -> None:
    """With the disk that is full, and nothing stays."""

    def build(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(BuildError, match=r"making the kind in .*cache: No space left on device"):
        cache.cached("kind", "key", build)
    assert [path.name for path in paths.cache_dir().glob("*/*")] == ["CACHEDIR.TAG"]


def test_a_second_signal_does_not_disturb_the_cleaning_up() -> None:
    """The first one interrupts; those that follow soon are for an impatient user."""
    swept: list[str] = []

    def slowly(run: str) -> list[str]:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
        swept.append(run)
        return []

    with pytest.raises(KeyboardInterrupt), lifecycle.workspace("20260101T000000Z-abcdef", slowly):
        os.kill(os.getpid(), signal.SIGHUP)
        time.sleep(1)
    assert swept == [NAME] and lifecycle.dead_runs() == []


def test_a_first_signal_does_not_disturb_the_cleaning_up() -> None:
    """Where nothing has gone wrong before: it is heeded when all is taken away; so is one that came before the work."""
    swept: list[str] = []

    def slowly(run: str) -> list[str]:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)
        swept.append(run)
        return []

    worked = False
    with pytest.raises(KeyboardInterrupt), lifecycle.workspace("20260101T000000Z-abcdef", slowly):
        worked = True
    assert worked and swept == [NAME] and lifecycle.dead_runs() == []
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_mount_points_with_odd_names() -> None:
    """mountinfo writes a space as three octal digits, and letters beyond ASCII as they are."""
    line = "36 35 98:0 / /mnt/a\\040ü,b:c\\134d rw - ext3 /dev/root rw"
    assert mount_points(line) == ["/mnt/a ü,b:c\\d"]


@pytest.mark.root
def test_what_is_still_mounted_is_not_descended_into(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mount that cannot be taken away may hold what is not ours: it is told, and the next `clean` tries again."""
    mounted = place / "work" / NAME / "process" / "data"
    mounted.mkdir(parents=True)
    (place / "state" / f"{NAME}.json").write_text("{}")
    subprocess.run(["mount", "-t", "tmpfs", "none", str(mounted)], check=True)
    try:
        (mounted / "somebodys").touch()
        with monkeypatch.context() as without:
            without.setattr(mounts, "_unmount", lambda point: None)
            assert lifecycle.clean(nothing) == [f"not cleaned: {mounted} is still mounted"]
        assert (mounted / "somebodys").exists() and lifecycle.dead_runs() == [NAME]
        assert lifecycle.clean(nothing) == [f"unmounted {mounted}", f"folder {place / 'work' / NAME}"]
        assert not mounted.exists() and lifecycle.dead_runs() == []
    finally:
        subprocess.run(["umount", str(mounted)], check=False, capture_output=True)


def test_a_work_folder_whose_name_is_not_text(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its run's processes are found by their folder, and everything is removed."""
    odd = Path(os.fsdecode(os.fsencode(place / "work") + b"\xff"))
    monkeypatch.setenv("ISOBENCH_WORK", str(odd))
    odd.mkdir()
    with lifecycle.workspace(lifecycle.new_run_id()) as workdir:
        shutil.copy("/bin/sleep", workdir / "probe")
        left = subprocess.Popen([str(workdir / "probe"), "600"])
    assert left.wait(60) == -signal.SIGKILL and not workdir.exists()


def test_what_would_be_cleaned_is_only_said(place: Path) -> None:
    (place / "state" / f"{NAME}.json").write_text("{}")
    assert lifecycle.clean(nothing, dry_run=True) == [f"would clean {NAME}"]
    assert lifecycle.dead_runs() == [NAME]


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', "7"])
def test_a_state_file_that_was_cut_off_is_a_dead_runs(place: Path, text: str) -> None:
    """Its machine went down while it was written: what carries the run's name is removed all the same."""
    (place / "state" / f"{NAME}.json").write_text(text)
    (place / "work" / NAME).mkdir()
    assert lifecycle.clean(nothing) == [f"folder {place / 'work' / NAME}"]
    assert lifecycle.dead_runs() == []


def test_a_run_of_this_process_is_alive_too() -> None:
    with lifecycle.workspace(lifecycle.new_run_id()) as workdir:
        assert lifecycle.dead_runs() == [] and lifecycle.clean(nothing) == []
        assert workdir.exists()


def test_a_run_that_cannot_be_asked_whether_it_lives_is_left_alone(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a file system without locks it may be alive, unless its other file says that it is dead."""

    def no_locks(descriptor: int) -> bool:
        raise OSError(errno.ENOLCK, "No locks available")

    (place / "state" / f"{NAME}.json").write_text("{}")
    monkeypatch.setattr(lifecycle, "try_lock", no_locks)
    assert lifecycle.dead_runs() == [] and lifecycle.clean(nothing) == []


@pytest.mark.parametrize("kept", ["work", "state"])
def test_only_the_state_folder_must_have_locks(kept: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run whose state file is not locked would be taken for a dead one by the next."""

    def without_locks(target: Path, parts: Any, *, mode: int = 0o644, lock: bool = False) -> int:
        if lock and place / kept in target.parents:
            raise OSError(errno.ENOLCK, "No locks available")
        return atomic_write(target, parts, mode=mode, lock=lock)

    monkeypatch.setattr(lifecycle, "atomic_write", without_locks)
    if kept == "work":
        with lifecycle.workspace(lifecycle.new_run_id()) as workdir:
            assert (workdir / "run.json").exists() and lifecycle.dead_runs() == []
        assert not workdir.exists()
    else:
        with pytest.raises(UsageError, match=r"cannot keep .*: No locks available"), lifecycle.workspace("x"):
            pass
    assert list(paths.state_dir().glob("isobench-*")) == []


def test_a_work_folder_that_cannot_be_made_is_told(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the state file goes again."""

    mkdir = Path.mkdir

    def full(path: Path, *words: Any, **more: Any) -> None:
        if path.parent == place / "work":
            raise OSError(errno.ENOSPC, "No space left on device")
        mkdir(path, *words, **more)

    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(UsageError, match=r"cannot work in .*: No space left") as told, lifecycle.workspace("x"):
        pass
    assert told.value.remedy == "set ISOBENCH_WORK"
    assert list((place / "state").glob("isobench-*")) == []
