"""One record of limits, and how each environment sets them by its own means."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree as Xml

import pytest

from isobench.contracts.capabilities import GivesMemory
from isobench.contracts.launch import Launch, Limits, limited, working
from isobench.environments.docker._sandbox import DockerSandbox
from isobench.environments.libvirt._board import board
from isobench.environments.libvirt._network import TapSandbox
from isobench.environments.libvirt._sandbox import Files, GuestSandbox
from isobench.environments.libvirt._storage import Storage
from isobench.environments.native._sandbox import NativeSandbox
from isobench.environments.native.rungs import Isolation
from isobench.environments.runtimes import _lxc, _nspawn
from isobench.environments.runtimes._bundle import configuration
from isobench.environments.runtimes._podman import PodmanDriver
from isobench.environments.runtimes._sandbox import RuntimeSandbox
from isobench.resources import cgroups
from isobench.resources.cgroups import DiskRates
from isobench.resources.cgroups import limits as files
from isobench.resources.disks import Disk

EVERY = limited(
    working("x"),
    memory_bytes=64 << 20,
    cpu_percent=20,
    cpu_weight=200,
    processes=64,
    open_files=32,
    write_bytes=4 << 20,
    write_operations=50,
    read_bytes=8 << 20,
    read_operations=70,
    swap_bytes=1 << 20,
)
NONE = working("x")


@pytest.fixture(autouse=True)
def disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything lies on one disk."""
    for module in ("docker._sandbox", "runtimes._bundle", "runtimes._podman"):
        monkeypatch.setattr(f"isobench.environments.{module}.limits_swap", lambda: True)
        monkeypatch.setattr(f"isobench.environments.{module}.disk_beneath", lambda folder: Disk("254:0", "/dev/vda"))
    monkeypatch.setattr("isobench.environments._limits.disk_beneath", lambda folder: Disk("254:0", "/dev/vda"))
    monkeypatch.setattr(cgroups, "limits_swap", lambda: True)


def _runtime_sandbox(launch: Launch) -> RuntimeSandbox:
    sandbox = RuntimeSandbox.__new__(RuntimeSandbox)
    sandbox.workdir, sandbox.root, sandbox.given = Path("/w"), Path("/w/root"), None
    sandbox.run = "isobench-1-abcdef"
    return sandbox._with(launch)


def test_the_limits_are_a_record() -> None:
    assert EVERY.limits == Limits(20, 200, 64, 32, 4 << 20, 50, 8 << 20, 70, 0, 1 << 20)
    assert EVERY.memory_bytes == 64 << 20
    assert NONE.limits == Limits()


def test_a_limit_of_memory_is_no_memory_of_its_own() -> None:
    """Whoever has the member `memory_bytes` passes for a guest, whose memory and I/O are counted in other ways."""
    assert not isinstance(_runtime_sandbox(EVERY), GivesMemory)
    assert isinstance(GuestSandbox.__new__(GuestSandbox), GivesMemory)


def test_a_cgroup_by_hand() -> None:
    """Its files, and the open files as an option of the launcher."""
    sandbox = NativeSandbox.__new__(NativeSandbox)
    sandbox._isolation, sandbox._cgroups, sandbox._filter = Isolation(cgroup=True), ("/c/memory/x", "/c/cpu/x"), None
    sandbox._root = Path("/w")
    options = sandbox._options(Path("/w"), Path("/w/upper"), 7, EVERY)
    set_there = files(
        memory_bytes=64 << 20,
        swap_bytes=1 << 20,
        cpu_percent=20,
        cpu_weight=200,
        processes=64,
        disk=DiskRates("254:0", 4 << 20, 50, 8 << 20, 70),
    )
    assert options == [
        "--cgroup=/c/memory/x/7",
        "--cgroup=/c/cpu/x/7",
        *(f"--limit={one}" for one in set_there),
        "--open-files=32",
    ]
    usual = sandbox._options(Path("/w"), Path("/w/upper"), 7, NONE)
    assert usual == ["--cgroup=/c/memory/x/7", "--cgroup=/c/cpu/x/7", *(f"--limit={one}" for one in files())]


