"""`nox -s crosscheck`: isobench's fio figures against fio run by hand on the same job files.

By hand means: on the host, fio itself; in a container, `docker run` of the same image with the command-line client; in
a guest, QEMU with a command line of its own, the same kernel, a copy of the same disk, busybox as init and modprobe's
list of modules, so that neither libvirt nor the probe nor isobench's initramfs is involved. The two sides take turns in
random order. Each lays out the file, then runs the one job. By hand, fio runs in the folder of the file: it applies
`--directory` only to the first of several job files, so the second would create another file. Exits with 1 if an
interval lies entirely outside the band.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import tempfile
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from isobench.contracts.answers import answers
from isobench.contracts.launch import working
from isobench.guests.disk import disk_image
from isobench.guests.kernel import guest_kernel
from isobench.images.fio import host_fio
from isobench.lifecycle.workspace import new_run_id, workspace
from isobench.planning import catalog
from isobench.processes.programs import find
from isobench.scenarios._fio import FOLDER, read_job
from verification.crosscheck.syscalls import compare, show

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from isobench.contracts.environment import Sandbox

JOBS = (
    "io-direct/randread-4k-qd1",
    "io-direct/randwrite-4k-qd32",
    "io-direct/seqread-1m",
    "io-buffered/write-fsync-4k",
)
GUEST_JOBS = ("io-direct/randread-4k-qd1", "io-buffered/write-fsync-4k")
"""Fewer, because every sample boots a guest."""

_GUEST_MODULES = ("virtio_pci", "virtio_blk", "ext4")
_INIT = """#!/bin/sh
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
while read word file rest; do [ "$word" = insmod ] && insmod /modules/${file##*/}; done < /modules/list
until mount -o noatime -t ext4 /dev/vda /mnt 2>/dev/null; do sleep 0.01; done
mount -t devtmpfs dev /mnt/dev; mount -t proc proc /mnt/proc; mount -t sysfs sys /mnt/sys; cp -r /jobs /mnt/tmp/
for file in layout job; do echo directory=/data >> /mnt/tmp/jobs/$file.fio; done
chroot /mnt /usr/bin/fio --output-format=json /tmp/jobs/layout.fio /tmp/jobs/job.fio > /said 2> /dev/null < /dev/null
cat /said > /dev/ttyS0
poweroff -f
"""


def ours(sandbox: Sandbox, job: str) -> float:
    """Nanoseconds of one operation as isobench runs the job in an instance."""
    scenario, name = job.split("/")
    words = [*read_job(scenario, "layout").words(), "next", *read_job(scenario, name).words()]
    with sandbox.launch(working("fio", *words, disk=True)) as instance:
        return _nanoseconds(answers(instance)[-1], name)


def on_the_host(folder: Path, job: str) -> float:
    """The same by hand, on the file system of the work folder."""
    with tempfile.TemporaryDirectory(dir=folder) as data:
        command = ["fio", "--output-format=json", *map(str, _files(job))]
        done = subprocess.run(command, cwd=data, capture_output=True, text=True, check=True, timeout=120)
    return _by_hand(done.stdout, job)


def in_a_container(image: str, job: str) -> float:
    """The same by `docker run`."""
    layout, file = _files(job)
    mounts = ["-v", f"{layout}:/tmp/layout.fio:ro", "-v", f"{file}:/tmp/job.fio:ro"]
    fio = ["/usr/bin/fio", "--output-format=json", "/tmp/layout.fio", "/tmp/job.fio"]
    command = ["docker", "run", "--rm", "--workdir=/data", *mounts, image, *fio]
    return _by_hand(subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout, job)


def in_a_guest(folder: Path, job: str) -> float:
    """The same in a QEMU that is started by hand."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        here = Path(name)
        disk, said = here / "disk", here / "said"
        subprocess.run(["cp", "--sparse=always", str(disk_image()), str(disk)], check=True)
        kernel = ["-kernel", str(guest_kernel().image), "-initrd", str(_initramfs(here, job))]
        machine = [
            "-machine",
            "q35,accel=tcg",
            "-m",
            "192",
            "-smp",
            "1",
            "-nodefaults",
            "-display",
            "none",
            "-no-reboot",
        ]
        serial = ["-serial", f"file:{said}", "-serial", "null", "-append", "console=ttyS1 quiet panic=-1"]
        drive = f"file={disk},format=raw,if=none,id=disk,cache=none,aio=native"
        command = ["qemu-system-x86_64", *machine, *kernel, *serial, "-drive", drive]
        subprocess.run([*command, "-device", "virtio-blk-pci,drive=disk"], check=True, timeout=120, capture_output=True)
        return _by_hand(said.read_text(), job)


def _initramfs(here: Path, job: str) -> Path:
    """busybox, the modules as modprobe lists them, and the job files."""
    root = here / "root"
    for name in ("bin", "dev", "proc", "sys", "mnt", "modules", "jobs"):
        (root / name).mkdir(parents=True)
    shutil.copy(str(find("busybox")), root / "bin/busybox")
    for applet in ("sh", "mount", "insmod", "sleep", "cp", "cat", "chroot", "poweroff"):
        (root / "bin" / applet).symlink_to("busybox")
    (root / "init").write_text(_INIT)
    (root / "init").chmod(0o755)
    for file, name in zip(_files(job), ("layout.fio", "job.fio"), strict=True):
        shutil.copy(file, root / "jobs" / name)
    kernel = guest_kernel()
    command = ["modprobe", "-D", "-S", kernel.version, "-d", str(kernel.modules.parents[2]), "-a", *_GUEST_MODULES]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    (root / "modules/list").write_text(listed)
    for line in listed.splitlines():
        if line.startswith("insmod"):
            shutil.copy(line.split()[1], root / "modules")
    paths = "\n".join(str(path.relative_to(root)) for path in root.rglob("*"))
    with (here / "initramfs").open("wb") as archive:
        pack = ["cpio", "-o", "-H", "newc", "--quiet"]
        subprocess.run(pack, input=paths.encode(), cwd=root, check=True, stdout=archive)
    return here / "initramfs"


def _files(job: str) -> tuple[Path, Path]:
    file = Path(FOLDER, f"{job}.fio")
    return file.with_name("layout.fio"), file


def _by_hand(said: str, job: str) -> float:
    """Nanoseconds from the last of the documents that fio wrote."""
    document: dict[str, object] = {}
    at = said.find("{")
    while at >= 0:
        document, length = json.JSONDecoder().raw_decode(said[at:])
        at = said.find("{", at + length)
    return _nanoseconds(document, job.split("/")[1])


def _nanoseconds(document: dict[str, object], name: str) -> float:
    """Run time divided by the number of operations, of reads or writes: computed in another way than in
    scenarios/_fio.py, but the same quantity."""
    (job,) = (job for job in document["jobs"] if job["jobname"] == name)  # type: ignore[attr-defined]
    side = max((job["read"], job["write"]), key=lambda one: one["total_ios"])
    return float(side["runtime"]) * 1e6 / float(side["total_ios"])


@contextmanager
def _opened(name: str) -> Iterator[tuple[Sandbox, Path]]:
    with workspace(new_run_id(), catalog.sweep) as run:
        workdir = run / name
        workdir.mkdir(mode=0o711)
        with catalog.environments()[name].open(workdir) as sandbox:
            yield sandbox, workdir


def _image(run: str) -> str:
    command = ["docker", "images", "--filter", f"label=isobench.run={run}", "--format", "{{.Repository}}:{{.Tag}}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[0]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--guest-rounds", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    if host_fio().why_not:
        print("fio is not installed: apt-get install fio")
        return 0
    apart = 0
    with ExitStack() as stack:
        pairs: dict[str, tuple[Callable[[], float], Callable[[], float]]] = {}
        sandbox, workdir = stack.enter_context(_opened("process"))
        for job in JOBS:
            pairs[f"process {job.split('/')[1]}"] = (partial(ours, sandbox, job), partial(on_the_host, workdir, job))
        if find("docker") and "DOCKER_HOST" in os.environ:
            sandbox, workdir = stack.enter_context(_opened("docker"))
            image = _image(workdir.parent.name)
            for job in JOBS:
                pairs[f"docker {job.split('/')[1]}"] = (
                    partial(ours, sandbox, job),
                    partial(in_a_container, image, job),
                )
        apart += show(compare(pairs, arguments.rounds, arguments.seed), arguments.rounds)
    missing = [tool for tool in ("busybox", "cpio", "modprobe", "qemu-system-x86_64") if not find(tool)]
    if missing:
        print(f"no guest by hand: {', '.join(missing)} missing")
        return 1 if apart else 0
    with _opened("tcg") as (sandbox, workdir):
        guests = {
            f"tcg {job.split('/')[1]}": (partial(ours, sandbox, job), partial(in_a_guest, workdir, job))
            for job in GUEST_JOBS
        }
        apart += show(compare(guests, arguments.guest_rounds, arguments.seed), arguments.guest_rounds)
    return 1 if apart else 0


if __name__ == "__main__":
    raise SystemExit(main())
