"""The kernel for guests, from a distribution's packages: real apt and dpkg, with a small archive of its own."""

from __future__ import annotations

import hashlib
import platform
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from isobench.core.errors import BuildError
from isobench.guests import kernel
from isobench.guests.kernel import PACKAGES, UBUNTU_PACKAGES
from isobench.processes.programs import find

V = "9.8.7-1-cloud"
BASE = {f"usr/lib/modules/{V}/modules.{name}": "" for name in ("order", "builtin")}
MODULE = {f"usr/lib/modules/{V}/kernel/notes": "a module"}
TOGETHER = {f"linux-image-{V}": ({f"boot/vmlinuz-{V}": "a kernel", **BASE, **MODULE}, ("kmod", "linux-base"))}
"""Debian until 13."""
MODULES_APART = {
    f"linux-image-{V}": ({f"boot/vmlinuz-{V}": "a kernel"}, ("kmod", f"linux-modules-{V}")),
    f"linux-modules-{V}": ({**BASE, **MODULE}, ()),
}
"""Ubuntu."""
ALL_APART = {
    f"linux-image-{V}": ({}, (f"linux-base-{V}", f"linux-binary-{V}", f"linux-modules-{V}")),
    f"linux-base-{V}": (BASE, ()),
    f"linux-binary-{V}": ({f"usr/lib/modules/{V}/vmlinuz": "a kernel"}, (f"linux-base-{V}",)),
    f"linux-modules-{V}": (MODULE, ("kmod", f"linux-base-{V}")),
}
"""Debian after 13."""
NO_KERNEL = {f"linux-image-{V}": ({**BASE, **MODULE}, ())}


def archive(folder: Path, packages: Mapping[str, tuple[Mapping[str, str], Sequence[str]]]) -> Path:
    """An archive of these packages, each with its files and what it needs; returns a configuration of apt for it."""
    index = []
    for name, (files, needs) in packages.items():
        tree = folder / name
        control = f"Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: x <x@y>\nDescription: x\n"
        control += f"Depends: {', '.join(needs)}\n" if needs else ""
        for path, text in {**files, "DEBIAN/control": control}.items():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_text(text)
        made = folder / f"{name}.deb"
        subprocess.run(["dpkg-deb", "--root-owner-group", "--build", tree, made], check=True, capture_output=True)
        sha256 = hashlib.sha256(made.read_bytes()).hexdigest()
        index.append(f"{control}Filename: ./{made.name}\nSize: {made.stat().st_size}\nSHA256: {sha256}\n")
    (folder / "Packages").write_text("\n".join(index))
    for place in ("state/lists/partial", "cache/archives/partial", "etc"):
        (folder / place).mkdir(parents=True)
    (folder / "status").touch()
    (folder / "sources.list").write_text(f"deb [trusted=yes] file:{folder} ./\n")
    settings = {
        "Dir::State": "state", "Dir::State::status": "status", "Dir::Cache": "cache", "Dir::Etc": "etc",
        "Dir::Etc::sourcelist": "sources.list", "Dir::Etc::sourceparts": "none",
    }  # fmt: skip
    lines = [f'{key} "{folder / value}";\n' for key, value in settings.items()]
    (folder / "apt.conf").write_text("".join(lines) + 'APT::Sandbox::User "root";\n')
    return folder / "apt.conf"


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """apt knows one kernel, and the meta package that Debian or Ubuntu has for it."""
    if find("apt-get") is None or find("depmod") is None:
        pytest.skip("needs apt and depmod")
    packages = request.param
    meta = (UBUNTU_PACKAGES if packages is MODULES_APART else PACKAGES)[platform.machine()]
    (tmp_path / "archive").mkdir()
    config = archive(tmp_path / "archive", {meta: ({}, (f"linux-image-{V}",)), **packages})
    monkeypatch.setenv("APT_CONFIG", str(config))
    subprocess.run(["apt-get", "update"], check=True, capture_output=True)


@pytest.mark.parametrize("served", [TOGETHER, MODULES_APART, ALL_APART], indirect=True)
def test_a_kernel_is_found_however_it_is_packaged(served: None, tmp_path: Path) -> None:
    """Its image lies where guests' kernels are looked for, its modules beside it, with their lists."""
    folder = tmp_path / "kernel"
    folder.mkdir()
    kernel._unpack(kernel._image_package(), folder)
    assert sorted(path.name for path in folder.iterdir()) == ["boot", "lib"]
    assert [path.name for path in (folder / "boot").iterdir()] == [f"vmlinuz-{V}"]
    assert (folder / f"boot/vmlinuz-{V}").read_text() == "a kernel"
    modules = {path.name for path in (folder / f"lib/modules/{V}").iterdir()}
    assert {"kernel", "modules.builtin", "modules.dep", "modules.order"} <= modules and "vmlinuz" not in modules


@pytest.mark.parametrize("served", [NO_KERNEL], indirect=True)
def test_a_package_without_a_kernel_is_told(served: None, tmp_path: Path) -> None:
    """It would be looked for, and not found, at each run."""
    with pytest.raises(BuildError, match=f"linux-image-{V} has no kernel"):
        kernel._unpack(kernel._image_package(), tmp_path)


def test_guests_boot_a_copy_of_the_hosts_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once made and made again for another kernel of the same name; QEMU's user can read it, the host's need not be."""
    monkeypatch.setenv("ISOBENCH_CACHE", str(tmp_path / "cache"))
    image = tmp_path / "vmlinuz-1"
    image.write_text("a kernel")
    image.chmod(0o600)
    own = kernel.Kernel(image, tmp_path, "1", "a test")
    copy = kernel.image_to_boot(own)
    assert copy == kernel.image_to_boot(own) and not copy.samefile(image)
    assert copy.read_text() == "a kernel" and copy.stat().st_mode & 0o777 == 0o644
    image.write_text("another kernel")
    assert kernel.image_to_boot(own).read_text() == "another kernel"
