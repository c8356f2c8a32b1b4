"""What each host runs, in this order: commands for root's shell in /srv/isobench, and how long they may take.

The README's two commands need a network for pipx and nox, which only the fresh hosts have: on all others the commands
that they call are run directly, in an environment with the dependencies installed. Most checks take one block, because
the question is what works, not what it costs; the one check of costs takes the six that an interval needs, and a block
before them as a warm-up. Guests without KVM take minutes on an emulated CPU: `doctor` launches each, and one is
measured, separately.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from verification.hosts.host import Host
    from verification.hosts.machine import Done, Machine

_RUN = "python -m verification.hosts.one_block run --quiet --no-report --blocks 1"
"""Excluding disturbed blocks would exclude most: an emulated CPU pauses whenever its machine does something else."""
_PYTEST = "ISOBENCH_TEST_GUEST=kvm ISOBENCH_RUN_TIMEOUT=5m python -m pytest -q -p no:cacheprovider --durations=10"
"""Guests without KVM would take minutes each. The tests' own deadlines are for a host that is not emulated."""
_NO_SKIP = "| tee out/tests.txt; tail -1 out/tests.txt | grep passed | grep -vE 'skipped|failed|error'"
"""pytest counts a skip as a success, but here a test that is named must run."""
_CUT_OFF = """\
rm -rf out/long
long="--blocks 500 --no-report --out out/long"
isobench run --quiet $long -e process,handmade,docker,kvm -s startup > out/long.txt 2>&1 &
until test "$(cat out/long/*/*/journal.jsonl 2> /dev/null | wc --lines)" -ge 2; do kill -0 $! || exit 1; sleep 5; done
sleep 20
"""
_LEFT = """\
left=$(ls -d /var/tmp/isobench-* /var/lib/isobench/work/isobench-* /etc/apparmor.d/libvirt/libvirt-* 2> /dev/null
    find /sys/fs/cgroup -name '*isobench-[0-9]*' -o -name '*isobench?x2d[0-9]*'
    virsh --quiet list --all --name | grep isobench-
    docker ps --all --quiet --filter label=isobench.run
    grep -o '/[^ ]*isobench-[^ ]*' /proc/self/mountinfo
    pgrep --full --list-full '[i]sobench-[0-9]')
if [ -n "$left" ]; then echo "left behind: $left" >&2; exit 1; fi
values=$(($(isobench export out/long/*/* --to csv | wc --lines) - 1))
echo "nothing is left behind, and $values values of before can be read"
test "$values" -gt 0
"""
"""The names of units, and so of their cgroups, have `\\x2d` for `-` (systemd-machined makes one for each guest)."""
_NIGHTLY = """\
ln -sfn /srv/isobench /opt/isobench
cp contrib/systemd/isobench-nightly.* /etc/systemd/system
mkdir -p /etc/systemd/system/isobench-nightly.service.d /etc/systemd/system/isobench-nightly.timer.d
cat > /etc/systemd/system/isobench-nightly.service.d/lab.conf << END
[Service]
ExecStart=
ExecStart=$(command -v python) -m verification.undisturbed nightly --folder /var/lib/isobench/nightly \
 --out /var/lib/isobench/results -e process,docker,kvm -s startup --blocks 1
END
printf '[Timer]\\nOnCalendar=\\nOnActiveSec=5\\n' > /etc/systemd/system/isobench-nightly.timer.d/lab.conf
systemctl daemon-reload
systemctl start isobench-nightly.timer
ended=--property=ExecMainExitTimestampMonotonic
until systemctl show $ended isobench-nightly.service | grep -q '=[1-9]'; do sleep 5; done
journalctl --unit isobench-nightly.service --output cat | tail -30
test "$(systemctl show --property=Result --value isobench-nightly.service)" = success
ls /var/lib/isobench/nightly
"""
DEFAULT = "process,chroot,ns-all,docker,tcg-null,kvm-null,kvm"
"""The group `default` without a Linux guest that is emulated twice."""
_USER = f"""\
id anna > /dev/null 2>&1 || useradd --create-home --groups docker,libvirt,kvm anna
install -d -o anna /srv/anna  # QEMU's own user reaches nothing in a home of Debian 13
runuser --login anna --command "cd && export ISOBENCH_CACHE=/srv/anna PATH=/opt/isobench-python/bin:\\$PATH &&
 isobench doctor -e {DEFAULT} > doctor.txt;
 PYTHONPATH=/srv/isobench {_RUN} -e {DEFAULT} -s startup; code=\\$?; isobench clean; exit \\$code"
code=$?
cp -r ~anna/results/* results/; cp ~anna/doctor.txt out/doctor-of-a-user.txt
isobench clean  # libvirt leaves files to root (docs/troubleshooting.md)
left=$(ls -d /etc/apparmor.d/libvirt/libvirt-* /var/log/libvirt/qemu/isobench-* 2> /dev/null)
if [ -n "$left" ]; then echo "left behind: $left" >&2; exit 1; fi
exit $code
"""

