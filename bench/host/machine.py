"""Host facts, and interference during a cell.

`facts` is for people, `fingerprint` identifies changes that may affect costs, `read` and `delta` are the interference
counters. Uses only the standard library: the runner reads the counters around every cell.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

from isobench.host import heartbeat
from isobench.host.counters import Counter
from isobench.processes.accounting import cgroup_paths, text_of

_SYS = Path("/sys")
_PROC = Path("/proc")
_CPU = _SYS / "devices/system/cpu"


_MACHINE_ID = Path("/etc/machine-id")
"""Empty in an image, or "uninitialized", until a first boot fills it (machine-id(5))."""


def host_id() -> str:
    """A stable name for this machine, safe as a folder: its host name and eight digits of its machine id's hash."""
    name = re.sub(r"[^A-Za-z0-9-]+", "-", platform.node()).strip("-")[:40] or "host"
    told = text_of(_MACHINE_ID)
    identity = (
        told if re.fullmatch("[0-9a-f]{32}", told) else text_of(_SYS / "class/dmi/id/product_uuid") or platform.node()
    )
    return f"{name}-{hashlib.sha256(identity.encode()).hexdigest()[:8]}"


def facts() -> dict[str, str]:
    """Host facts for people; facts that cannot be read are omitted."""
    cpu = _cpuinfo()
    memory = parse_meminfo(text_of(_PROC / "meminfo"))
    found = {
        "cpu": _cpu_name(cpu),
        "cpus": str(os.cpu_count() or 0),
        "smt": text_of(_CPU / "smt/active"),
        "governor": text_of(_CPU / "cpu0/cpufreq/scaling_governor"),
        "turbo": {"0": "on", "1": "off"}.get(text_of(_CPU / "intel_pstate/no_turbo"), ""),
        "memory": size(memory.get("MemTotal", 0)),
        "swap": size(memory.get("SwapTotal", 0)) if "SwapTotal" in memory else "",
        "kernel": platform.release(),
        "distribution": _distribution(),
        "virtual": virtualisation(),
        "confined": confined(),
        "mitigations": _mitigations(),
        "cgroup": cgroup_layout(),
        "thp": _bracketed(text_of(_SYS / "kernel/mm/transparent_hugepage/enabled")),
        "ksm": {"0": "off", "1": "on", "2": "unmerging"}.get(text_of(_SYS / "kernel/mm/ksm/run"), ""),
        "clocksource": text_of(_SYS / "devices/system/clocksource/clocksource0/current_clocksource"),
        "load": " ".join(text_of(_PROC / "loadavg").split()[:3]),
    }
    return {name: text for name, text in found.items() if text}


def fingerprint() -> dict[str, str]:
    """The host's part of what a trend segment depends on: CPU, microcode, kernel, mitigations, memory."""
    cpu = _cpuinfo()
    found = {
        "cpu": _cpu_name(cpu),
        "cpus": str(os.cpu_count() or 0),
        "microcode": cpu.get("microcode", ""),
        "kernel": platform.release(),
        "kernel_build": platform.version(),
        "mitigations": _mitigations(),
        "confined": "" if confined() == FREE else confined(),
    }
    return {name: text for name, text in found.items() if text}


FREE = "no"
"""Value of `confined` for a process that runs as any other."""
_POLICIES = {os.SCHED_FIFO: "FIFO", os.SCHED_RR: "round robin", os.SCHED_BATCH: "batch", os.SCHED_IDLE: "idle"}


def confined() -> str:
    """How the scheduling of this process and its children differs from that of engines' daemons: fewer processors
    (taskset, a cpuset), a nice value, a policy."""
    usable, all_of_them = len(os.sched_getaffinity(0)), os.cpu_count() or 1
    nice, policy = os.getpriority(os.PRIO_PROCESS, 0), os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK
    found = [f"{usable} of {all_of_them} processors"] * (usable < all_of_them)
    found += [f"nice {nice}"] * (nice != 0)
    found += [f"scheduled as {_POLICIES.get(policy, policy)}"] * (policy != os.SCHED_OTHER)
    return ", ".join(found) or FREE


EMULATED = "emulated CPU"
"""Prefix of `virtualisation` for a host whose instructions are translated: not even ratios hold there."""


UNKNOWN = "unknown"
"""Value of `virtualisation` for a host that shows neither a hypervisor nor its machine type."""

