"""The counting of leaks counts: one of each kind is planted, by the tools themselves, and found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from isobench.core import deadlines
from isobench.lifecycle.workspace import new_run_id
from isobench.probe.build import probe_path
from verification.faults import apart, leaks

pytestmark = pytest.mark.root

ROOT = Path(__file__).parents[2]

PLANTED = {
    "process": "sleep 600 &",
    "namespace": "unshare --uts sleep 600 &",
    "mount": "mkdir $PLACE/m && mount -t tmpfs x $PLACE/m",
    "cgroup": "cd /sys/fs/cgroup; cd pids 2>/dev/null || true; mkdir -p anything/below",
    "interface": "ip link add anything type bridge",
    "route": "ip route add blackhole 10.9.9.0/24",
    "rule": "ip rule add from 10.9.9.9 lookup main",
    "sysctl": "cd /proc/sys/net/ipv4; echo $((1 - $(cat ip_forward))) > ip_forward",
    "ipc": "ipcmk -M 4096",
    "file": "touch /run/anything /dev/shm/anything $(ls -d /etc/apparmor.d || echo /run)/anything $PLACE/work/anything",
    "socket": f"{sys.executable} -c 'import socket, time; s = socket.socket(socket.AF_UNIX); s.bind(chr(0) + "
    '"anything"); s.listen(); time.sleep(600)\' &',
}
"""Kind -> what makes one, in a shell of the counted host."""
COUNT = """
import json, os, subprocess, sys, time
from pathlib import Path
from verification.faults import leaks
folder = Path(sys.argv[1])
where = leaks.Where(folder, "", "")
os.environ["PLACE"] = str(folder)
subprocess.run("mount -t tmpfs x /etc/apparmor.d", shell=True, check=os.path.isdir("/etc/apparmor.d"))
before = leaks.take(where)
found = {"nothing": leaks.left(where, before, 0)}
for kind, words in json.loads(sys.argv[2]).items():
    before = leaks.take(where)
    subprocess.run(words, shell=True, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while True:  # what was started in the background takes its time
        found[kind] = leaks.left(where, before, 0)
        if any(leak.startswith(kind + " ") for leak in found[kind]) or time.monotonic() > until:
            break
        time.sleep(0.1)
print("found", json.dumps(found))
"""


@pytest.mark.tool("ipcmk")
def test_one_of_each_kind(tmp_path: Path) -> None:
    """On a host of its own, where nothing else happens: exactly what was planted."""
    (tmp_path / "work").mkdir()
    name = f"isobench-test-{new_run_id()}"
    counting = [sys.executable, "-c", COUNT, str(tmp_path), json.dumps(PLANTED)]
    adopting = [str(probe_path()), "init", *counting]  # a process whose parent is the counter would be its helper
    words = apart.words_apart(name, adopting)
    try:
        done = subprocess.run(
            words, cwd=ROOT, capture_output=True, text=True, timeout=deadlines.stretched(300), check=False
        )
    finally:
        apart.remove(name)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.partition("found ")[2])
    assert found.pop("nothing") == []
    for kind, more in found.items():
        assert [leak for leak in more if leak.startswith(f"{kind} ")], f"{kind}: {more}"
    assert len(found["file"]) == 3 + Path("/etc/apparmor.d").is_dir()
    assert len(found["cgroup"]) == 2 and all("anything" in leak for leak in found["cgroup"])
    assert [folder for folder, names, _ in os.walk("/sys/fs/cgroup") if name in names] == []


@pytest.mark.docker
def test_what_engines_hold(tmp_path: Path) -> None:
    """Containers, images, volumes, networks: others may make some meanwhile, ours are among what is new."""
    where = leaks.Where(tmp_path, os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock"), "")
    before = leaks.take(where)
    name = f"isobench-test-{time.time_ns()}"
    made = (
        f"tar cf - --files-from /dev/null | docker import - {name}",
        f"docker create --name {name} {name} /none",
        f"docker volume create {name}",
        f"docker network create --internal {name}",
    )
    try:
        for words in made:
            subprocess.run(words, shell=True, check=True, capture_output=True)
        more = leaks.left(where, before, 0)
    finally:
        for words in ("rm -f", "volume rm -f", "network rm", "rmi -f"):
            subprocess.run([*("docker", *words.split()), name], check=False, capture_output=True)
    assert f"volume {name}" in more and f"network {name}"[:28] in more
    assert {"container", "image"} <= {leak.split()[0] for leak in more}


def test_what_is_ignored(tmp_path: Path) -> None:
    """Where others are at work, what they make can be told; by whole lines, so that no other is covered."""
    (tmp_path / "work").mkdir()
    where = leaks.Where(tmp_path, "", "", (rf"file {tmp_path}/work/theirs", rf"(?!file {tmp_path}/).*"))
    before = leaks.take(where)
    (tmp_path / "work/theirs").touch()
    (tmp_path / "work/theirs-not").touch()
    assert leaks.left(where, before, 0) == [f"file {tmp_path}/work/theirs-not"]