DENIED = r"""
mkdir -p out
test ! -e /var/log/audit/audit.log || sed -nE '/^type=AVC/{
    s/.*avc: +(denied .*) permissive=.*/\1/; s/ (pid|ino|dev|name|path)=[^ ]+//g; s/:c[0-9]+,c[0-9]+//g; p
}' /var/log/audit/audit.log | sort | uniq -c | sort -rn > out/denied.txt"""
"""For root's shell: what SELinux would have denied by now, and how often, into `out`."""


class Check(NamedTuple):
    """A check passes if `command` exits with 0 and so does `afterwards`, if given, after a reboot."""

    name: str
    command: str
    minutes: float
    afterwards: str = ""
    workloads: bool = False
    """Whether all of it needs root file systems of Debian packages, which no host of another architecture can have."""
    trees: bool = False
    """Whether some of it does."""
    is_fresh: bool = False
    """Whether it is for a fresh host, which reaches mirrors, or for one that has all and reaches nothing."""

    def is_for(self, host: Host) -> bool:
        """Whether this host can carry it out."""
        return self.is_fresh == host.is_fresh and not (self.workloads and host.is_foreign)

    def is_asked_of(self, host: Host) -> bool:
        """Whether this host is to carry it out when nobody chooses."""
        return self.is_for(host) and (not host.checks or self.name in host.checks)


class Outcome(NamedTuple):
    """`note` says what went wrong."""

    passed: bool
    note: str
    minutes: float


NO_ANSWER = 255
"""ssh's own exit code."""
SHORT = "process,docker,kvm-null,kvm"
KVM_STORAGE = "kvm-iouring,kvm-writeback,kvm-qcow2,kvm-scsi,kvm-virtiofs,kvm-9p"
DRIVERS = "docker-nonet,docker-overlay2,docker-containerd,docker-vfs,docker-fuse,docker-btrfs,docker-remap"
STORAGE = f"process-tmpfs,docker-bind,docker-volume,docker-tmpfs,{KVM_STORAGE}"
NETWORK = "docker-published,kvm-user,kvm-tap"
FIRST_HERE = "ns-all+cgroup,handmade,crun,docker-privileged,kvm-user,kvm-tap"
"""What only a host with KVM and cgroup version 2 can measure, beside the storage of guests."""
WORKLOADS = ("redis", "nginx", "sqlite", "python")
SLOW_WORKLOADS = ("postgres", "compile", "files", "cpu", "memory-access")
"""The other ones, which take longer on an emulated CPU. The root file systems of all are made here, because a host
reaches no mirror."""
LIMITS = "ns-all+cgroup,handmade,runc,crun,containerd,podman,lxc,nspawn,docker,kvm,kvm-tap"
IMAGES = "image-scratch,image-busybox,image-distroless,image-distroless-zstd,image-layers-10,image-signed"
"""All kinds would take three hours. The check of disks has one of Debian packages."""
_SWAP = f"""\
rm -rf out/swap
dd if=/dev/zero of=/swap bs=1M count=512 status=none && chmod 600 /swap && mkswap /swap && swapon /swap || exit 1
{_RUN} -e ns-all+cgroup,runc,podman,docker -s limit-memory --out out/swap; code=$?
swapoff /swap; rm /swap
got=$(cat out/swap/*/*/session.json | grep -c "as much swap it got 1[012][0-9] MiB: killed")
echo "$got of 4 had as much again in swap"
test "$got" -eq 4 && exit $code"""
"""The machine that these hosts run on may have no swap. What swap changes is a fact of each environment."""
COSTS = "process,docker,kvm-null,kvm"
_COSTS = f"""\
rm -rf out/costs
python -m verification.undisturbed run --quiet --no-report --blocks 6 -e {COSTS} -s startup,memory --out out/costs &&
isobench export out/costs/*/* --to bundle --out out/costs.tar.gz
"""
_ENVIRONMENTS = "tests/contract/test_environments.py"
_CONTRACT = f"modprobe --all btrfs xfs; {_PYTEST} -m 'not slow and not browser'"
"""With the file systems that share blocks, which are not known before somebody mounts one."""


