"""A host's disk, built once and kept in the cache until its ingredients change.

Everything comes from this machine's own mirrors: Debian's packages from where apt is configured to look, Python's from
where pip is. An image takes about 2 GB, the emulator 0.4 GB; a new image of a host replaces its old one.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from isobench.core.errors import BuildError, Unavailable
from isobench.filesystem import cache, paths
from isobench.images import debian, kinds
from isobench.planning import catalog
from isobench.scenarios import _pressing
from isobench.workloads.file import read_workload
from verification.hosts import foreign, machine
from verification.hosts.architecture import ARCHITECTURES

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from verification.hosts.host import Host

ROOT = Path(__file__).parents[2]
DRESS = Path(__file__).with_name("dress.sh")
TOOLS = ("mmdebstrap", "mke2fs", "ssh", "ssh-keygen", "unshare", "setpriv")
ROOM = 8 * 2**30
"""Bytes that a build needs temporarily: the tree, the disk, the packages."""
DISK = "24G"

WRITTEN = ("HOSTS.md", "verification/hosts/record")
"""What the lab itself writes into the tree: no change of what is tested."""

PACKAGES = (
    "systemd", "systemd-sysv", "udev", "dbus", "initramfs-tools", "zstd", "kmod",
    "openssh-server", "ca-certificates", "procps", "psmisc", "less", "strace", "git",
    "docker.io", "containerd", "iptables", "runc", "crun", "podman", "lxc", "systemd-container", "bubblewrap",
    "libvirt-daemon-system", "libvirt-clients", "libvirt-dev", "qemu-utils", "seabios", "ipxe-qemu",
    "dnsmasq-base", "apparmor", "apparmor-utils", "uidmap", "fuse-overlayfs", "slirp4netns", "libcap2-bin",
    "fio", "gcc", "libc6-dev", "make", "pkg-config", "python3", "python3-venv", "python3-dev", "python3-pip", "pipx",
    "iproute2", "e2fsprogs", "cpio", "busybox-static", "mmdebstrap", "docker-registry", "rootlesskit",
    "dbus-user-session", "skopeo", "umoci", "gpg", "gpg-agent", "buildah", "btrfs-progs", "xfsprogs",
)  # fmt: skip
"""What every host has, beside its architecture's kernel and QEMU: what `isobench provision` would install, and the
runtimes that it would not."""
FRESH = (
    "systemd", "systemd-sysv", "udev", "dbus", "initramfs-tools", "zstd", "kmod", "apparmor",
    "openssh-server", "ca-certificates", "procps", "less", "iproute2",
)  # fmt: skip
"""What Debian's installer leaves of what matters here: no Python, no compiler, no engine."""
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
"""Whom this machine trusts, for a fresh host, whose pip asks the same mirrors."""


def build(host: Host) -> Path:
    """The folder with `disk.raw`, `vmlinuz`, `initrd` and the ssh `key`. Raises `Unavailable`, `BuildError`."""
    _look_for_tools()
    requirements = [word for word in _requirements() if re.split("[^A-Za-z0-9_-]", word)[0] not in host.without]
    if host.is_fresh:
        requirements = []
    made_of = (*_packages(host), *requirements, host.release, host.python, *host.commands, DISK)
    scripts = (DRESS, Path(foreign.__file__)) if host.is_foreign else (DRESS,)
    key = paths.content_hash([*(word.encode() for word in made_of), *(script.read_bytes() for script in scripts)])
    kind = f"host-{host.disk}"
    image = cache.cached(kind, key, lambda folder: _build(host, requirements, folder))
    cache.drop_others(kind, key)
    return image


def _packages(host: Host) -> tuple[str, ...]:
    here = ARCHITECTURES[host.architecture]
    usual = (*FRESH, here.kernel) if host.is_fresh else (*PACKAGES, here.kernel, here.qemu)
    return (*usual, *host.packages)


def emulator(architecture: str) -> Path:
    """A tree with Debian 13's QEMU 10: earlier ones were not tried with guests of guests."""
    _look_for_tools()
    packages = (ARCHITECTURES[architecture].qemu, *ARCHITECTURES[architecture].firmware)
    release = "trixie"
    words = ("--variant=extract", f"--include={','.join(packages)}")
    key = paths.content_hash(word.encode() for word in (release, *words))

    def unpack(folder: Path) -> None:
        folder.chmod(0o700)  # a Debian tree has folders in which everybody may write
        _debian(release, folder / "tree", words)

    return cache.cached(f"host-emulator-{architecture}", key, unpack) / "tree"


def trees(workloads: Collection[str]) -> list[Path]:
    """The root file systems of Debian packages of shipped workloads, of images and disks, and of what disturbs a
    neighbour, as entries of the cache."""
    shipped = [read_workload(catalog.workloads()[name]).packages for name in workloads]
    found = [debian.debian_tree(packages) for packages in (*shipped, *kinds.DEBIAN.values())]
    found.append(debian.debian_tree(_pressing.PACKAGES, _pressing.WITHOUT))
    return [archive.parent for archive in dict.fromkeys(found)]


