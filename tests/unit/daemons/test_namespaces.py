"""A network namespace is gone only when nothing holds it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from isobench.daemons import namespaces, network

pytestmark = [pytest.mark.root, pytest.mark.tool("unshare")]

SCAN = """
import os, subprocess
from isobench.daemons import namespaces

def entered(*words):
    process = subprocess.Popen(["unshare", "--net", "sh", "-c", "echo; exec sleep 60"], stdout=subprocess.PIPE)
    process.stdout.readline()
    return process, os.stat(f"/proc/{process.pid}/ns/net").st_ino

def end(process):
    process.kill()
    process.wait()

(one, in_it), (two, opened), (three, mounted) = entered(), entered(), entered()
held = os.open(f"/proc/{two.pid}/ns/net", os.O_RDONLY)
subprocess.run(["mount", "-t", "tmpfs", "none", "/mnt"], check=True)
open("/mnt/held", "w").close()
subprocess.run(["mount", "--bind", f"/proc/{three.pid}/ns/net", "/mnt/held"], check=True)
end(two), end(three)
assert {in_it, opened, mounted} <= namespaces._scanned()
end(one), os.close(held)
assert not {in_it, opened} & namespaces._scanned() and mounted in namespaces._scanned()
assert namespaces._living() is None  # there are other pid namespaces
"""


def _python(code: str, *options: str) -> subprocess.Popen[str]:
    command = ["unshare", *options, sys.executable, "-c", code]
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ)


def test_what_holds_one() -> None:
    """A process, a descriptor, a mount; and who does not see all processes knows nothing."""
    with _python(SCAN, "--mount", "--pid", "--fork", "--mount-proc") as process:
        process.communicate()
    assert process.returncode == 0


def test_no_two_have_the_same_cookie_or_handle() -> None:
    """Where the kernel has them."""
    code = "from isobench.daemons import namespaces as n; print(n.cookie(), n.handle())"
    told = [_python(code, "--net").communicate()[0] for _ in range(3)]
    if not namespaces.cookie():
        pytest.skip("before Linux 5.14")
    assert len({*told, f"{namespaces.cookie()} {namespaces.handle()}\n"}) == 4
    assert all(bool(line.split()[1:]) == bool(namespaces.handle()) for line in told)


def test_what_is_written_down_of_a_dead_one_is_removed(tmp_path: Path) -> None:
    """By the boot, by the namespace; not of a living one, what cannot be read, or other files."""
    code = "import sys; from pathlib import Path; from isobench.daemons import network as n; "
    code += f"n.keep(Path({str(tmp_path)!r})); print('kept', flush=True); sys.stdin.read()"
    with _python(code, "--net") as living, _python(code, "--net") as dying:
        for process in (living, dying):
            assert process.stdout is not None and process.stdout.readline() == "kept\n"
        dead = tmp_path / f"network-{Path(f'/proc/{dying.pid}/ns/net').stat().st_ino}.json"
        kept = tmp_path / f"network-{Path(f'/proc/{living.pid}/ns/net').stat().st_ino}.json"
        earlier = tmp_path / "network-1.json"
        earlier.write_text(json.dumps({**json.loads(kept.read_bytes()), "boot": "another"}))
        others = [tmp_path / name for name in ("network-2.json", "network-x.json", "network-3.json.bak")]
        for other in others:
            other.write_text("{")
        assert network.forget_dead(tmp_path) == [str(earlier)]
        dying.kill()
        dying.wait()
        if namespaces.handle():
            handle, deadline = json.loads(dead.read_bytes())["handle"], time.monotonic() + 60
            while not namespaces.is_gone(0, handle) and time.monotonic() < deadline:  # the kernel frees it later
                time.sleep(0.05)
            assert network.forget_dead(tmp_path, dry_run=True) == [str(dead)] and dead.exists()
            assert network.forget_dead(tmp_path) == [str(dead)] and not dead.exists()
        assert network.forget_dead(tmp_path) == [] and kept.exists() and all(other.exists() for other in others)
        living.communicate()


def test_what_another_namespace_of_the_same_inode_had_is_not_put_back(tmp_path: Path) -> None:
    """The kernel gives inodes again: what is written down there would undo what somebody else did here."""
    if not namespaces.cookie():
        pytest.skip("before Linux 5.14")
    os.close(network.keep(tmp_path))
    (file,) = tmp_path.glob("network-*.json")
    kept = json.loads(file.read_bytes())
    settings = {"net/ipv4/no_such_setting": "1"}
    file.write_text(json.dumps({**kept, "namespace": kept["namespace"] + 1, "rules": None, "settings": settings}))
    assert network.put_back(tmp_path) is None and not file.exists()
