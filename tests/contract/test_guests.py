"""Virtual machines: what their domains differ in, and the stock Debian."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest

from bench import catalog
from bench.environments._libvirt import connect
from bench.environments.guest import Guest
from bench.errors import Unavailable
from tests.contract.opening import opened

pytestmark = pytest.mark.libvirt

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


@pytest.mark.parametrize(("upper", "lower"), PAIRS, ids="-".join)
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
    if suffix == "9p":
        with pytest.raises(Unavailable, match="9p"):
            upper.sandbox(connection, tmp_path / "isobench-x" / upper.name)
        return
    one, other = (
        Xml.fromstring(e.sandbox(connection, tmp_path / "isobench-x" / e.name).disk_domain()) for e in (upper, below)
    )
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
@pytest.mark.slow
def test_a_stock_debian_boots_until_its_service_says_ready() -> None:
    """Firmware, boot loader, kernel and systemd from a disk; told to finish, it powers off."""
    with opened("tcg-distro") as sandbox, sandbox.launch("ready", timeout=400) as instance:
        assert instance.stdout.readline().rstrip() == b"ready"  # a terminal of a stock system writes \r\n
        assert list(instance.host_pids().values()) == ["payload"]
        assert instance.wait() == 0
    assert instance.events["requested"] < instance.events["ready"] < instance.events["exited"] < instance.events["gone"]