_VIRTUAL_VENDORS = re.compile(
    r"amazon ec2|alibaba|qemu|google|openstack|vmware|xen|innotek|virtualbox|parallels|bhyve|bochs|nutanix|ovirt"
    r"|red hat|kubevirt|digitalocean|hetzner|linode|akamai|vultr|upcloud|scaleway|exoscale|oraclecloud|huawei ?cloud"
    r"|tencent|microsoft corporation virtual|apple virtualization|kvm|virtual (machine|platform)|vserver|droplet",
    re.IGNORECASE,
)
"""Vendors and products (DMI) of hypervisors and of clouds with virtual machines, except those named "metal"."""


def virtualisation() -> str:
    """ "bare metal", "emulated CPU …", the hypervisor under this host as far as it shows itself, or "unknown"."""
    cpu = _cpuinfo()
    if "QEMU TCG" in cpu.get("model name", "") or _is_qemus_own(cpu):
        return f"{EMULATED} (QEMU without KVM)"
    vendor, product = (text_of(_SYS / "class/dmi/id" / name) for name in ("sys_vendor", "product_name"))
    named = " ".join(filter(None, (vendor, product)))
    if _hypervisor_shows(cpu, named):
        return f"virtual machine ({product or vendor})" if named else "virtual machine"
    shown = "flags" in cpu or named or text_of(_SYS / "firmware/devicetree/base/model")
    return "bare metal" if shown else UNKNOWN


def _is_qemus_own(cpu: Mapping[str, str]) -> bool:
    """Whether this is QEMU's Arm CPU "max", which no vendor makes: implementer 0, part "Q" (target/arm/tcg/cpu64.c)."""
    return (cpu.get("CPU implementer"), cpu.get("CPU part")) == ("0x00", "0x051")


def _hypervisor_shows(cpu: Mapping[str, str], named: str) -> bool:
    """By the CPU's flag (x86 only), /sys/hypervisor, the device tree, or the names."""
    if "flags" in cpu:
        guest_of_xen = text_of(_SYS / "hypervisor/type") == "xen" and "control_d" not in text_of(
            _PROC / "xen/capabilities"
        )
        return "hypervisor" in cpu["flags"].split() or guest_of_xen
    tree = _SYS / "firmware/devicetree/base"
    if (
        (tree / "hypervisor").exists()
        or "dummy-virt" in text_of(tree / "compatible")
        or text_of(_SYS / "hypervisor/type")
    ):
        return True
    asset = text_of(_SYS / "class/dmi/id/chassis_asset_tag")
    return bool(_VIRTUAL_VENDORS.search(f"{named} {asset}")) and not re.search(r"\bmetal\b", named)


def selinux_enforces() -> bool:
    """Whether SELinux denies what its policy forbids, and does not only log it."""
    return text_of(_SYS / "fs/selinux/enforce") == "1"


def virtualises() -> bool:
    """Whether the CPU supports virtual machines, as far as is known: only x86 has a flag for that."""
    flags = _cpuinfo().get("flags", "").split()
    return not flags or "vmx" in flags or "svm" in flags


def cgroup_layout() -> str:
    """ "v2", "hybrid" (controllers on v1, a v2 tree without), "v1", or empty."""
    if (_SYS / "fs/cgroup/cgroup.controllers").exists():
        return "v2"
    if (_SYS / "fs/cgroup/unified/cgroup.procs").exists():
        return "hybrid"
    return "v1" if (_SYS / "fs/cgroup/memory").exists() else ""


def drop_caches() -> bool:
    """Write dirty pages back and drop the page cache, dentries and inodes; returns whether that took effect (it needs
    root).

    The kernel counts how often it did. How much is cached afterwards says less: another process may be writing.
    """
    os.sync()
    before = _drops()
    try:
        (_PROC / "sys/vm/drop_caches").write_text("3")
    except OSError:
        return False
    return _drops() > before


def _drops() -> int:
    """How often the page cache was dropped since boot; 0 if this kernel cannot do it."""
    found = re.search(r"^drop_pagecache (\d{1,18})$", text_of(_PROC / "vmstat"), re.MULTILINE)
    return int(found[1]) if found else 0


def begin(cgroups: Iterable[str] = ()) -> None:
    """Make `read` also count throttling in these cgroups below the root, which contain engines' instances."""
    global _engines
    _engines = tuple(dict.fromkeys(cgroups))
    _throttle_files.cache_clear()


