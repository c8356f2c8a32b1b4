"""Virtual machines: what their domains differ in, and the stock Debian."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest

from isobench.contracts.launch import Launch, idle, working
from isobench.core.errors import Unavailable
from isobench.environments.libvirt import _sandbox
from isobench.environments.libvirt._connection import connect
from isobench.environments.libvirt._daemons import root_of_daemon
from isobench.environments.libvirt._leftovers import sweep
from isobench.environments.libvirt._traces import PROFILES, domain_uuid, log_folder
from isobench.environments.libvirt.guest import Guest
from isobench.filesystem.paths import RUN_PREFIX
from isobench.guests.kernel import guest_kernel
from isobench.lifecycle.workspace import new_run_id
from isobench.planning import catalog
from isobench.processes.accounting import pids_with
from isobench.resources.memory import process_memory
from tests.contract.opening import GUEST, inner, opened
from tests.contract.test_storage import JOB

pytestmark = pytest.mark.libvirt


@pytest.fixture(autouse=True)
def forget_which_guests_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another test may have waited for a guest in vain, which tells of all that boot like it; here none has to boot."""
    monkeypatch.setattr(_sandbox, "_heard", {})


KERNEL = {"os/kernel", "os/initrd", "os/cmdline"}
PAIRS = {
    ("tcg", "tcg-null"): KERNEL,
    ("kvm-null", "tcg-null"): {"@type"},
    ("kvm", "kvm-null"): KERNEL,
}
"""Rung and the one below -> the only places in the domain where they may differ."""


def _places(element: Xml.Element, path: str = "") -> dict[str, str]:
    """Every text and attribute of a document by where it is."""
    found = {f"{path}@{key}": text for key, text in element.attrib.items()}
    found[path] = element.text or ""
    for number, child in enumerate(element):
        same = [other for other in element if other.tag == child.tag]
        step = child.tag if len(same) == 1 else f"{child.tag}[{number}]"
        found |= _places(child, f"{path}/{step}".lstrip("/"))
    return found


@pytest.mark.parametrize(("upper", "lower"), PAIRS, ids=[upper for upper, _ in PAIRS])
def test_a_single_factor_is_one(upper: str, lower: str) -> None:
    """The domains of two rungs that claim one difference are the same but for that."""
    if "kvm" in upper and not Path("/dev/kvm").exists():
        pytest.skip("there is no /dev/kvm")
    rung = catalog.environments()[upper]
    assert rung.single_factor and rung.compared_with == lower
    with opened(upper) as here, opened(lower) as below:
        one, other = (_places(Xml.fromstring(sandbox.facts()["domain"])) for sandbox in (here, below))
    differing = {place for place in one.keys() | other.keys() if one.get(place) != other.get(place)}
    assert differing == PAIRS[upper, lower]


DRIVER = "devices/disk/driver"
STORAGE = {
    ("iouring", ""): {f"{DRIVER}@io"},
    ("writeback", "-iouring"): {f"{DRIVER}@cache"},
    ("qcow2", ""): {f"{DRIVER}@type"},
    ("scsi", ""): {"devices/disk/target@bus", "devices/disk/target@dev"},
    ("virtiofs", ""): {"os/cmdline"},
    ("9p", ""): {"os/cmdline"},
}
"""Storage path and the one it is compared with -> where the domains of guests with a disk differ in what both have."""

ADDED = {
    "scsi": [("devices", "controller[@type='scsi']")],
    "virtiofs": [("devices", "filesystem"), (".", "memoryBacking")],
    "9p": [("devices", "filesystem")],
}
"""Storage path -> what only the one of them has, by where it is."""


@pytest.mark.parametrize("kind", ["tcg", "kvm"])
@pytest.mark.parametrize(("suffix", "lower"), STORAGE, ids=[suffix for suffix, _ in STORAGE])
def test_a_storage_path_differs_in_itself(kind: str, suffix: str, lower: str, tmp_path: Path) -> None:
    """Nothing is launched: the domains as libvirt would be given them."""
    upper = catalog.environments()[f"{kind}-{suffix}"]
    assert upper.compared_with == f"{kind}{lower}"
    below = catalog.environments()[f"{kind}{lower}"]
    assert isinstance(upper, Guest) and isinstance(below, Guest)
    assert upper.single_factor == (suffix != "virtiofs")
    connection = connect()
    try:
        one, other = (
            Xml.fromstring(e.sandbox(connection, tmp_path / "isobench-x" / e.name).disk_domain())
            for e in (upper, below)
        )
    except Unavailable as error:  # Debian's cloud kernel has no 9p
        assert suffix == "9p" and "9p" in error.reason
        return
    finally:
        connection.close()
    for parent, child in ADDED.get(suffix, ()):
        holder = one.find(parent)
        assert holder is not None
        holder.remove(next(iter(holder.findall(child))))
    here, there = _places(one), _places(other)
    assert {place for place in here.keys() | there.keys() if here.get(place) != there.get(place)} == STORAGE[
        suffix, lower
    ]


