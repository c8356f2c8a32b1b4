"""Provisioning: what can be had, and nothing removed. Real apt is asked what it would do; a false one does what a
host's may: a broken repository, a lock that is held, a package that fails."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from isobench import cli
from isobench.contracts.mechanism import Need
from isobench.planning import dependencies
from isobench.processes import programs
from isobench.setup import apt, packages, provision

FALSE_APT = """\
#!/bin/sh
echo "apt-get $*" >> {log}
case "$*" in
*--simulate*) exit 0 ;;
*update*) echo "E: The repository 'http://x' has no Release file." >&2; exit 100 ;;
*) {install} ;;
esac
"""
FALSE_POLICY = """\
#!/bin/sh
shift
for name; do
    case "$name" in nowhere*) ;; *) printf '%s:\\n  Installed: (none)\\n  Candidate: 1\\n' "$name" ;; esac
done
"""


def needs(*names: str) -> tuple[Need, ...]:
    """Needs that nothing meets, one for each package (alternatives behind a bar)."""
    return tuple(Need(tuple(name.split("|")), lambda: False, f"what {name} is for") for name in names)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder first in PATH with a false apt, and a kernel for guests."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(provision, "_kernel_is_missing", lambda: False)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return tmp_path


def false_apt(folder: Path, install: str = "exit 0") -> None:
    for name, text in (("apt-get", FALSE_APT), ("apt-cache", FALSE_POLICY)):
        (folder / name).write_text(text.replace("{log}", str(folder / "log")).replace("{install}", install))
        (folder / name).chmod(0o755)


def calls(folder: Path) -> list[str]:
    """What apt-get was told to change."""
    lines = (folder / "log").read_text().splitlines() if (folder / "log").exists() else []
    return [line for line in lines if "--simulate" not in line]


def test_a_broken_repository_costs_nothing_else(
    host: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is named, and what the lists know is installed, with nothing that would be removed for it."""
    monkeypatch.setattr(dependencies, "wanted", lambda for_tests: needs("gcc", "fio"))
    false_apt(host)
    assert cli.main(["provision"]) == 0
    assert "The repository 'http://x' has no Release file" in capsys.readouterr().err
    update, install = calls(host)
    assert " update" in update and install.endswith(" gcc fio")
    assert "--no-remove" in install and f"Lock::Timeout={apt.LOCK_SECONDS}" in install