def tree() -> tuple[str, bytes]:
    """The commit, and the files that git tracks, including uncommitted changes, as a tar archive."""
    stashed = _git("stash", "create").decode().strip()
    commit = _git("rev-parse", "--short", "HEAD").decode().strip()
    changed = _git("diff", "--name-only", "HEAD", "--", ".", *(f":!{path}" for path in WRITTEN))
    return commit + (" with changes" if changed else ""), _git("archive", "--format=tar", stashed or "HEAD")


def _git(*words: str) -> bytes:
    return subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, check=True).stdout


def _look_for_tools() -> None:
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        raise Unavailable(f"not installed: {', '.join(missing)}", remedy="apt-get install mmdebstrap e2fsprogs ssh")
    if os.geteuid() != 0:
        raise Unavailable("the lab's trees are built as root", remedy="run it with sudo")


def _requirements() -> list[str]:
    """The dependencies of isobench and its tests. No check builds the documentation, whose tools have no wheels."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = {name: words for name, words in project["optional-dependencies"].items() if name != "docs"}
    return sorted({*project["dependencies"], *(word for words in extras.values() for word in words)})


def _build(host: Host, requirements: Sequence[str], folder: Path) -> None:
    room = shutil.disk_usage(folder).free
    if room < ROOM:
        raise BuildError(f"building a host takes {ROOM / 1e9:.0f} GB, {folder.parent} has {room / 1e9:.1f} GB left")
    lay, tree = folder / "lay", folder / "tree"
    lay.mkdir()
    (lay / "hostname").write_text("lab\n")
    (lay / "requirements.txt").write_text("\n".join(requirements) + "\n")
    (lay / "commands").write_text("\n".join(("set -eu", *host.commands)) + "\n")
    if host.is_fresh:
        shutil.copy(AUTHORITIES, lay / "authorities")
    else:
        _wheels(host, requirements, lay / "wheels")
    _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", str(folder / "key"))
    shutil.copy(folder / "key.pub", lay)
    if host.is_foreign:
        words = (f"--architectures={host.architecture}", *foreign.unpack(lay, _packages(host)))
        _debian(host.release, tree, words)
        foreign.prepare(tree, lay, DRESS, folder)
    else:
        _dressed_here(host, tree, lay, folder)
    disk = str(folder / "disk.raw")
    _run("mke2fs", "-q", "-t", "ext4", "-E", "lazy_itable_init=1,lazy_journal_init=1", "-d", str(tree), disk, DISK)
    shutil.rmtree(tree)
    if host.is_foreign:
        machine.configure(host, folder, emulator(host.architecture))


def _dressed_here(host: Host, tree: Path, lay: Path, folder: Path) -> None:
    packages = ",".join(_packages(host))
    dress = f'{DRESS} "$1" {lay}'
    _debian(host.release, tree, ("--variant=minbase", f"--include={packages}", f"--customize-hook={dress}"))
    for name, pattern in (("vmlinuz", "vmlinuz-*"), ("initrd", "initrd.img-*")):
        shutil.copy(next((tree / "boot").glob(pattern)), folder / name)
    shutil.rmtree(lay)


def _debian(release: str, tree: Path, words: Sequence[str]) -> None:
    """A Debian tree. Its mounts are in a namespace of mmdebstrap's own and end with it."""
    options = ["--quiet", "--mode=root", "--aptopt=APT::Install-Recommends false", "--aptopt=APT::Sandbox::User root"]
    options += ["--dpkgopt=force-unsafe-io"]  # an interrupted build is discarded anyway
    options += ["--aptopt=Acquire::Check-Valid-Until false"]  # a mirror may be behind
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    _run("mmdebstrap", *options, *words, release, str(tree), _mirror(), environ=environ)


def _mirror() -> str:
    """Where this machine's apt gets Debian from."""
    found = debian.mirror()
    if not found:
        raise Unavailable("apt is configured with no mirror of Debian", remedy="name one in /etc/apt/sources.list.d")
    return found[0]


def _wheels(host: Host, requirements: Sequence[str], folder: Path) -> None:
    """Packages for the host's Python, by this machine's pip. libvirt's binding is built there, against its libvirt."""
    built_there = [word for word in requirements if word.startswith("libvirt-python")]
    ready = [word for word in requirements if word not in built_there]
    pip = (sys.executable, "-m", "pip", "download", "--quiet", "--dest", str(folder))
    end = ARCHITECTURES[host.architecture].wheels
    platforms = ["any", f"manylinux2014_{end}", *(f"manylinux_2_{minor}_{end}" for minor in range(17, 37))]
    for_it = ["--python-version", host.python, "--implementation", "cp", "--only-binary=:all:"]
    for_it += [f"--platform={platform}" for platform in platforms]
    for_it += [f"--abi={abi}" for abi in (f"cp{host.python.replace('.', '')}", "abi3", "none")]
    _run(*pip, *for_it, "setuptools", "wheel", *ready)
    _run(*pip, "--no-deps", "--no-binary=:all:", *built_there)


def _run(*words: str, environ: dict[str, str] | None = None) -> None:
    """Raises `BuildError` with the end of the command's output."""
    done = subprocess.run(
        [*debian.CONTAINED, *words], env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise BuildError(f"{words[0]} failed: {(done.stderr or done.stdout).strip()[-800:]}")
