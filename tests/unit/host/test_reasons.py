"""Reasons in words for people."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from isobench.core.errors import MeasurementError, Unavailable
from isobench.core.remedies import as_root, mends, to_start
from isobench.host.reasons import _is_closed, reason_and_remedy, reason_of


def test_the_last_line_of_the_console_is_part_of_the_reason() -> None:
    """What crun says on a hybrid host is the reason, and it is known what mends it."""
    error = MeasurementError("it ended with status 1", console="one\ncgroups in hybrid mode not supported, drop\n\n")
    reason, remedy = reason_and_remedy(error)
    assert reason == "it ended with status 1 (last line: cgroups in hybrid mode not supported, drop)"
    assert "unified_cgroup_hierarchy" in remedy


@pytest.mark.parametrize(
    ("console", "told"),
    [
        ("lxc-start: x: 1731 Operation not permitted - Failed to clone a new set of namespaces\n"
         "lxc-start: x: main: 306 The container failed to start\n"
         "lxc-start: x: main: 311 Additional information can be obtained by setting the --logfile option\n",
         "Failed to clone a new set of namespaces"),
        ('level=fatal msg="nsexec-1: failed to unshare remaining namespaces: Operation not permitted"\n'
         'level=error msg="runc run failed: can\'t get final child\'s PID from pipe: EOF"', "failed to unshare"),
        ("fatal error: failed to reserve page summary memory\n\nruntime stack:\nruntime.rt0_go()\n"
         "\truntime/asm_amd64.s:345 +0x11c fp=0x7ff\n", "failed to reserve page"),
    ],
)  # fmt: skip
def test_a_last_line_that_says_nothing_is_not_the_reason(console: str, told: str) -> None:
    """LXC, runc and Go have said the cause above it."""
    reason, _ = reason_and_remedy(MeasurementError("it ended with status 1", console=console))
    assert "(it said: " in reason and told in reason


def test_an_errors_own_remedy_comes_first() -> None:
    """And an error of the system is told as it is."""
    unavailable = Unavailable("the guest was not ready", remedy="wait")
    assert reason_and_remedy(unavailable) == ("the guest was not ready", "wait")
    assert reason_and_remedy(OSError(2, "No such file", "x")) == ("[Errno 2] No such file: 'x'", "")


def test_what_nobody_foresaw_is_an_error_of_isobench(monkeypatch: pytest.MonkeyPatch) -> None:
    """Type, text and place are told, with the request to report it; with ISOBENCH_DEBUG it is raised again."""
    monkeypatch.delenv("ISOBENCH_DEBUG", raising=False)
    try:
        dict[str, str]()["resident"]
    except KeyError as error:
        reason = reason_of(error)
        assert reason.startswith("internal error in isobench, please report it: KeyError: 'resident' (test_reasons.py:")
        monkeypatch.setenv("ISOBENCH_DEBUG", "1")
        with pytest.raises(KeyError):
            reason_of(error)


def test_a_reason_can_always_be_kept() -> None:
    """The odd byte of a file's name, half a surrogate pair: written out."""
    assert reason_of(MeasurementError("no \udcff")) == "no \\udcff"
    assert reason_of(OSError(2, "No such file", "\udcff")).encode()