_engines: tuple[str, ...] = ()


def read() -> dict[str, float]:
    """A snapshot of the interference counters, without those that this kernel does not have."""
    snapshot = {
        Counter.CLOCK_STEP: time.clock_gettime(time.CLOCK_REALTIME) - time.clock_gettime(time.CLOCK_MONOTONIC),
        Counter.SUSPENDED: time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC),
        **parse_stat(text_of(_PROC / "stat")),
        **parse_vmstat(text_of(_PROC / "vmstat")),
        **parse_diskstats(text_of(_PROC / "diskstats")),
    }
    limits = [text_of(file) for file in _CPU.glob("cpufreq/policy*/scaling_max_freq")]
    if limits:
        snapshot["frequency_limits_khz"] = float(sum(int(limit) for limit in limits if limit.isdecimal()))
    stood_still = heartbeat.late_seconds()
    if stood_still is not None:
        snapshot[Counter.STOOD_STILL] = stood_still
    snapshot.update(parse_schedstat(text_of(_PROC / "schedstat")))
    throttled = [parse_throttled(text_of(file), file.name) for file in _throttle_files()]
    if throttled:
        snapshot[Counter.THROTTLED] = sum(throttled)
    for resource in ("cpu", "io", "memory"):
        total = parse_pressure(text_of(_PROC / "pressure" / resource))
        if total is not None:
            snapshot[Counter(f"psi_{resource}_seconds")] = total
    return snapshot


def delta(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """The differences between two snapshots, by counter."""
    changes = {name: after[name] - value for name, value in before.items() if name in after and name not in _LEVELS}
    for level, name in _LEVELS.items():
        if level in before and level in after:
            changes[name] = abs(after[level] - before[level])
    return {name: round(value, 6) for name, value in changes.items()}


_LEVELS = {"cpus_online": Counter.CPUS_ONLINE, "frequency_limits_khz": Counter.FREQUENCY_LIMIT}
"""Counters that are levels, not counts -> the name of the change."""


def parse_stat(text: str) -> dict[str, float]:
    """Seconds of all CPUs (busy, idle, in interrupts, stolen), context switches, CPUs online, out of /proc/stat."""
    found: dict[str, float] = {}
    online = 0
    for line in text.splitlines():
        words = line.split()
        if len(words) > 1 and re.fullmatch(r"cpu\d+", words[0]):
            online += 1
        elif len(words) > 8 and words[0] == "cpu" and all(word.isdecimal() for word in words[1:9]):
            user, nice, system, idle, waiting, hard, soft, steal = (int(w) / _TICKS for w in words[1:9])
            found |= {Counter.BUSY: user + nice + system, Counter.IDLE: idle + waiting,
                      Counter.INTERRUPTS: hard + soft, Counter.STEAL: steal}  # fmt: skip
        elif len(words) == 2 and words[0] == "ctxt" and words[1].isdigit():
            found[Counter.CONTEXT_SWITCHES] = float(int(words[1]))
    if online:
        found["cpus_online"] = float(online)
    return found


_TICKS = os.sysconf("SC_CLK_TCK")


def parse_diskstats(text: str) -> dict[str, float]:
    """Seconds in which disks had requests in flight, summed over disks, from /proc/diskstats. Partitions and stacked
    devices (md, dm, loop, zram) are skipped, since they would count the same request twice."""
    busy = [
        int(words[12])
        for words in map(str.split, text.splitlines())
        if len(words) > 12 and _DISK.fullmatch(words[2]) and words[12].isdecimal()
    ]
    return {Counter.DISK_BUSY: sum(busy) / 1e3} if busy else {}


_DISK = re.compile(r"(?:[shv]d|xvd)[a-z]+|nvme\d+n\d+|mmcblk\d+")


def parse_schedstat(text: str) -> dict[str, float]:
    """Seconds that tasks waited for a CPU, summed, from /proc/schedstat: for kernels without pressure."""
    waited = re.findall(r"^cpu\d+(?: \d+){7} (\d{1,18}) \d+$", text, re.MULTILINE | re.ASCII)
    return {Counter.WAITED: sum(map(int, waited)) / 1e9} if waited else {}


def parse_vmstat(text: str) -> dict[str, float]:
    """Pages swapped in and out since boot, and pages that tasks had to reclaim themselves (direct reclaim), from
    /proc/vmstat."""
    found: dict[str, float] = {}
    for line in text.splitlines():
        name, _, count = line.partition(" ")
        if name in _PAGES and count.isdigit():
            found[_PAGES[name]] = found.get(_PAGES[name], 0.0) + int(count)
    return found


def parse_throttled(text: str, name: str) -> float:
    """Seconds of throttling: of a hot CPU or package (milliseconds in ..._throttle_total_time_ms), or of a cgroup by
    its CPU quota (cpu.stat: throttled_usec on version 2, throttled_time in nanoseconds on version 1)."""
    if name != "cpu.stat":
        return int(text) / 1e3 if text.isascii() and text.isdigit() else 0.0
    match = re.search(r"^throttled_(usec|time) (\d{1,18})$", text, re.MULTILINE | re.ASCII)
    return int(match[2]) / (1e6 if match[1] == "usec" else 1e9) if match else 0.0


def parse_pressure(text: str) -> float | None:
    """Total stall time in seconds of the "some" line of a /proc/pressure file, or None."""
    match = re.search(r"^some .*\btotal=(\d+)", text, re.MULTILINE)
    return int(match[1]) / 1e6 if match else None


def size(count: int) -> str:
    """Bytes in a readable unit: 23.4 GiB, 48.0 MiB; "none" for zero."""
    for unit, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count} B" if count else "none"


