"""A quota of 20 % of a CPU, limits of writes and reads (4 MiB/s), of writes (50 a second) and of 4 MiB/s that are
received, set by hand, against `limit-cpu`, `limit-disk`, `limit-operations` and `limit-network`.

By hand means a shell that makes a cgroup, writes the limit into its file, joins it and runs a loop or dd. For the
network it is tc's tbf on a veth pair, over which Python sends to Python, and for Docker `docker run --cpus 0.2`. CPU
time is read from the cgroup's own file (cpuacct.usage, usage_usec of cpu.stat), not from a process's clock. The two
sides take turns. Exits with 1 if an interval lies entirely outside the band.
"""

from __future__ import annotations

import argparse
import re
import secrets
import socket
import subprocess
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from isobench.core.errors import Unavailable
from isobench.environments.docker._client import LABEL
from isobench.lifecycle.workspace import new_run_id, workspace
from isobench.planning import catalog
from isobench.processes.accounting import controller_folder, text_of
from isobench.resources.disks import disk_beneath
from isobench.scenarios import limit_network, limits
from verification.crosscheck._docker import docker, image_by_hand
from verification.crosscheck.floor import median_interval

if TYPE_CHECKING:
    from collections.abc import Callable

    from isobench.contracts.environment import Sandbox

ROOT = Path("/sys/fs/cgroup")
IS_VERSION_2 = (ROOT / "cgroup.controllers").exists()
BAND = 0.05
SECONDS = 2.0
MEBIBYTES = 8
_LOOP = "while :; do :; done"
_JOIN = 'for folder in "$@"; do echo $$ > "$folder/cgroup.procs"; done'


def usage(folder: Path) -> float:
    """CPU seconds according to the cgroup's own file."""
    if IS_VERSION_2:
        found = re.search(r"^usage_usec (\d+)$", text_of(folder / "cpu.stat"), re.MULTILINE)
        return int(found[1]) / 1e6 if found else 0.0
    return int(text_of(folder / "cpuacct.usage")) / 1e9


def share(folder: Path) -> float:
    """CPU seconds per second of the cgroup with this folder."""
    before, began = usage(folder), time.monotonic()
    time.sleep(SECONDS)
    after, ended = usage(folder), time.monotonic()
    return (after - before) / (ended - began)


def cgroup(run: str, *controllers: str) -> list[Path]:
    """A cgroup below the run's own, which is removed with it: one folder with version 2, one per hierarchy with
    version 1, where systemd mounts cpu and cpuacct together."""
    roots = [ROOT] if IS_VERSION_2 else dict.fromkeys((ROOT / controller).resolve() for controller in controllers)
    folders = [root / run / "by-hand" for root in roots]
    for folder in folders:
        folder.mkdir(parents=True)
    return folders


def loop_by_hand(run: str) -> float:
    """The share of a CPU that a shell's loop has in a cgroup with a quota of 20 %."""
    cpu, *others = folders = cgroup(run, "cpu", "cpuacct")
    try:
        if IS_VERSION_2:
            (cpu / "cpu.max").write_text("20000 100000")
        else:
            (cpu / "cpu.cfs_quota_us").write_text("20000")
        with subprocess.Popen(["sh", "-c", f"{_JOIN}; {_LOOP}", "sh", *map(str, folders)]) as shell:
            time.sleep(0.3)
            try:
                return share([cpu, *others][-1])
            finally:
                shell.kill()
    finally:
        remove(folders)


def dd_by_hand(run: str, workdir: Path, limit: str, size: str, count: int) -> float:
    """Seconds per piece of `size` that dd writes or reads directly in a cgroup with this limit ("wbps=4194304")."""
    folders = cgroup(run, "blkio")
    number, file = disk_beneath(workdir).number, workdir / "dd"
    way, what, rate = ("write" if limit[0] == "w" else "read"), *limit[1:].split("=")
    name, value = ("io.max", limit) if IS_VERSION_2 else (f"blkio.throttle.{way}_{what}_device", rate)
    ends = {"write": f"if=/dev/zero of={file} oflag=direct", "read": f"if={file} of=/dev/null iflag=direct"}
    written = ["dd", "if=/dev/zero", f"of={file}", f"bs={size}", f"count={count}", "oflag=direct"]
    try:
        if way == "read":
            subprocess.run(written, check=True, capture_output=True)
        (folders[0] / name).write_text(f"{number} {value}")
        dd = f"exec dd {ends[way]} bs={size} count={count}"
        began = time.monotonic()
        words = ["sh", "-c", f"{_JOIN}; {dd}", "sh", *map(str, folders)]
        subprocess.run(words, check=True, capture_output=True)
        return (time.monotonic() - began) / count
    finally:
        file.unlink(missing_ok=True)
        remove(folders)


_RECEIVES = """
import socket
with socket.create_server(("10.214.0.2", 7)) as server:
    print("ready", flush=True)
    connection, _ = server.accept()
    while connection.recv(1 << 16):
        pass
    connection.send(b"k")
"""


_BY_HAND = ("burst", "32kb", "latency", "50ms")