def test_what_this_release_has_not_is_told_and_the_rest_installed(
    host: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By another name where there is one; with what is lost; the exit code is not that of a whole success."""
    monkeypatch.setattr(dependencies, "wanted", lambda for_tests: needs("nowhere", "nowhere-new|somewhere-old", "fio"))
    false_apt(host)
    assert cli.main(["provision"]) == 1
    said = capsys.readouterr().err
    assert "not nowhere: apt finds no such package here; without it: what nowhere is for" in said
    assert "one package could not be installed" in said
    assert calls(host)[1].endswith(" somewhere-old fio")


def test_one_package_that_fails_costs_no_other(
    host: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All are tried one by one, then."""
    monkeypatch.setattr(dependencies, "wanted", lambda for_tests: needs("gcc", "broken", "fio"))
    false_apt(host, 'case "$*" in *broken*) echo "E: Sub-process dpkg returned an error code" >&2; exit 100;; esac')
    assert cli.main(["provision"]) == 1
    assert "not broken: apt did not install it: Sub-process dpkg returned" in capsys.readouterr().err
    assert [line.split()[-1] for line in calls(host)[1:]] == ["fio", "gcc", "broken", "fio"]


def test_a_lock_that_is_held_is_waited_for_once(
    host: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not once more for each package."""
    monkeypatch.setattr(dependencies, "wanted", lambda for_tests: needs("gcc", "fio", "kmod"))
    held = "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 7 (unattended-upgr)"
    false_apt(host, f"echo '{held}' >&2; exit 100")
    assert cli.main(["provision"]) == 1
    assert capsys.readouterr().err.count("held by process 7") == 3
    assert len(calls(host)) == 2


def test_a_package_that_is_there_and_not_whole_is_installed_again(
    host: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its program was removed by hand, or is hidden. Where that does not help, it is told, and provisioning ends."""
    there = host / "program"
    hidden = Need(("hidden",), lambda: False, "hiding")
    monkeypatch.setattr(dependencies, "wanted", lambda for_tests: (Need(("fio",), there.exists, "I/O"), hidden))
    false_apt(host, f"touch {there}")
    (host / "apt-cache").write_text(FALSE_POLICY.replace("Installed: (none)", "Installed: 1"))
    assert cli.main(["provision"]) == 1
    said = capsys.readouterr().err
    assert "reinstall fio" in said and "not fio" not in said
    assert "not hidden: the package is installed, but does not provide it here; without it: hiding" in said
    assert "--reinstall" in calls(host)[1]


def test_a_dry_run_changes_nothing(
    host: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """apt is asked, and told nothing; also not as root."""
    monkeypatch.setattr(dependencies, "wanted", lambda for_tests: needs("gcc"))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    false_apt(host)
    assert cli.main(["provision", "--dry-run"]) == 0
    assert "provision: install gcc" in capsys.readouterr().err
    assert calls(host) == []
    assert cli.main(["provision"]) == 2
    assert calls(host) == []


def test_without_apt_the_names_are_told(
    host: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another distribution: to install by hand."""
    monkeypatch.setattr(dependencies, "wanted", lambda for_tests: needs("gcc", "fio"))
    monkeypatch.setattr(programs, "_ALSO", ())
    monkeypatch.setenv("PATH", str(host))
    assert cli.main(["provision"]) == 2
    assert "install these yourself: gcc fio" in capsys.readouterr().err


def real_apt(folder: Path, monkeypatch: pytest.MonkeyPatch, *, without: str, having: str) -> None:
    """apt's own lists, and a host on which one package is missing and another is installed. Changes nothing."""
    if not apt.is_here() or not {without, having} <= apt.policy([without, having]).keys():
        pytest.skip(f"no apt here that knows {without} and {having}")
    paragraphs = Path("/var/lib/dpkg/status").read_text().split("\n\n")
    status = [text for text in paragraphs if not re.match(rf"Package: ({re.escape(without)}|{having})\n", text)]
    shown = subprocess.run(["apt-cache", "show", having], capture_output=True, text=True, check=True).stdout
    kept = "Package|Version|Architecture|Maintainer|Depends|Conflicts|Description|Priority|Section|Installed-Size"
    first, *lines = [line for line in shown.split("\n\n")[0].splitlines() if re.match(rf"({kept}):", line)]
    status.append("\n".join([first, "Status: install ok installed", *lines]) + "\n")
    (folder / "status").write_text("\n\n".join(status))
    (folder / "apt.conf").write_text(f'Dir::State::status "{folder}/status";\n')
    monkeypatch.setenv("APT_CONFIG", str(folder / "apt.conf"))


def test_what_would_remove_something_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """docker.io on a host with podman-docker: real apt would remove it. The rest is installed all the same."""
    real_apt(tmp_path, monkeypatch, without="docker.io", having="podman-docker")
    wanted = needs("docker.io", "nowhere-at-all", "sl|hello")
    monkeypatch.setattr(provision, "_kernel_is_missing", lambda: False)
    done = provision.provision(wanted, dry_run=True)
    docker, nowhere = sorted(done.refused)
    assert docker.package == "docker.io" and "would remove podman-docker" in docker.reason
    assert nowhere.package == "nowhere-at-all"
    assert "install docker.io" not in done.lines
    assert {"install sl", "install hello"} & set(done.lines)
    # And should apt think otherwise a moment later, it is told to remove nothing.
    assert "remove" in apt.install(["docker.io", "--simulate"])


def test_every_package_of_ours_is_known_to_this_release() -> None:
    """Where there is apt with lists: of each need one name, but for what the release really has not."""
    names = [name for need in dependencies.wanted(for_tests=True) for name in need.packages]
    known = apt.policy(names) if apt.is_here() else {}
    if "gcc" not in known:
        pytest.skip("no lists of packages here")
    assert all(known.keys() & set(need.packages) for need in dependencies.wanted())


def test_tools_outside_of_path_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's PATH is often without /usr/sbin: what provision finds, everything finds."""
    sbin = [name for name in ("mke2fs", "depmod", "dockerd", "iptables") if Path("/usr/sbin", name).exists()]
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert [programs.find(name) for name in sbin] == [f"/usr/sbin/{name}" for name in sbin]
    assert programs.search_path().startswith("/usr/bin:/bin:")


def test_firmware_is_found_where_qemu_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever a distribution puts it: QEMU is asked."""
    qemu = tmp_path / packages.QEMU
    qemu.write_text(f"#!/bin/sh\necho {tmp_path}/roms\n")
    qemu.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert not packages.rom("own.rom")()
    (tmp_path / "roms").mkdir()
    (tmp_path / "roms/own.rom").touch()
    assert packages.rom("own.rom")()


def test_a_list_of_sources_that_apt_cannot_read_is_told(
    host: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And not that no package is to be found here."""
    monkeypatch.setattr(dependencies, "wanted", lambda for_tests: needs("gcc"))
    false_apt(host)
    (host / "apt-cache").write_text("#!/bin/sh\necho 'E: Malformed entry 1 in list file x.list' >&2; exit 100\n")
    assert cli.main(["provision", "--dry-run"]) == 2
    assert "apt cannot be used: Malformed entry 1 in list file x.list" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "held", "upgraded", "why_not"),
    [
        ("Inst runc [1.1.5+ds1] (1.1.5+ds1 Debian:12 [amd64])", "runc", [], ""),
        ("Inst runc [1.1.5] (1.1.5+b1 Debian:12 [amd64])", "", ["runc"], ""),
        ("Inst runc [1.1.5] (1.1.7 Debian:12 [amd64])", "fio\nrunc", ["runc"], "runc is held at its version"),
        ("Inst runc (1.1.7 Debian:12 [amd64])", "runc", [], ""),
    ],
)
def test_what_an_installation_upgrades(line: str, held: str, upgraded: list[str], why_not: str, host: Path) -> None:
    """A reinstallation is no upgrade; what is held is not upgraded."""
    for name, text in (("apt-get", line), ("apt-mark", held)):
        (host / name).write_text(f"#!/bin/sh\necho '{text}'\n")
        (host / name).chmod(0o755)
    seen = apt.outlook(["runc"])
    assert (seen.removed, seen.upgraded) == ([], upgraded) and seen.why_not.startswith(why_not)
    assert bool(why_not) == bool(seen.why_not)