def parse_meminfo(text: str) -> dict[str, int]:
    """/proc/meminfo in bytes."""
    return {m[1]: int(m[2]) * 1024 for m in re.finditer(r"^(\S+):\s+(\d{1,15}) kB$", text, re.MULTILINE | re.ASCII)}


@cache
def _throttle_files() -> tuple[Path, ...]:
    """Files that show whether CPUs, or a cgroup with this process or an engine's instances, were throttled.

    A cgroup's quota throttles everything beneath it, but only its own file shows it. So every parent is included, even
    if the path belongs to another namespace's tree, as are the cgroups in which engines put their instances.
    """
    found = list(_CPU.glob("cpu[0-9]*/thermal_throttle/core_throttle_total_time_ms"))
    packages = {text_of(file.parents[1] / "topology/physical_package_id"): file
                for file in _CPU.glob("cpu[0-9]*/thermal_throttle/package_throttle_total_time_ms")}  # fmt: skip
    folders: dict[Path, None] = {}
    for controllers, path in cgroup_paths(text_of(_PROC / "self/cgroup")):
        if controllers == [""] or "cpu" in controllers:
            joined = ",".join(controllers)
            for tree in dict.fromkeys((joined, joined and "cpu")):
                own = Path(path.lstrip("/"))
                folders |= dict.fromkeys(
                    _SYS / "fs/cgroup" / tree / part for part in (own, *own.parents, *map(Path, _engines))
                )
    once = {(status.st_dev, status.st_ino): file for folder in folders
            if (file := folder / "cpu.stat").is_file() and (status := file.stat())}  # fmt: skip
    return (*found, *packages.values(), *once.values())


_PAGES = {"pswpin": Counter.SWAPPED, "pswpout": Counter.SWAPPED, "pgsteal_direct": Counter.RECLAIMED}


def _cpuinfo() -> dict[str, str]:
    """The first CPU's block of /proc/cpuinfo."""
    block = text_of(_PROC / "cpuinfo").split("\n\n")[0]
    pairs = (line.partition(":") for line in block.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _cpu_name(cpu: Mapping[str, str]) -> str:
    """The CPU's name, or on ARM its identifying numbers."""
    numbers = [f"{key} {cpu[f'CPU {key}']}" for key in ("implementer", "part", "variant") if f"CPU {key}" in cpu]
    return cpu.get("model name") or ", ".join([platform.machine(), *numbers])


def _distribution() -> str:
    match = re.search(r'^PRETTY_NAME="?([^"\n]*)', text_of(Path("/etc/os-release")), re.MULTILINE)
    return match[1] if match else ""


def _mitigations() -> str:
    folder = _CPU / "vulnerabilities"
    found = [(f.name, text_of(f)) for f in sorted(folder.glob("*"))] if folder.exists() else []
    return "; ".join(f"{name}: {text}" for name, text in found if text and text != "Not affected")


def _bracketed(text: str) -> str:
    match = re.search(r"\[(.*?)\]", text)
    return match[1] if match else text
