"""Virtual machines: what their domains differ in, and the stock Debian."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest

from bench import catalog
from bench.environment import Sandbox
from bench.lifecycle import new_run_id
from bench.paths import RUN_PREFIX, work_root

pytestmark = pytest.mark.libvirt

KERNEL = {"os/kernel", "os/initrd", "os/cmdline"}
PAIRS = {
    ("tcg", "tcg-null"): KERNEL,
    ("kvm-null", "tcg-null"): {"@type"},
    ("kvm", "kvm-null"): KERNEL,
}
"""Rung and the one below -> the only places in the domain where they may differ."""


@contextmanager
def _open(name: str) -> Iterator[Sandbox]:
    workdir = work_root() / f"{RUN_PREFIX}{new_run_id()}" / name
    workdir.mkdir(parents=True, mode=0o711)
    workdir.parent.chmod(0o711)
    try:
        with catalog.environments()[name].open(workdir) as sandbox:
            yield sandbox
    finally:
        shutil.rmtree(workdir.parent)


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
    with _open(upper) as here, _open(lower) as below:
        one, other = (_places(Xml.fromstring(sandbox.facts()["domain"])) for sandbox in (here, below))
    differing = {place for place in one.keys() | other.keys() if one.get(place) != other.get(place)}
    assert differing == PAIRS[upper, lower]


@pytest.mark.root
@pytest.mark.slow
def test_a_stock_debian_boots_until_its_service_says_ready() -> None:
    """Firmware, boot loader, kernel and systemd from a disk; told to finish, it powers off."""
    with _open("tcg-distro") as sandbox, sandbox.launch("ready", timeout=400) as instance:
        assert instance.stdout.readline().rstrip() == b"ready"  # a terminal of a stock system writes \r\n
        assert list(instance.host_pids().values()) == ["payload"]
        assert instance.wait() == 0
    assert instance.events["requested"] < instance.events["ready"] < instance.events["exited"] < instance.events["gone"]