@pytest.mark.parametrize(
    ("reason", "wanted", "unwanted"),
    [
        ("clone3: No space left on device", "namespaces", "disk"),
        ("clone: Operation not permitted", "CAP_SYS_ADMIN", "disk"),
        ("clone() failed: Operation not permitted", "CAP_SYS_ADMIN", "disk"),
        ("failed to unshare remaining namespaces (except cgroupns): Operation not permitted", "CAP_SYS_ADMIN", "disk"),
        ("1731 Operation not permitted - Failed to clone a new set of namespaces", "CAP_SYS_ADMIN", "disk"),
        ("Error: failed to get new shm lock manager: /libpod_lock: read-only file system", "/dev/shm", "ISOBENCH"),
        ("Error: copying file write /var/tmp/podman22: copy_file_range: file too large", "ulimit -f", "disk"),
        ("error setting rlimit type 7: operation not permitted", "ulimit -Hn", "root"),
        ("deadline: not ready within 60 s", "--timeout", "firmware"),
        ("deadline: the container was not ready", "--timeout", "firmware"),
        ("mapping ids into the user namespace: Permission denied", "userns", "disk"),
        ("unshare failed: no space left on device", "namespaces", "disk"),
        ("cannot make the cgroup: No space left on device", "cgroup.max.descendants", "disk"),
        ("inotify_add_watch: no space left on device", "max_user_watches", "disk"),
        ("clone3: Resource temporarily unavailable", "ulimit -u", "disk"),
        ("cannot make a cgroup: Read-only file system", "/sys/fs/cgroup", "root"),
        ("mkdir /x: Read-only file system", "ISOBENCH_WORK", "root"),
        ("write /var/tmp/x: No space left on device", "free space in /var/tmp", "namespaces"),
        (
            "/usr/bin/podman --root=/work/s: Error: creating file open /var/tmp/podman241: read-only file system",
            "make /var/tmp writable",
            "ISOBENCH",
        ),
        ("runc: runc create failed: mkdir /run/runc/4e8d38: read-only file system", "make /run writable", "ISOBENCH"),
        (
            "unable to apply cgroup configuration: mkdir /sys/fs/cgroup/cpuset/x-oci: permission denied",
            "--privileged",
            "root",
        ),
        ("cgfsng.c: __cgroup_tree_create: 723 Permission denied - Failed to create", "--privileged", "root"),
        ("bwrap: setting up uid map: Read-only file system", "make /proc writable", "ISOBENCH"),
        ("Failed to lock /work/x/root-1: Read-only file system", "make /run writable", "ISOBENCH"),
        ("mkdir /work/run/x: Read-only file system", "ISOBENCH_WORK", "/run"),
        ("Failed to generate temporary mount point for unified hierarchy: Read-only file system", "/tmp", "ISOBENCH"),
        ("writing x: disk quota exceeded", "free space", "namespaces"),
        ("socket: Too many open files", "ulimit -n", "disk"),
    ],
)
def test_the_kernels_own_limits_are_no_full_disk(reason: str, wanted: str, unwanted: str) -> None:
    """They have its words; what was done tells them apart."""
    remedy = reason_and_remedy(MeasurementError(reason))[1]
    assert wanted in remedy and unwanted not in remedy


def test_the_folder_that_helps_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A work folder below /var/tmp is none that a tool uses on its own account, and the state is elsewhere."""
    (tmp_path / "state").mkdir(mode=0o700)
    monkeypatch.setenv("ISOBENCH_STATE", f"{tmp_path}/state")
    inside = MeasurementError(f"podman: write {tmp_path}/state/podman-1/x: no space left on device")
    assert reason_and_remedy(inside)[1] == f"free space in {tmp_path}/state"
    with tempfile.TemporaryDirectory(dir="/var/tmp") as work:
        monkeypatch.setenv("ISOBENCH_WORK", work)
        for said, remedy in ((work, "set ISOBENCH_WORK"), (f"{work}-x", "free space in /var/tmp")):
            assert remedy in reason_and_remedy(OSError(28, "No space left on device", f"{said}/probe"))[1]


@pytest.mark.parametrize(
    ("said", "variable"),
    [
        ("qemu-system-x86_64: could not load kernel '/home/u/.cache/k/vmlinuz': Permission denied", "ISOBENCH_CACHE"),
        ("qemu-system-x86_64: -drive file=x: Could not open '/work/isobench-1/d': Permission denied", "ISOBENCH_WORK"),
        ("Cannot access storage file '/home/u/x/disk' (as uid:64055, gid:64055): Permission denied", "ISOBENCH_CACHE"),
    ],
)
def test_what_qemu_cannot_read_is_named(said: str, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the variable that chooses another place for it."""
    monkeypatch.setenv("ISOBENCH_WORK", "/work")
    remedy = reason_and_remedy(MeasurementError(f"libvirt cannot start the domain: internal error: {said}"))[1]
    assert remedy.startswith(f"set {variable} ")


