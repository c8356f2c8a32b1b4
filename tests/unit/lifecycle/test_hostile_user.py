"""What a local user may lay in root's way: it is not read, not followed, not run, not removed, and not believed."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import sqlite3
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from isobench import config
from isobench.commands import _night, _night_folder, run
from isobench.core.errors import UsageError
from isobench.daemons import session
from isobench.filesystem import mounts, paths
from isobench.lifecycle import leftovers, processes
from isobench.lifecycle.workspace import workspace
from isobench.nights import history
from isobench.processes import accounting
from isobench.resources import cgroups
from tests.busy import soon
from tests.unit.analysis.made import write_run

pytestmark = [pytest.mark.root, pytest.mark.tool("setpriv")]

NAME = "isobench-20260101T000000Z-abcdef"
STRANGER = 65534
AS_STRANGER = ("setpriv", f"--reuid={STRANGER}", f"--regid={STRANGER}", "--clear-groups")
EVIL = json.dumps({"engines": {"DOCKER_HOST": "unix:///evil", "ISOBENCH_LIBVIRT_URI": "qemu+ssh:///?command=/evil"}})


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A shared folder to work in, as /var/tmp is."""
    for path in (tmp_path, *tmp_path.parents[:2]):
        path.chmod(0o755)
    for name, mode in (("STATE", 0o711), ("WORK", 0o1777), ("CACHE", 0o711)):
        (tmp_path / name.lower()).mkdir()
        (tmp_path / name.lower()).chmod(mode)
        monkeypatch.setenv(f"ISOBENCH_{name}", str(tmp_path / name.lower()))
    for name in ("DOCKER_HOST", "ISOBENCH_LIBVIRT_URI"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def never(run: str) -> list[str]:
    """No mechanism may be asked for it."""
    raise AssertionError(run)


def given(path: Path) -> None:
    """It belongs to the stranger, with all that is in it."""
    for root, folders, files in os.walk(path):
        for name in (*folders, *files):
            os.chown(Path(root, name), STRANGER, STRANGER, follow_symlinks=False)
    os.chown(path, STRANGER, STRANGER, follow_symlinks=False)


PLANTED: dict[str, Callable[[Path], object]] = {
    "record": lambda file: file.write_text(EVIL),
    "empty": lambda file: file.touch(),
    "nested": lambda file: file.write_text("[" * 200_000),
    "fifo": os.mkfifo,
    "endless": lambda file: file.symlink_to("/dev/zero"),
    "device": lambda file: os.mknod(file, stat.S_IFCHR | 0o666, os.makedev(1, 5)),
    "folder": lambda file: file.mkdir(),
    "link to root's": lambda file: file.symlink_to("/etc/shadow"),
}


@pytest.mark.parametrize("what", PLANTED)
@pytest.mark.parametrize("whose", ["his", "root's file in his folder"])
def test_what_he_planted_is_named_and_left_alone(place: Path, what: str, whose: str) -> None:
    """In a folder with the name of a run, whatever there is in the place of its record."""
    folder = place / "work" / NAME
    (folder / "process").mkdir(parents=True)
    PLANTED[what](folder / "run.json")
    given(folder)
    if whose != "his":
        os.chown(folder / "run.json", 0, 0, follow_symlinks=False)
    began = time.monotonic()
    assert leftovers.dead_runs() == []
    assert leftovers.clean(never) == [f"left alone, not this user's: {NAME} in {place / 'work'}"]
    assert time.monotonic() - began < 5
    assert (folder / "process").is_dir() and (folder / "run.json").lstat()


def test_many_of_his_are_one_line(place: Path) -> None:
    """However many he makes."""
    for number in range(200):
        given_one = place / "work" / f"isobench-20260101T000000Z-{number:06x}"
        given_one.mkdir()
        given(given_one)
    (line,) = leftovers.clean(never)
    assert "isobench-20260101T000000Z-000000, " in line and "and 197 more" in line


@pytest.mark.parametrize("what", ["folder", "link", "open folder"])
def test_what_stands_in_the_place_of_a_dead_runs_folder_is_not_it(place: Path, what: str) -> None:
    """Root's run is swept by its own record, which goes; what he put there stays, and says nothing."""
    (place / "state" / f"{NAME}.json").write_text("{}")
    (place / "victim/docker").mkdir(parents=True)
    (place / "victim/file").touch()
    folder = place / "work" / NAME
    if what == "link":
        folder.symlink_to(place / "victim")
    else:
        shutil.copytree(place / "victim", folder)
    if what == "open folder":
        folder.chmod(0o777)
    else:
        given(folder)
    seen: list[tuple[str, bool]] = []

    def look(run: str) -> list[str]:
        seen.append((run, paths.opened(run, "docker")))
        return []

    leftovers.clean(look)
    assert seen == [(NAME, False)]
    assert (folder / "file").exists() and (place / "victim/file").exists() and leftovers.dead_runs() == []


def test_an_engine_that_only_a_record_names_is_left_to_its_owner(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even in a record of our own; who names it himself is believed."""
    (place / "state" / f"{NAME}.json").write_text(EVIL)
    (line,) = leftovers.clean(never)
    assert line.startswith(
        f"not cleaned: {NAME} used another engine; set DOCKER_HOST=unix:///evil ISOBENCH_LIBVIRT_URI="
    )
    assert leftovers.dead_runs() == [NAME]
    monkeypatch.setenv("DOCKER_HOST", "unix:///evil")
    monkeypatch.setenv("ISOBENCH_LIBVIRT_URI", "qemu+ssh:///?command=/evil")
    assert leftovers.clean(lambda run: []) == [] and leftovers.dead_runs() == []


def test_he_can_hold_no_lock_of_a_run() -> None:
    """What he can open he could lock, and so hide a dead run for ever."""
    with workspace(NAME.removeprefix("isobench-")) as workdir:
        for file in (workdir / "run.json", paths.state_dir() / f"{NAME}.json"):
            held = subprocess.run(
                [*AS_STRANGER, "flock", "--shared", str(file), "true"], capture_output=True, text=True
            )
            assert held.returncode != 0 and "Permission denied" in held.stderr


@contextmanager
def tmpfs(folder: Path) -> Iterator[None]:
    """Something of somebody's that is mounted."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=False, capture_output=True)


def test_a_folder_swapped_for_a_link_during_the_sweep(place: Path) -> None:
    """What it points to is neither unmounted nor removed."""
    folder, victim = place / "work" / NAME, place / "victim"
    (folder / "process").mkdir(parents=True)
    (folder / "run.json").write_text("{}")

    def swap(run: str) -> list[str]:
        folder.rename(place / "moved")
        folder.symlink_to(victim)
        return []

    with tmpfs(victim / "mounted"):
        (victim / "mounted/file").touch()
        leftovers.clean(swap)
        assert (victim / "mounted/file").exists()


def test_a_way_swapped_for_a_link_before_the_unmounting(place: Path) -> None:
    """The kernel told the path before; what is there now is another."""
    with tmpfs(place / "victim/inner"), tmpfs(place / "work/way/inner"):
        (place / "work/way").rename(place / "work/old")
        (place / "work/way").symlink_to(place / "victim")
        with pytest.raises(OSError, match=r"Not a directory|Too many levels"):
            mounts._unmount(place / "work/way/inner")
        (place / "work/old/link").symlink_to(place / "victim/inner")
        with pytest.raises(OSError, match="Invalid argument"):
            mounts._unmount(place / "work/old/link")
        assert os.path.ismount(place / "victim/inner")
        (place / "work/way").unlink()
        (place / "work/old").rename(place / "work/way")


def test_a_link_as_a_folder_has_no_mounts(place: Path) -> None:
    """Whoever asks for what is mounted below a link is not told of what it points to."""
    (place / "link").symlink_to("victim")
    with tmpfs(place / "victim/inner"):
        assert mounts.mounted_below(place / "link") == []
        assert mounts.mounted_below(place / "victim") == [str(place / "victim/inner")]


def test_links_inside_are_removed_as_links(place: Path) -> None:
    """What an instance wrote points where it likes."""
    folder = place / "work" / NAME
    folder.mkdir()
    (place / "victim").mkdir()
    (place / "victim/file").touch()
    (folder / "run.json").write_text("{}")
    (folder / "link").symlink_to(place / "victim")
    assert leftovers.clean(lambda run: []) == [f"folder {folder}"]
    assert (place / "victim/file").exists()


def asleep(program: Path, called: str, *before: str) -> subprocess.Popen[bytes]:
    """A process of this program that goes by another name."""
    command = [*before, "bash", "-c", f"exec -a {called} {program} 60"]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)


def has_begun(process: subprocess.Popen[bytes]) -> bool:
    """Whether it is the program that sleeps by now, or a copy of that, and none of those that start it."""
    return Path(f"/proc/{process.pid}/exe").readlink().name not in ("setpriv", "bash")


def test_his_processes_and_decoys_live_on(place: Path) -> None:
    """A program with the right name and command line, one run from a folder of the run's name, root's elsewhere."""
    (place / "work" / NAME).mkdir()
    inner = place / "elsewhere" / NAME
    inner.mkdir(parents=True)
    for program in (place / "virtiofsd", place / "qemu-system-x86_64", inner / "probe"):
        shutil.copy("/bin/sleep", program)
    named = f"{place}/work/{NAME}/data"
    qemu, virtiofsd = place / "qemu-system-x86_64", place / "virtiofsd"
    started = [
        asleep(virtiofsd, f"{named}/x", *AS_STRANGER),
        asleep(qemu, f"{named}/x", *AS_STRANGER),
        asleep(inner / "probe", str(inner / "probe"), *AS_STRANGER),
        asleep(inner / "probe", str(inner / "probe")),
        asleep(virtiofsd, f"{inner}/x"),
    ]
    ours = asleep(virtiofsd, f"{named}/x")
    try:
        assert soon(lambda: all(map(has_begun, (*started, ours))))
        assert accounting.pids_with(f"{named}/x") == [ours.pid]
        assert processes.kill_processes(NAME) == [ours.pid]
        assert [process.poll() for process in started] == [None] * len(started)
    finally:
        for process in (*started, ours):
            process.kill()
            process.wait()


def test_a_cgroup_of_his_is_not_touched(place: Path) -> None:
    """Who was given a part of the tree may call a cgroup in it as he likes; what runs there lives on."""
    name = f"isobench-{os.getpid()}-of-nobody"
    root = next(p for p in (Path("/sys/fs/cgroup/pids"), Path("/sys/fs/cgroup")) if (p / "cgroup.procs").exists())
    (root / name).mkdir()
    os.chown(root / name, STRANGER, STRANGER)
    sleeping = asleep(Path("/bin/sleep"), "sleep")
    try:
        (root / name / "cgroup.procs").write_text(str(sleeping.pid))
        assert cgroups.remove(name) == [] and sleeping.poll() is None
        os.chown(root / name, 0, 0)
        assert cgroups.remove(name) == [f"cgroup {root / name}"] and sleeping.wait(60) != 0
    finally:
        sleeping.kill()
        sleeping.wait()
        with suppress(OSError):
            (root / name).rmdir()


def test_he_cannot_pass_for_an_orphan_of_ours(place: Path) -> None:
    """Nor can a program that runs as root for him, whose environment he chose."""
    marked = {**os.environ, session.MARK: str(place)}
    asleep = [["sleep", "60"], [*AS_STRANGER, "sleep", "60"], ["setpriv", f"--ruid={STRANGER}", "sleep", "60"]]
    ours, *his = [subprocess.Popen(words, env=marked) for words in asleep]
    try:
        assert soon(lambda: all(map(has_begun, (ours, *his))))
        assert session.orphans(place) == [ours.pid]
    finally:
        for process in (ours, *his):
            process.kill()
            process.wait()


OPTIONS = '[run]\nblocks = 3\nout = "/etc"\n'


@pytest.mark.parametrize("file", ["isobench.toml", "pyproject.toml"])
@pytest.mark.parametrize("how", ["file", "link", "open to all", "huge"])
def test_options_of_his_are_not_believed(place: Path, monkeypatch: pytest.MonkeyPatch, file: str, how: str) -> None:
    """In a folder like /tmp: they would say what root writes where. Those of who called sudo are."""
    (place / "work" / file).write_text(OPTIONS.replace("[run]", "[tool.isobench.run]") if file[0] == "p" else OPTIONS)
    monkeypatch.chdir(place / "work")
    monkeypatch.delenv("SUDO_UID", raising=False)
    if how == "link":
        Path(file).rename("options")
        Path(file).symlink_to("options")
    if how == "open to all":
        Path(file).chmod(0o666)
    else:
        os.chown(file, STRANGER, STRANGER, follow_symlinks=False)
    if how == "huge":
        os.truncate(file, 1 << 40)
    parser = argparse.ArgumentParser()
    run.configure(parser)
    with pytest.raises(UsageError, match=rf"^{file}.*({STRANGER}|by others|bytes).*"):
        config.apply("run", parser, ["run"])
    if how in ("file", "link"):
        monkeypatch.setenv("SUDO_UID", str(STRANGER))
        config.apply("run", parser, ["run"])
        assert parser.parse_args([]).blocks == 3


@pytest.mark.parametrize("what", ["link to nothing", "link to a file", "fifo", "folder", "index"])
def test_the_index_of_a_history_leads_nowhere(place: Path, what: str) -> None:
    """Root's trend in a results folder of his: nothing is made or changed elsewhere, and his index is not believed."""
    results, secret = place / "results", place / "secret"
    write_run(results, blocks=6)
    honest = repr(history.read(results))
    index = results / history.INDEX
    if what == "index":
        with contextlib.closing(sqlite3.connect(index)) as his:
            his.execute("UPDATE runs SET problem = 'evil', night = x'c0'")
            his.commit()
    else:
        index.unlink()
    if what == "link to a file":
        secret.write_bytes(b"")
    if what.startswith("link"):
        index.symlink_to(secret)
    if what == "fifo":
        os.mkfifo(index)
    if what == "folder":
        index.mkdir()
    os.chown(results, STRANGER, STRANGER)
    os.chown(index, STRANGER, STRANGER, follow_symlinks=False)
    found = history.read(results)
    assert repr(found) == honest
    assert not secret.exists() or secret.read_bytes() == b""
    assert index.lstat().st_uid == STRANGER


def test_the_index_is_written_over_a_link_that_was_laid_since(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """He wins the race between the look and the writing: a file takes the link's place."""
    results = place / "results"
    write_run(results, blocks=6)
    honest = repr(history.read(results))
    index = results / history.INDEX
    index.unlink()
    index.symlink_to(place / "made by root")
    monkeypatch.setattr(history, "_is_ours", lambda file: True)
    assert repr(history.read(results)) == honest
    assert [entry.name for entry in place.iterdir() if entry.name.startswith("made")] == []
    assert stat.S_ISREG(index.lstat().st_mode)


@pytest.mark.parametrize("plant", [os.mkfifo, lambda file: file.symlink_to(file.parent.parent / "secret")])
def test_a_night_writes_over_what_he_laid_since_it_was_begun(place: Path, plant: Callable[[Path], object]) -> None:
    """A link is not followed, and in a FIFO nothing waits."""
    (place / "secret").write_text("secret")
    folder = place / "night"
    folder.mkdir()
    _night_folder.forget(folder)
    plant(folder / "doctor.txt")
    _night_folder.keep(folder / "doctor.txt", ["fine"])
    assert (folder / "doctor.txt").read_text() == "fine\n"
    plant(folder / "summary.md")
    _night.summarise(folder, [], "Nothing changed.", "# Report")
    assert (folder / "summary.md").read_text() == "## Tonight\n\nNothing changed.\n\n# Report"
    assert (place / "secret").read_text() == "secret"
    _night_folder.forget(folder)
    assert [file.name for file in folder.iterdir()] == [_night_folder.MARK]
