"""A host that lacks something, and folders with odd names."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from isobench.host import machine
from verification.faults.place import ISOBENCH, ROOT, Line, Tally

if TYPE_CHECKING:
    from verification.faults.place import Place

NOBODY = 65534
LADDER = "process,chroot,ns-all,ns-all-user,handmade,docker,tcg-null,kvm-null"


def privileges(place: Place) -> Line:
    """Another user, without HOME; no /dev/kvm; an engine that may not be used."""
    tally = Tally(place)
    folder = place.folder / "nobody"
    for name in ("state", "work", "cache", "tmp"):
        (folder / name).mkdir(parents=True)
    for path in (folder, *folder.iterdir()):
        os.chown(path, NOBODY, NOBODY)
    places = {f"ISOBENCH_{name.upper()}": str(folder / name) for name in ("state", "work", "cache")}
    plain = {k: v for k, v in place.environ.items() if k not in ("HOME", "XDG_RUNTIME_DIR")}
    words = ["run", "-e", LADDER, "-s", "startup", "--no-report", "--blocks", "2"]
    nobody = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    before = place.before()
    code, said = _run(place, [*nobody, *ISOBENCH, *words], folder, {**plain, **places, "TMPDIR": str(folder / "tmp")})
    wanted = (
        "skipped chroot, ns-all, handmade: needs root",
        "docker: no permission",
        "tcg-null: no libvirt answers",
    )
    lacking = [w for w in wanted if w not in said]
    tally.add(
        "" if code in (0, 5) and not lacking else f"as nobody: {code}, not said: {lacking}: {said[-600:]}", before
    )
    before = place.before()
    code, said = _run(
        place, [*nobody, *ISOBENCH, *words], folder, plain | {"ISOBENCH_STATE": "", "ISOBENCH_WORK": "/var/tmp"}
    )
    tally.add(_one_line(code, said, "nobody without a place"), before)
    before = place.before()
    hide = "mount -t tmpfs dev /mnt && for n in null zero full random urandom; do "
    hide += "touch /mnt/$n; mount --bind /dev/$n /mnt/$n; done; "
    hide += 'mount --move /mnt /dev && exec "$@"'
    inside = ["unshare", "--mount", "sh", "-c", hide, "sh", *ISOBENCH, "run", "-e", "process,kvm-null", "-s", "startup"]
    code, said = _run(place, [*inside, "--no-report", "--blocks", "2"], place.folder, place.environ)
    tally.add(
        "" if code in (0, 5) and "there is no /dev/kvm" in said else f"no /dev/kvm: {code}: {said[-300:]}", before
    )
    before = place.before()
    code, said = place.call(
        "run",
        "-e",
        "process,docker",
        "-s",
        "startup",
        "--no-report",
        "--blocks",
        "2",
        DOCKER_HOST="unix:///nowhere.sock",
    )
    tally.add(
        "" if code in (0, 5) and "no Docker engine answers" in said else f"no engine: {code}: {said[-300:]}", before
    )
    shutil.rmtree(folder)
    return tally.line(
        "no root, no /dev/kvm, Docker without permission",
        "each environment names what is missing; the rest is measured",
    )


def paths(place: Place) -> Line:
    """Links, spaces, letters beyond ASCII, commas and colons; a read-only checkout; HOME and TMPDIR."""
    tally = Tally(place)
    real = place.folder / "work" / "wörk, a:b 'c' \"d\""
    real.mkdir()
    link = place.folder / "work" / "link"
    link.symlink_to(real, target_is_directory=True)
    out = str(place.folder / "tmp" / "ergebnisse ü, :")
    everything = (
        "run",
        "-e",
        "process,chroot,pivot-root,handmade,docker,tcg-null,tcg,runc,bubblewrap",
        "-s",
        "startup,io",
    )
    before = place.before()
    code, said = place.call(*everything, "--no-report", "--blocks", "1", "--out", out, ISOBENCH_WORK=str(link / "."))
    shutil.rmtree(out, ignore_errors=True)
    skipped = [line for line in said.splitlines() if "skipped" in line]
    tally.add("" if code in (0, 5) and not skipped else f"odd names: {code}: {skipped or said[-500:]}", before)
    link.unlink()
    real.rmdir()

    short = ["run", "-e", "process,handmade", "-s", "startup", "--blocks", "6"]
    mounted = f'mount --bind {ROOT} {ROOT} && mount -o remount,ro,bind {ROOT} {ROOT} && cd {ROOT} && exec "$@"'
    inside = ["unshare", "--mount", "sh", "-c", mounted, "sh", *ISOBENCH]
    before = place.before()
    code, said = _run(place, [*inside, *short], place.folder, place.environ)
    tally.add(
        "" if code == 2 and "cannot write results" in said else f"read-only checkout: {code}: {said[-300:]}", before
    )
    elsewhere = ["--out", str(place.folder / "results"), "--reports", str(place.folder / "reports")]
    code, said = _run(place, [*inside, *short, *elsewhere], place.folder, place.environ)
    tally.add("" if code in (0, 5) else f"read-only checkout, other folders: {code}: {said[-300:]}", before)

    homeless = {k: v for k, v in place.environ.items() if k != "HOME"}
    code, said = _run(place, [*ISOBENCH, *short], place.folder, homeless)
    tally.add("" if code in (0, 5) else f"HOME unset: {code}: {said[-300:]}", before)

    for size in ("1m", "4k"):
        tiny = place.folder / "tiny"
        tiny.mkdir()
        cache = place.folder / "cache-tiny"
        fill = f"mount -t tmpfs -o size={size} tmpfs '{tiny}' && head -c 3500 /dev/zero > '{tiny}/full'; exec \"$@\""
        environ = {**place.environ, "TMPDIR": str(tiny), "ISOBENCH_CACHE": str(cache)}
        code, said = _run(
            place, ["unshare", "--mount", "sh", "-c", fill, "sh", *ISOBENCH, *short], place.folder, environ
        )
        shutil.rmtree(cache, ignore_errors=True)
        tiny.rmdir()
        tally.add("" if code in (0, 5) else _one_line(code, said, f"TMPDIR of {size}"), before)
    return tally.line("odd paths, read-only checkout, HOME unset, TMPDIR full", "works, or a one-line error")


def layouts(place: Place) -> Line:
    """This host's cgroup layout and security modules, with which every environment passes or gives a reason."""
    tally, before = Tally(place), place.before()
    code, said = place.call("doctor", "--json", "-e", "ladder,containers,vms", "--timeout", "20", timeout=400)
    findings = json.loads(said[said.index('{\n "schema"') :])["findings"]
    silent = [f["name"] for f in findings if f["outcome"] in ("FAIL", "SKIP") and not f["reason"]]
    tally.add("" if code in (0, 5) and not silent else f"doctor: {code}, without a reason: {silent}", before)
    security = Path("/sys/kernel/security/lsm")
    modules = security.read_text().strip() if security.exists() else "none to be seen"
    counts = [sum(f["kind"] == "environment" and f["outcome"] == o for f in findings) for o in ("PASS", "SKIP", "FAIL")]
    passed = f"{counts[0]} environments pass, {counts[1]} are skipped, {counts[2]} fail, each with its reason"
    note = f"here: cgroup {machine.cgroup_layout()}, security modules: {modules}; {passed}"
    return tally.line("cgroup v1, hybrid, v2; SELinux, AppArmor", note)


def _run(place: Place, command: list[str], folder: Path, environ: dict[str, str]) -> tuple[int, str]:
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=300, check=False)
    return done.returncode, done.stdout + done.stderr


def _one_line(code: int, said: str, what: str) -> str:
    """It works, or ends with one clear line."""
    clear = code in (0, 2, 5) and "Traceback" not in said and "internal error" not in said
    return "" if clear else f"{what}: {code}: {said[-300:]}"