def test_the_configuration_of_an_oci_runtime() -> None:
    found = configuration(_runtime_sandbox(EVERY), "one", ("ready",))
    assert found["linux"]["resources"] == {
        "memory": {"limit": 64 << 20, "swap": 65 << 20},
        "pids": {"limit": 64},
        "cpu": {"shares": 2048, "quota": 20000, "period": 100000},
        "blockIO": {
            "throttleWriteBpsDevice": [{"major": 254, "minor": 0, "rate": 4 << 20}],
            "throttleWriteIOPSDevice": [{"major": 254, "minor": 0, "rate": 50}],
            "throttleReadBpsDevice": [{"major": 254, "minor": 0, "rate": 8 << 20}],
            "throttleReadIOPSDevice": [{"major": 254, "minor": 0, "rate": 70}],
        },
    }
    assert found["process"]["rlimits"] == [{"type": "RLIMIT_NOFILE", "soft": 32, "hard": 32}]
    usual = configuration(_runtime_sandbox(NONE), "one", ("ready",))
    assert usual["linux"]["resources"] == {
        "memory": {"limit": 512 << 20},
        "pids": {"limit": 1024},
        "cpu": {"shares": 1024},
    }
    assert usual["process"]["rlimits"] == []


def test_the_configuration_of_lxc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of its cgroup as this host names them, the period of a quota before the quota."""
    monkeypatch.setattr(cgroups, "ROOT", tmp_path)
    sandbox = _runtime_sandbox(EVERY)
    lines = _lxc._configuration(sandbox, ("ready",)).splitlines()
    first, then = (lines.index(f"lxc.cgroup.cpu.cfs_{what} = {value}") for what, value in _QUOTA.items())
    assert first < then
    assert {"lxc.cgroup.memory.limit_in_bytes = 67108864", "lxc.cgroup.pids.max = 64"} <= set(lines)
    assert {"lxc.cgroup.blkio.throttle.write_iops_device = 254:0 50", "lxc.prlimit.nofile = 32"} <= set(lines)
    (tmp_path / "cgroup.controllers").write_text("cpu memory")
    lines = _lxc._configuration(sandbox, ("ready",)).splitlines()
    assert {
        "lxc.cgroup2.cpu.max = 20000 100000",
        "lxc.cgroup2.io.max = 254:0 wbps=4194304 wiops=50 rbps=8388608 riops=70",
    } <= set(lines)
    usual = _lxc._configuration(_runtime_sandbox(NONE), ("ready",))
    assert "lxc.cgroup." not in usual.replace("lxc.cgroup.dir", "") and "prlimit" not in usual


_QUOTA = {"period_us": "100000", "quota_us": "20000"}


def test_the_options_of_nspawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its cgroup is made for it (tests/contract/test_limits.py)."""
    monkeypatch.setattr(_nspawn, "_own_tree", lambda sandbox, name: Path("/w/root"))
    tool = _nspawn.NspawnDriver()
    assert "--rlimit=RLIMIT_NOFILE=32" in tool.command(_runtime_sandbox(EVERY), "one", ("ready",))
    assert not any(word.startswith("--rlimit") for word in tool.command(_runtime_sandbox(NONE), "one", ("ready",)))