def _files(*names: str) -> str:
    return " ".join(f"tests/contract/test_{name}.py" for name in names)


CONTRACT = {
    "processes and runtimes": f"{_ENVIRONMENTS} -k 'not docker and not kvm and not tcg'",
    "Docker": f"{_ENVIRONMENTS} -k 'docker'",
    "KVM": f"{_ENVIRONMENTS} -k 'kvm'",
    "guests": _files("disks", "guest_kernels", "guests", "hanging_libvirt", "memory_scenarios", "network", "storage"),
    "programs": _files("commands", "failures", "no_room", "same_program", "talkative", "workloads"),
    "limits": _files("capacity", "cgroups", "limits", "monitoring"),
    "neighbours and reach": _files("leaks", "neighbours", "out_of_sight", "startup_scenarios", "surface", "tracing"),
    "images": _files("image_signed", "images", "registry"),
    "images that fail": _files("image_faults"),
    "engines": _files("drivers", "rootless"),
    "what engines leave": _files("containerd", "daemons", "engine_dies", "helpers_of_podman", "tools_leavings"),
}
"""What the contract tests are of, and which they are: parts of about an hour on an emulated CPU, which are run and
recorded separately."""
_PIPX = "apt-get update -qq && apt-get install -qq pipx > out/pipx.txt"
_FEW = "-e process,ns-all,docker,kvm -s startup --blocks 2 --max-time 30m"
_FIRST = f"""\
pipx run nox -s bench -- --provision {_FEW} 2>&1 | tee out/first.txt
grep -q '^report: .*index.html' out/first.txt && grep -q '^startup.ready *kvm *[0-9]' out/first.txt"""
"""An emulated CPU pauses, so blocks are excluded and nothing may be concluded (exit 5): there has to be a report, with
a guest under KVM in it."""
_SOME = "tests/unit/core tests/contract/test_environments.py -k 'core or [docker] or [kvm]'"
_SECOND = f"pipx run nox -s tests -- --provision {_SOME}"
_DISTRO = f"""\
{_PIPX.replace("pipx >", "pipx extlinux fdisk >")} && pipx run nox -s bench -- --provision -e process --dry-run &&
.nox/bench/bin/{_RUN} -e process,kvm-distro -s startup"""
"""Only a host that reaches mirrors can make a distribution's disk. nox makes the environment for isobench."""
CHECKS = (
    Check("Docker and KVM", f"isobench doctor --require {SHORT} -e {SHORT} && {_RUN} -e {SHORT} -s startup,memory", 90),
    Check("their contract tests", f"{_PYTEST} {_ENVIRONMENTS} -k '[docker] or [kvm-null] or [kvm]' {_NO_SKIP}", 60),
    Check("doctor", "isobench doctor --json > out/doctor.json", 180),
    Check("default", f"{_RUN} -e {DEFAULT}".replace("--no-report ", ""), 180),
    Check("without KVM", f"{_RUN} -e process,tcg -s startup,memory", 120),
    Check("costs", _COSTS, 180),
    Check("ladder", f"{_RUN} -e ladder,containers -s startup,memory", 180),
    Check("storage", f"{_RUN} -e {STORAGE} -s startup,io", 180),
    Check("network", f"{_RUN} -e {NETWORK} -s startup,net", 180),
    Check("workloads", f"{_RUN} -e chroot,docker,kvm -w {','.join(WORKLOADS)}", 180, workloads=True),
    Check("slow workloads", f"{_RUN} -e process,kvm -w {','.join(SLOW_WORKLOADS)}", 180, workloads=True),
    Check("limits", f"{_RUN} -e {LIMITS} -s limits,monitoring", 180),
    Check("limits with swap", _SWAP, 60),
    Check("images", f"{_RUN} -e docker,podman,containerd,runc -s {IMAGES}", 120),
    Check("disks", f"{_RUN} -e docker,kvm -s image-slim,disk", 90, trees=True),
    Check("storage drivers", f"modprobe btrfs; {_RUN} -e {DRIVERS} -s startup,memory,io", 120),
    Check("without root", f"{_RUN} -e podman,docker,rootless -s startup,memory", 90),
    Check("reach", f"{_RUN} -e process,handmade,docker,kvm -s surface,surface-functions,startup", 90),
    *(Check(f"contract tests of {what}", f"{_CONTRACT} {words}", 150, trees=True) for what, words in CONTRACT.items()),
    Check("the default scenarios", f"{_RUN} -e process,{FIRST_HERE} -s default", 240),
    Check("and of guests' storage", f"{_RUN} -e process,{KVM_STORAGE} -s default", 240),
    Check("nightly by a timer", _NIGHTLY, 120),
    Check("compare", "set -- $(ls -d out/costs/*/* results/*/* | head -1); isobench compare $1 $1", 10),
    Check("kill -9 and clean", f"{_CUT_OFF} kill -9 $!; sleep 5; isobench clean; {_LEFT}", 60),
    Check("an ordinary user", _USER, 120),
    Check("reboot in a run", _CUT_OFF, 60, f"isobench clean; {_LEFT}"),
    Check("the README's first command", f"{_PIPX} && {_FIRST}", 240, is_fresh=True),
    Check("the README's second command", f"{_PIPX} && {_SECOND}", 240, is_fresh=True),
    Check("distributions", _DISTRO, 240, is_fresh=True),
)


