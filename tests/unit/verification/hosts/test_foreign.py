"""A host of another architecture: what is unpacked here, and what is left to the emulated machine."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from isobench.core.errors import BuildError
from verification.hosts import foreign, host, image, machine

if TYPE_CHECKING:
    from pathlib import Path

ARM, X86 = host.known()["debian-13-arm64"], host.known()["debian-13"]


def test_packages_and_machine_are_its_architectures() -> None:
    """The rest is the same as on the host of the other one."""
    arm, x86 = set(image._packages(ARM)), set(image._packages(X86))
    assert arm ^ x86 == {"linux-image-arm64", "qemu-system-arm", "linux-image-amd64", "qemu-system-x86"}
    devices = machine._devices(ARM, image.ROOT, 22, "init=/x")
    assert devices[devices.index("-machine") + 1].startswith("virt,virtualization=on")
    words = devices[devices.index("-append") + 1].split()
    assert "console=ttyAMA0" in words and words[-1] == "init=/x"
    assert str(image.ROOT / "usr/bin/qemu-system-aarch64") in machine._qemu(ARM, image.ROOT)


def test_packages_are_unpacked_and_not_installed(tmp_path: Path) -> None:
    """No program of theirs runs here, so their archives are kept for the machine that can run them."""
    words = foreign.unpack(tmp_path / "lay", ("bash", "docker.io"))
    assert {"--variant=extract", "--include=?essential", "--include=apt,bash,docker.io"} < set(words)
    assert not any(word.startswith(("--customize-hook", "--essential-hook")) for word in words)


@pytest.mark.parametrize("script", [foreign._SECOND_STAGE, foreign._INIT], ids=["second stage", "init"])
def test_scripts_are_shells(script: str) -> None:
    done = subprocess.run(["sh", "-n"], input=script, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("says", "fine"), [(f"[  9.1] x\n{foreign.DONE}\n", True), ("dpkg: error\n", False)])
def test_the_last_words_tell_whether_it_went_well(says: str, fine: bool, tmp_path: Path) -> None:
    """The machine powers off in either case."""
    command = [sys.executable, "-c", f"print({says!r})"]
    if fine:
        foreign.configure(command, tmp_path, {})
    else:
        with pytest.raises(BuildError, match=r"configuring the packages failed: dpkg: error"):
            foreign.configure(command, tmp_path, {})