@pytest.mark.root
def test_a_null_kernel_uses_none_of_the_guest_s_memory() -> None:
    """What its firmware uses is some MiB; QEMU itself takes 30 to 40."""
    with opened(f"{GUEST}-null") as sandbox, sandbox.launch(idle()) as instance:
        guest = inner(sandbox).memory_mib << 20
        assert process_memory(instance.host_pids()).pss < guest / 2


@pytest.mark.root
def test_a_guest_boots_nothing_that_the_host_boots() -> None:
    """A system's libvirt gives QEMU's user what a guest boots while it lives, and more than that if the host fails."""
    kernel = guest_kernel().image
    before = kernel.stat()
    with opened(GUEST) as sandbox:
        booted = Path(Xml.fromstring(sandbox.facts()["domain"]).findtext("os/kernel") or "")
        assert booted.is_file() and not booted.samefile(kernel)
        with sandbox.launch(idle()) as instance:
            during = kernel.stat()
            instance.wait()
    assert (during.st_uid, during.st_gid, during.st_mode) == (before.st_uid, before.st_gid, before.st_mode)


LEAVING = [(f"{GUEST}-null", idle()), (f"{GUEST}-virtiofs", working("fio", *JOB, disk=True))]


@pytest.mark.root
@pytest.mark.parametrize(("name", "launch"), LEAVING, ids=[name for name, _ in LEAVING])
def test_a_guest_leaves_no_log(name: str, launch: Launch) -> None:
    """libvirt keeps one for each domain and each virtiofsd for ever; those of other domains are left alone."""
    with opened(name) as sandbox:
        logs = log_folder(root_of_daemon())
        with inner(sandbox).next_folder() as (last, _):
            stem, _, number = last.rpartition("-")
        domain = f"{stem}-{int(number) + 1}"
        others = [logs / f"{domain}{rest}" for rest in ("0.log", "-other.log", ".log.old")]
        logs.mkdir(mode=0o700, exist_ok=True)  # libvirt makes it for its first domain
        for other in others:
            other.touch()
        try:
            with sandbox.launch(launch):
                written = set(logs.glob(f"{domain}*")) - set(others)
            assert logs / f"{domain}.log" in written and len(written) == (2 if "virtiofs" in name else 1)
            assert sorted(logs.glob(f"{domain}*")) == sorted(others)
        finally:
            for other in others:
                other.unlink()


@pytest.mark.root
def test_a_dead_runs_guest_is_swept_with_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of this run only; where libvirt does not answer, a run that had guests is not done with."""
    run = f"{RUN_PREFIX}{new_run_id()}"
    logs = log_folder(root_of_daemon())
    null = f"{GUEST}-null"
    name = f"{run}-{null}-1"
    uuid = domain_uuid(run, name)
    kept, old = logs / f"{run}0-tcg-1.log", logs / f"{run}-{GUEST}-7.log.0"
    monkeypatch.setenv("ISOBENCH_WORK", str(tmp_path))
    (tmp_path / run / null).mkdir(parents=True)
    with pytest.MonkeyPatch.context() as elsewhere:
        elsewhere.setenv("ISOBENCH_LIBVIRT_URI", f"qemu+unix:///system?socket={tmp_path}/none")
        with pytest.raises(Unavailable, match="no libvirt answers"):
            sweep(run)
        assert sweep(f"{run}0") == []
    connection = connect()
    environment = catalog.environments()[null]
    assert isinstance(environment, Guest)
    xml = environment.sandbox(connection, tmp_path / run / null).facts()["domain"]
    xml = re.sub("<serial .*</serial>", "", xml.replace("NAME</name>", f"{name}</name><uuid>{uuid}</uuid>"))
    logs.mkdir(mode=0o700, exist_ok=True)
    connection.createXML(xml)
    kept.touch()
    old.touch()
    try:
        swept = sweep(run)
        profiles = [one for one in swept if one.startswith("AppArmor profile ")]  # none of a private libvirtd's
        assert swept == [f"domain {name}", f"log {old.name}", f"log {name}.log", *profiles]
        assert list((root_of_daemon() / PROFILES).glob(f"libvirt-{uuid}*")) == []
        assert pids_with(f"guest={run}-") == [] and sweep(run) == [] and kept.exists()
    finally:
        kept.unlink()
        connection.close()


@pytest.mark.root
@pytest.mark.slow
def test_a_stock_debian_boots_until_its_service_says_ready() -> None:
    """Firmware, boot loader, kernel and systemd from a disk; told to finish, it powers off."""
    with opened("tcg-distro") as sandbox, sandbox.launch(idle(timeout=400)) as instance:
        assert instance.stdout.readline().rstrip() == b"ready"  # a terminal of a stock system writes \r\n
        assert list(instance.host_pids().values()) == ["payload"]
        assert instance.wait() == 0
    assert instance.events["requested"] < instance.events["ready"] < instance.events["exited"] < instance.events["gone"]
