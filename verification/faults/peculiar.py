"""Peculiar hosts: if something small is missing, only what needs it is unavailable."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from verification.faults.place import Line, Tally

if TYPE_CHECKING:
    from collections.abc import Callable

    from verification.faults.place import Place

RUNGS = "process,chroot,ns-all,ns-time,handmade,docker-nonet,tcg-null"


class Host(NamedTuple):
    """One peculiarity: words before the command, additions to its environment, and the expected outcome."""

    name: str
    before: tuple[str, ...] = ()
    environ: dict[str, str] = {}  # noqa: RUF012 (nobody changes it)
    lost: frozenset[str] = frozenset()
    """The environments that may not pass, each with a reason."""
    says: str = ""
    """Text that the output must contain."""


def peculiarities(place: Place) -> Line:
    """`doctor` on each of them; and provisioning if apt would remove something, or is broken."""
    tally = Tally(place)
    for host in _hosts(place):
        before = place.before()
        tally.add(_wrong(place, host), before)
    for wrong in (_conflict, _broken_apt, _kernel_elsewhere):
        before = place.before()
        tally.add(wrong(place), before)
    return tally.line(
        "peculiar hosts: clone3 refused, fio static or a script, CC with options, PATH without sbin, a tool in another "
        "encoding, apt that would remove or is broken, a kernel elsewhere",
        "what needs it reports the reason, the rest is measured",
    )


def _hosts(place: Place) -> list[Host]:
    shim = place.folder / "shim"
    shim.mkdir(exist_ok=True)
    path = os.environ["PATH"]
    scripts = {
        "podman": "printf 'podman 4 \\251\\n'",
        "ccache": 'exec "$@"',
        "wrapped/fio": f'exec {shutil.which("fio") or "/usr/bin/fio"} "$@"',
        "nothing/fio": "exit 1",
    }
    for name, text in scripts.items():
        (shim / name).parent.mkdir(exist_ok=True)
        (shim / name).write_text(f"#!/bin/sh\n{text}\n")
        (shim / name).chmod(0o755)
    (shim / "static").mkdir(exist_ok=True)
    source = b'#include <stdio.h>\nint main(void) { puts("fio-3.39"); return 0; }\n'
    words = ["cc", "-static", "-x", "c", "-", "-o", str(shim / "static/fio")]
    subprocess.run(words, input=source, check=True)
    own = {"ISOBENCH_CACHE": str(place.folder / "cache")}
    filtered = (sys.executable, "-m", "verification.faults.filtered")
    return [
        Host("clone3 unknown", (*filtered, "ENOSYS", "clone3"), lost=frozenset({"ns-time"}), says="wants clone3"),
        Host("unshare and setns forbidden", (*filtered, "ENOSYS", "unshare,setns")),
        Host("fio static", environ={**own, "PATH": f"{shim}/static:{path}"}),
        Host("fio a script", environ={**own, "PATH": f"{shim}/wrapped:{path}"}),
        Host("fio that does not run", environ={**own, "PATH": f"{shim}/nothing:{path}"}),
        Host("CC with options", environ={**own, "CC": f"{shim}/ccache gcc -g0", "CFLAGS": "-no-such-option"}),
        Host("PATH without sbin", environ={"PATH": _without_sbin(path)}),
        Host("a tool in another encoding", environ={"PATH": f"{shim}:{path}"}, says="podman 4 "),
    ]


def _wrong(place: Place, host: Host) -> str:
    """What is wrong with the output of `doctor` there, or nothing."""
    environ = {**place.environ, **host.environ}
    command = [*host.before, sys.executable, "-m", "isobench", "doctor", "--json", "-e", RUNGS]
    done = subprocess.run(
        command, cwd=place.folder, env=environ, capture_output=True, errors="replace", timeout=400, check=False
    )
    if "cache" in environ.get("ISOBENCH_CACHE", ""):
        shutil.rmtree(place.folder / "cache", ignore_errors=True)
    if done.returncode != 0 or not done.stdout.startswith("{"):
        return f"{host.name}: {done.returncode}: {(done.stderr or done.stdout)[-300:]}"
    found = json.loads(done.stdout)["findings"]
    lost = {f["name"]: f["reason"] for f in found if f["kind"] == "environment" and f["outcome"] != "PASS"}
    told = " ".join(f["reason"] for f in found)
    if lost.keys() - host.lost or "" in lost.values() or host.says not in told or "itself" in " ".join(lost.values()):
        return f"{host.name}: lost {lost}"
    return ""


def _without_sbin(path: str) -> str:
    return ":".join(folder for folder in path.split(":") if not folder.endswith("sbin"))


def _conflict(place: Place) -> str:
    """A host without docker.io and with what it would remove, as apt sees it; iptables and Docker are hidden."""
    shown = _said("apt-cache", "show", "podman-docker").split("\n\n")[0]
    if not shown.startswith("Package:"):
        return ""  # another release, whose apt does not know it
    kept = ("Package", "Version", "Architecture", "Maintainer", "Depends", "Conflicts", "Description", "Installed-Size")
    first, *lines = [line for line in shown.splitlines() if line.startswith(tuple(f"{word}:" for word in kept))]
    status = Path("/var/lib/dpkg/status").read_text(errors="replace").split("\n\n")
    status = [text for text in status if not text.startswith(("Package: docker.io\n", "Package: podman-docker\n"))]
    status.append("\n".join([first, "Status: install ok installed", *lines]) + "\n")
    (place.folder / "status").write_text("\n\n".join(status))
    (place.folder / "apt.conf").write_text(f'Dir::State::status "{place.folder}/status";\n')
    hide = 'for one in $(command -v dockerd); do mount --bind /dev/null "$one"; done; exec "$@"'
    inside = ["unshare", "--mount", "sh", "-c", hide, "sh", sys.executable, "-m", "isobench", "provision", "--dry-run"]
    environ = {**place.environ, "APT_CONFIG": str(place.folder / "apt.conf")}
    done = subprocess.run(
        inside, cwd=place.folder, env=environ, capture_output=True, errors="replace", timeout=300, check=False
    )
    right = done.returncode == 1 and "not docker.io: apt would remove podman-docker" in done.stderr
    return "" if right else f"apt would remove: {done.returncode}: {done.stderr[-300:]}"


def _broken_apt(place: Place) -> str:
    """An apt that cannot read its lists: a dry run still asks it, and changes nothing."""
    folder = place.folder / "broken"
    folder.mkdir()
    called = folder / "called"
    (folder / "apt-get").write_text(f'#!/bin/sh\necho "$*" >> {called}\necho "E: broken" >&2\nexit 100\n')
    (folder / "apt-get").chmod(0o755)
    code, said = place.call("provision", "--dry-run", PATH=f"{folder}:{os.environ['PATH']}")
    changed = [line for line in called.read_text().splitlines() if "--simulate" not in line] if called.exists() else []
    shutil.rmtree(folder)
    return "" if code in (0, 1) and not changed else f"broken apt: {code}, {changed}: {said[-300:]}"


def _kernel_elsewhere(place: Place) -> str:
    """The running kernel's image is next to its modules: nothing is downloaded, and provisioning completes."""
    modules = f"/lib/modules/{platform.release()}"
    lay = f"mkdir -p /lib/modules; mount -t tmpfs t /lib/modules; mkdir {modules}; : > {modules}/modules.dep; "
    lay += f'echo kernel > {modules}/vmlinuz; exec "$@"'
    inside = ["unshare", "--mount", "sh", "-c", lay, "sh", sys.executable, "-m", "isobench", "provision", "--dry-run"]
    environ = {**place.environ, "ISOBENCH_CACHE": str(place.folder / "cache")}
    done = subprocess.run(
        inside, cwd=place.folder, env=environ, capture_output=True, errors="replace", timeout=300, check=False
    )
    shutil.rmtree(place.folder / "cache", ignore_errors=True)
    return (
        "" if done.returncode in (0, 1) and "kernel" not in done.stderr else f"kernel elsewhere: {done.stderr[-300:]}"
    )


def _said(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, errors="replace", check=False) if shutil.which(words[0]) else None
    return done.stdout if done is not None else ""


ROWS: dict[str, Callable[[Place], Line]] = {"peculiar": peculiarities}