@pytest.mark.parametrize(
    "said",
    [
        "Unable to delete file /var/lib/isobench/work/isobench-1/kvm/1/console: Permission denied",
        "internal error: Process exited prior to exec: libvirt:  error : Cannot delete directory '/run/x.shm': Device "
        "or resource busy",
        "internal error: qemu-system-x86_64: could not load kernel '{tmp}/open/vmlinuz': Permission denied",
    ],
)
def test_what_selinux_denies_libvirt_is_not_the_folders_fault(
    said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless it only warns, or the folder is closed to QEMU anyway: another folder would not help."""
    error = MeasurementError(f"libvirt cannot start the domain: {said.format(tmp=tmp_path)}")
    monkeypatch.setattr("isobench.host.reasons._is_closed", lambda path: False)
    monkeypatch.setattr("isobench.host.machine.selinux_enforces", lambda: True)
    assert "semodule --install" in reason_and_remedy(error)[1]
    if "could not load" in said:
        monkeypatch.setattr("isobench.host.reasons._is_closed", lambda path: True)
        assert reason_and_remedy(error)[1].startswith("set ISOBENCH_CACHE ")
    monkeypatch.setattr("isobench.host.machine.selinux_enforces", lambda: False)
    assert "semodule" not in reason_and_remedy(error)[1]


def test_a_folder_is_closed_if_one_above_it_is(tmp_path: Path) -> None:
    """What counts is whether others may pass, whoever asks."""
    inner = tmp_path / "a/b"
    inner.mkdir(parents=True)
    (tmp_path / "a").chmod(0o700)
    assert _is_closed(inner / "file")
    assert not _is_closed(Path("/usr/bin/file")) and _is_closed(Path("/nowhere/file"))


def test_a_cpu_that_can_is_not_to_be_enabled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The firmware is blamed only where the CPU's flags are not there."""
    for can in (True, False):
        monkeypatch.setattr("isobench.host.machine.virtualises", lambda can=can: can)
        remedy = reason_and_remedy(MeasurementError("QEMU stopped the guest (state 3, reason 5)"))[1]
        assert ("firmware" in remedy) == (not can)


def test_systemctl_is_named_where_systemd_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere the init system that does, or the program."""
    for there, words in (
        ("/run/systemd/system", "systemctl start docker"),
        ("/run/openrc", "rc-service docker start"),
        ("/nowhere", "start dockerd"),
    ):
        monkeypatch.setattr("pathlib.Path.is_dir", lambda path, there=there: str(path) == there)
        assert to_start("docker", "dockerd").startswith(words)


def test_a_file_that_cannot_be_kept_is_mended_by_what_it_lacks() -> None:
    """Room is made only where room is lacking."""
    assert "free space" in mends(OSError(28, "No space left on device"), "--out")
    assert "free space" not in mends(OSError(30, "Read-only file system"), "--out")
    assert "ulimit -n" in mends(OSError(24, "Too many open files"), "--out")
    assert "ulimit -f" in mends(OSError(27, "File too large"), "--out")


def test_who_is_root_is_not_told_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """A root who is refused is confined by something else."""
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert as_root("unconfine it", "join a group") == "unconfine it"
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert as_root("unconfine it", "join a group") == "run isobench as root, or join a group"


def test_what_is_said_at_the_end_of_a_long_line_is_told_and_mended() -> None:
    """As runc does: the error of the kernel comes last."""
    line = f'level=error msg="runc create failed: {"x" * 5000} mkdir /sys/fs/cgroup/a: read-only file system"'
    reason, remedy = reason_and_remedy(MeasurementError("it ended", console=line))
    assert "read-only file system" in reason and len(reason) < 500
    assert "/sys/fs/cgroup" in remedy


def test_environments_have_the_same_reason_for_the_same_cause() -> None:
    """One full disk is one line of doctor's, whatever the folders of the run and of the environments are called."""
    run = "/work/isobench-20261129T111310Z-2b3345"
    places = (f"{run}/{name}/root/probe" for name in ("process", "ns-all+overlay"))
    reasons = {reason_and_remedy(OSError(28, "No space left on device", place))[0] for place in places}
    assert reasons == {"[Errno 28] No space left on device: '/work/…/root/probe'"}
    said = MeasurementError("it ended", console="isobench-20261129t111310z-2b3345-nspawn-1: no room")
    assert reason_and_remedy(said)[0] == "it ended (last line: …-nspawn-1: no room)"


@pytest.mark.root
@pytest.mark.tool("setpriv")
def test_the_capabilities_that_are_lacking_are_named() -> None:
    """The kernel does not say which one it wants."""
    code = (
        "from isobench.host.reasons import reason_and_remedy\n"
        "print(reason_and_remedy(OSError(1, 'Operation not permitted', 'dropping capabilities'))[1])"
    )
    confined = ["setpriv", "--bounding-set=-mknod,-kill", "--inh-caps=-all"]
    told = subprocess.run([*confined, sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert {"CAP_KILL", "CAP_MKNOD"} <= set(re.findall(r"CAP_\w+", told)) and "CAP_SYS_ADMIN" not in told