def tbf_by_hand() -> float:
    """Seconds per MiB that a socket sends to a process in a network namespace, over a veth pair with a tbf made by
    hand."""
    name, there = f"byhand{secrets.token_hex(3)}", "10.214.0"
    with subprocess.Popen(["unshare", "--net", "sleep", "60"]) as holder:
        inside = ["nsenter", f"--net=/proc/{holder.pid}/ns/net"]
        try:
            while text_of(f"/proc/{holder.pid}/comm") != "sleep":
                time.sleep(0.01)
            for words in (
                ["ip", "link", "add", name, "type", "veth", "peer", "name", "inside", "netns", str(holder.pid)],
                ["ip", "address", "add", f"{there}.1/30", "dev", name],
                ["ip", "link", "set", name, "up"],
                [*inside, "ip", "address", "add", f"{there}.2/30", "dev", "inside"],
                [*inside, "ip", "link", "set", "inside", "up"],
                ["tc", "qdisc", "add", "dev", name, "root", "tbf", "rate", "33554432bit", *_BY_HAND],
            ):
                subprocess.run(words, check=True)
            with subprocess.Popen([*inside, "python3", "-c", _RECEIVES], stdout=subprocess.PIPE) as server:
                assert server.stdout is not None and server.stdout.readline() == b"ready\n"
                with socket.create_connection((f"{there}.2", 7)) as connection:
                    began = time.monotonic()
                    connection.sendall(bytes(MEBIBYTES << 20))
                    connection.shutdown(socket.SHUT_WR)
                    connection.recv(1)
                    return (time.monotonic() - began) / MEBIBYTES
        finally:
            subprocess.run(["ip", "link", "delete", name], capture_output=True)
            holder.kill()


def remove(folders: list[Path]) -> None:
    """Remove the folders of a cgroup as soon as no process is in it any more."""
    for folder in folders:
        for _ in range(100):
            try:
                folder.rmdir()
                break
            except OSError:
                time.sleep(0.02)


def docker_by_hand(image: str, run: str) -> float:
    """The share of a CPU that fio's loop has in `docker run --cpus 0.2`, by its cgroup's own file."""
    name = f"{run}-by-hand-{secrets.token_hex(4)}"
    words = ["--detach", "--interactive", "--label", f"{LABEL}={run}", "--name", name, "--cpus", "0.2"]
    loop = ("--name=x", "--ioengine=cpuio", "--cpuload=100", "--time_based", "--runtime=60", "--thread")
    docker("run", *words, image, "/usr/bin/fio", *loop)
    try:
        pid = docker("inspect", "--format", "{{.State.Pid}}", name)
        folder = controller_folder(text_of(f"/proc/{pid}/cgroup"), "cpuacct", ROOT)
        assert folder is not None
        time.sleep(1.0)  # fio measures the speed of its clock first
        return share(folder)
    finally:
        docker("rm", "--force", name)


def quota(sandbox: Sandbox) -> float:
    """The same share as the scenario takes it."""
    return limits.LimitCpu().measure(sandbox)["had-20"]


def writes(sandbox: Sandbox) -> float:
    """Seconds of a MiB as the scenario takes them."""
    return limits.LimitDisk().measure(sandbox)["direct-4"]


def reads(sandbox: Sandbox) -> float:
    """The same of a MiB that is read."""
    return limits.LimitDisk().measure(sandbox)["read-direct-4"]


def operations(sandbox: Sandbox) -> float:
    """Seconds of a write as the scenario takes them."""
    return limits.LimitOperations().measure(sandbox)["direct-50"]


def network(sandbox: Sandbox) -> float:
    """Seconds of a MiB as the scenario takes them."""
    return limit_network.LimitNetwork().measure(sandbox)["received-4"]


def compare(what: str, ours: Callable[[], float], theirs: Callable[[], float], rounds: int) -> bool:
    """Measure both sides in turns, print them and their ratio over the rounds; returns whether they differ."""
    mine: list[float] = []
    other: list[float] = []
    for number in range(rounds):
        sides = [(mine, ours), (other, theirs)]
        for values, side in sides if number % 2 else reversed(sides):
            values.append(side())
    middle, low, high = median_interval([one / two for one, two in zip(mine, other, strict=True)])
    ends = [f"{median_interval(values)[0]:.4f}" for values in (mine, other)]
    print(f"{what:32} ours {ends[0]} s, by hand {ends[1]} s, ratio {middle:.3f} [{low:.3f}, {high:.3f}]", flush=True)
    return low > 1 + BAND or high < 1 - BAND


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=12)
    rounds = parser.parse_args().rounds
    limits.QUOTAS = (20,)
    apart = []
    with workspace(new_run_id(), catalog.sweep) as workdir:
        run, name = workdir.name, "ns-all+cgroup"
        (workdir / name).mkdir(mode=0o711)
        with catalog.environments()[name].open(workdir / name) as sandbox:
            apart.append(compare("20 % of a CPU", partial(quota, sandbox), partial(loop_by_hand, run), rounds))
            by_dd = partial(dd_by_hand, run, workdir, "wbps=4194304", "1M", MEBIBYTES)
            apart.append(compare("a MiB written at 4 MiB/s", partial(writes, sandbox), by_dd, rounds))
            by_dd = partial(dd_by_hand, run, workdir, "rbps=4194304", "1M", MEBIBYTES)
            apart.append(compare("a MiB read at 4 MiB/s", partial(reads, sandbox), by_dd, rounds))
            by_dd = partial(dd_by_hand, run, workdir, "wiops=50", "4k", 100)
            apart.append(compare("a write at 50 a second", partial(operations, sandbox), by_dd, rounds))
            apart.append(compare("a MiB received at 4 MiB/s", partial(network, sandbox), tbf_by_hand, rounds))
        try:
            apart.append(_docker(workdir, rounds))
        except Unavailable as error:
            print(f"docker: {error.reason}")
    return int(any(apart))


def _docker(workdir: Path, rounds: int) -> bool:
    run, folder = workdir.name, workdir / "docker"
    folder.mkdir(mode=0o711)
    with catalog.environments()["docker"].open(folder) as sandbox, image_by_hand(run) as image:
        by_hand = partial(docker_by_hand, image, run)
        return compare("20 % of a CPU, docker run", partial(quota, sandbox), by_hand, rounds)


if __name__ == "__main__":
    raise SystemExit(main())
