"""The domain's machine, for each architecture."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import TYPE_CHECKING
from xml.etree import ElementTree as Xml

import pytest

from isobench.core.errors import Unavailable
from isobench.environments.libvirt._board import board
from isobench.environments.libvirt._sandbox import Files, GuestSandbox
from isobench.environments.libvirt.guest import Guest
from isobench.planning import catalog

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def here(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of the architecture that this host pretends to have."""
    machine: str = request.param
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(machine=machine))
    return machine


def domain(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Xml.Element:
    environment = catalog.environments()[name]
    assert isinstance(environment, Guest)
    monkeypatch.setattr(GuestSandbox, "find_kernel", lambda self: None)
    made = environment.sandbox(None, folder)
    made._kernel, made._initramfs = folder / "kernel", folder / "initramfs"
    return Xml.fromstring(made.domain_xml("NAME", Files("SOCKET", "CONSOLE"), ("ready",)))


@pytest.mark.parametrize(
    ("here", "name", "cpu"),
    [
        ("x86_64", "tcg", None),
        ("x86_64", "kvm", None),
        ("aarch64", "tcg", {"mode": "custom"}),
        ("aarch64", "kvm", {"mode": "host-passthrough"}),
    ],
    indirect=["here"],
)
def test_only_arm_names_the_cpu(
    here: str, name: str, cpu: dict[str, str] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """QEMU's default for the machine "virt" is a CPU of 32 bits."""
    found = domain(name, tmp_path, monkeypatch).find("cpu")
    assert (None if found is None else found.attrib) == cpu


@pytest.mark.parametrize(
    ("here", "machine", "ports", "console", "features"),
    [
        ("x86_64", "q35", ["isa-serial", "isa-serial"], "console=ttyS1", ["acpi", "apic"]),
        ("aarch64", "virt", ["system-serial", "pci-serial"], "console=ttyS0", []),
    ],
    indirect=["here"],
)
def test_the_kernels_messages_go_to_the_second_port(
    here: str, machine: str, ports: list[str], console: str, features: list[str],
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The first one is the harness's."""
    found = domain("tcg", tmp_path, monkeypatch)
    kind, words, devices = found.find("os/type"), found.findtext("os/cmdline"), found.findall("devices/serial")
    assert kind is not None and kind.get("machine") == machine
    assert [(port.get("type"), target.get("type")) for port in devices for target in port.findall("target")] == [
        ("unix", ports[0]),
        ("file", ports[1]),
    ]
    assert words is not None and words.split()[0] == console
    assert [feature.tag for feature in found.findall("features/*")] == features


@pytest.mark.parametrize("here", ["riscv64"], indirect=True)
def test_another_architecture_is_a_skip(here: str) -> None:
    with pytest.raises(Unavailable, match="not on riscv64"):
        board()