def carry_out(check: Check, machine: Machine) -> Outcome:
    """Run a check in the host. Its output is stored next to the console's.

    If the host itself broke down, once more when it is up again: in hours of emulated KVM a host's kernel may panic.
    """
    done = _shell(machine, check.command, check.minutes)
    said = f"$ {check.command}\n{done.out}{done.err}"
    broke_down = done.code == NO_ANSWER
    if broke_down:
        machine.wait()
        done = _shell(machine, check.command, check.minutes)
        said += f"\nthe host broke down, and once more:\n{done.out}{done.err}"
    if check.afterwards and done.code == 0:
        machine.reboot()
        done = _shell(machine, check.afterwards, check.minutes)
        said += f"rebooted\n$ {check.afterwards}\n{done.out}{done.err}"
    file = machine.folder / f"{check.name.replace(' ', '-')}.txt"
    file.write_text(f"{said}\nended with {done.code} after {done.seconds:.0f} s\n")
    note = _note(done) + (", after the host had broken down once" if broke_down else "")
    return Outcome(done.code == 0, note, done.seconds / 60)


def _shell(machine: Machine, command: str, minutes: float) -> Done:
    return machine.run(f"mkdir -p out; export PATH=/opt/isobench-python/bin:$PATH; {command}", minutes * 60)


def _note(done: Done) -> str:
    """Whether it passed; otherwise its exit code and its last line."""
    if done.code == 0:
        return "passed"
    if done.code == 124:
        return f"took longer than {done.seconds / 60:.0f} minutes"
    lines = [line.strip() for line in (done.out + done.err).splitlines() if line.strip()]
    return f"exit {done.code}: {lines[-1] if lines else 'it said nothing'}"