@pytest.mark.parametrize(("is_second", "wanted"), [(False, ["own", "limited"]), (True, ["limited"])])
def test_a_process_is_in_one_cgroup_of_version_2(
    is_second: bool, wanted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of version 1 in one of each hierarchy; without limits in nspawn's own, which has none below it that limits."""
    parents: list[str] = []

    def limited_to(name: str, child: str, files: dict[str, str]) -> Any:
        parents.append(name)
        return nullcontext((Path("limited"),))

    monkeypatch.setattr(_nspawn, "is_version_2", lambda: is_second)
    monkeypatch.setattr(_nspawn, "limited", limited_to)
    monkeypatch.setattr(_nspawn, "make_own", lambda name: (Path("own"),))
    tool = _nspawn.NspawnDriver()
    with tool.started_in(_runtime_sandbox(EVERY), "one") as folders:
        assert list(map(str, folders)) == wanted
    assert parents == ["isobench-1-abcdef-nspawn-limits"]
    with tool.started_in(_runtime_sandbox(NONE), "one") as folders:
        assert list(map(str, folders)) == ["own"]


def test_the_options_of_podman(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISOBENCH_STATE", str(tmp_path))
    podman = PodmanDriver()
    wanted = {
        "--memory=67108864",
        "--memory-swap=68157440",
        "--cpus=0.2",
        "--cpu-shares=2048",
        "--pids-limit=64",
        "--ulimit=nofile=32:32",
        "--device-write-bps=/dev/vda:4194304",
        "--device-write-iops=/dev/vda:50",
        "--device-read-bps=/dev/vda:8388608",
        "--device-read-iops=/dev/vda:70",
    }
    assert wanted <= set(podman.command(_runtime_sandbox(EVERY), "one", ("ready",)))
    usual = podman.command(_runtime_sandbox(NONE), "one", ("ready",))
    assert not wanted & set(usual) and "--ulimit=nofile=1024:1024" in usual


def test_the_host_configuration_of_docker() -> None:
    sandbox = DockerSandbox.__new__(DockerSandbox)
    sandbox._info = {"DockerRootDir": "/var/lib/docker"}
    assert sandbox._limits(NONE) == {}
    assert sandbox._limits(EVERY) == {
        "mem_limit": 64 << 20,
        "memswap_limit": 65 << 20,
        "nano_cpus": 200_000_000,
        "cpu_shares": 2048,
        "pids_limit": 64,
        "ulimits": [{"Name": "nofile", "Soft": 32, "Hard": 32}],
        "device_write_bps": [{"Path": "/dev/vda", "Rate": 4 << 20}],
        "device_write_iops": [{"Path": "/dev/vda", "Rate": 50}],
        "device_read_bps": [{"Path": "/dev/vda", "Rate": 8 << 20}],
        "device_read_iops": [{"Path": "/dev/vda", "Rate": 70}],
    }


def _domain(launch: Launch) -> Any:
    sandbox = GuestSandbox.__new__(GuestSandbox)
    sandbox.storage, sandbox._board = Storage(), board()
    sandbox.environment = SimpleNamespace(domain_type="qemu", null=True)  # type: ignore[assignment]
    sandbox._kernel, sandbox._initramfs = Path("/k"), None
    return Xml.fromstring(sandbox._sized(launch).domain_xml("one", Files("s", "c", disk="/d"), ("x",)))


def test_the_domain_of_a_guest() -> None:
    """A quota is of all its threads; memory and CPUs are its own; the disk is limited by QEMU."""
    domain = _domain(
        limited(
            EVERY, memory_bytes=64 << 20, cpus=2, cpu_percent=150,
            write_bytes=4 << 20, write_operations=50, read_bytes=8 << 20, read_operations=70,
        )
    )  # fmt: skip
    assert (domain.findtext("memory"), domain.findtext("vcpu")) == ("64", "2")
    assert (domain.findtext("cputune/global_period"), domain.findtext("cputune/global_quota")) == ("100000", "150000")
    assert domain.findtext("devices/disk/iotune/write_bytes_sec") == "4194304"
    assert domain.findtext("devices/disk/iotune/write_iops_sec") == "50"
    assert domain.findtext("devices/disk/iotune/read_bytes_sec") == "8388608"
    assert domain.findtext("devices/disk/iotune/read_iops_sec") == "70"
    assert domain.find("cputune/shares") is None
    weighed = _domain(limited(NONE, cpu_weight=200))
    assert weighed.findtext("cputune/shares") == "2048" and weighed.find("cputune/global_quota") is None
    usual = _domain(NONE)
    assert (usual.findtext("memory"), usual.findtext("vcpu")) == ("192", "1")
    assert usual.find("cputune") is None and usual.find("devices/disk/iotune") is None


def test_the_card_of_a_guest() -> None:
    """libvirt counts kilobytes of 1000 bytes."""
    sandbox = TapSandbox.__new__(TapSandbox)
    sandbox.storage, sandbox._board = Storage(), board()
    sandbox.environment = SimpleNamespace(domain_type="qemu", null=True)  # type: ignore[assignment]
    sandbox._kernel, sandbox._initramfs = Path("/k"), None
    for launch, average in ((limited(NONE, receive_bytes=4 << 20), "4194"), (NONE, None)):
        domain = Xml.fromstring(sandbox._sized(launch).domain_xml("one", Files("s", "c"), ("x",)))
        inbound = domain.find("devices/interface/bandwidth/inbound")
        assert (inbound.get("average") if inbound is not None else None) == average
