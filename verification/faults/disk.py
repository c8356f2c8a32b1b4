"""Truncated files and full disks."""

from __future__ import annotations

import random
import shutil
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

from isobench.core.errors import IsobenchError, StoreError
from isobench.filesystem.cache import found
from isobench.results import store
from verification.faults.place import Line, Tally

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from verification.faults.place import Place

STARTUP = ("-s", "startup", "--no-report")


def cut_off(place: Place, times: int = 30, seed: int = 3) -> Line:
    """Truncate the newest run's files at random lengths, or empty them, as after a power loss; read the history."""
    tally, dice = Tally(place), random.Random(seed)
    for _ in range(3):
        place.call("run", "-e", "process,ns-mnt", *STARTUP, "--blocks", "6")
    newest = list(store.find_runs(place.folder / "results"))[-1]
    whole = {name: (newest / name).read_bytes() for name in (store.SESSION, store.SUITE)}
    for turn in range(times):
        before = place.before()
        name = dice.choice(sorted(whole))
        length = 0 if turn < 4 else dice.randrange(len(whole[name]))
        (newest / name).write_bytes(whole[name][:length])
        wrong = _told(place, newest, name) if turn % 5 == 0 else _refused(newest, name)
        (newest / name).write_bytes(whole[name])
        tally.add(wrong, before)
    return tally.line("power loss: newest file empty or cut off", "the history loads and names the damaged run")


def _refused(run: Path, name: str) -> str:
    """The loader names the file."""
    try:
        store.load(run)
    except StoreError as error:
        return "" if str(run / name) in error.reason else f"{name} is not named: {error.reason}"
    return f"{name} was cut off and loaded"


def _told(place: Place, run: Path, name: str) -> str:
    """`trend` reads the other runs and names this one; `report` refuses it with a clear message."""
    code, said = place.call("trend", "results")
    if code != 0 or run.name not in said or "2 runs" not in said:
        return f"trend: exit code {code}: {said[-300:]}"
    code, said = place.call("report", str(run))
    return "" if code == 2 and name in said else f"report: exit code {code}: {said[-300:]}"


def while_writing(place: Place, times: int = 20, seed: int = 4) -> Line:
    """Blocks of a few milliseconds, so that the harness is mostly writing when it is killed."""
    tally, dice = Tally(place), random.Random(seed)
    for _ in range(times):
        before = place.before()
        process = place.start("run", "-e", "process", *STARTUP, "--blocks", "3000")
        place.await_block(3, process)
        place.await_block(place.block() + dice.randint(1, 60), process)
        block = place.block()
        process.kill()
        process.wait()
        wrong = ""
        try:
            run = place.last_run()
            if len(run.session.blocks) < block:
                wrong = f"block {block} had begun, {len(run.session.blocks)} are saved"
        except IsobenchError as error:
            wrong = error.reason
        place.call("clean")
        tally.add(wrong, before)
        shutil.rmtree(place.folder / "results")
    return tally.line("kill -9 while results are written", "every finished block is on disk and loads")


def full_results(place: Place) -> Line:
    """The results folder is a tmpfs of 256 KiB."""
    tally = Tally(place)
    for size in ("256k", "64k", "20k"):
        with _tmpfs(place.folder / "results", size):
            before = place.before()
            code, said = place.call("run", "-e", "process", *STARTUP, "--blocks", "3000")
            wrong = ""
            if code != 2 or "No space left" not in said.splitlines()[-1]:
                wrong = f"{size}: exit code {code}: {said[-300:]}"
            try:
                place.runs()
            except IsobenchError as error:
                wrong = wrong or f"{size}: {error.reason}"
            tally.add(wrong, before)
    return tally.line("disk full while saving", "one-line error and exit code 2; earlier blocks can be loaded")


def full_cache(place: Place) -> Line:
    """The cache is a tmpfs too small for the probe, for the root file system, for the guest's disk."""
    tally = Tally(place)
    for size, environment in (
        ("100k", "process"),
        ("3m", "process"),
        ("3m", "docker"),
        ("12m", "docker"),
        ("1500k", "tcg"),
    ):
        with _tmpfs(place.folder / "cache", size), _kernel(place.folder / "cache"):
            before = place.before()
            cache = str(place.folder / "cache")
            code, said = place.call(
                "run", "-e", environment, "--baseline", environment, *STARTUP, "--blocks", "1", ISOBENCH_CACHE=cache
            )
            clear = code == 5 and "No space left" in said
            tally.add("" if clear else f"{size}, {environment}: {code}: {said[-300:]}", before)
    return tally.line("disk full while building an image", "the environment is skipped with the reason")


def full_work(place: Place) -> Line:
    """The work folder is a tmpfs in which a guest's disk, a container's layer and a root file system do not fit."""
    tally = Tally(place)
    for size, environment in (("24m", "tcg"), ("24m", "process"), ("4m", "handmade"), ("300k", "process")):
        with _tmpfs(place.folder / "work", size):
            before = place.before()
            words = ("-e", environment, "--baseline", environment, "-s", "io", "--no-report", "--blocks", "1")
            code, said = place.call("run", *words, timeout=400)
            told = "No space left" in said or "Input/output error" in said
            tally.add("" if code in (1, 5) and told else f"{size}, {environment}: {code}: {said[-300:]}", before)
    return tally.line("disk full while a guest or a process writes", "the cell fails with fio's error, or is skipped")


@contextmanager
def _kernel(cache: Path) -> Iterator[None]:
    """A guest's kernel is downloaded, not built, so it is mounted into the cache beforehand."""
    kernels = {image.parents[1] for image in found("kernel-*", "boot/vmlinuz-*")}
    for kernel in kernels:
        (cache / kernel.name).mkdir()
        subprocess.run(["mount", "--bind", str(kernel), str(cache / kernel.name)], check=True)
    try:
        yield
    finally:
        for kernel in kernels:
            subprocess.run(["umount", str(cache / kernel.name)], check=True)


@contextmanager
def _tmpfs(folder: Path, size: str) -> Iterator[None]:
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0711", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)
