"""Records the host's network before a private dockerd changes it, and restores it afterwards.

dockerd creates a bridge, interfaces on it, chains and rules, turns forwarding on and sets FORWARD's policy, and reverts
none of that. The previous state is recorded in a file, locked as long as its session lives, so that the next session
can restore it after a kill. Changes of others, and everything that existed before, are not touched.

All dockerds of a network namespace share its bridge and chains. If one that started later still runs, the one that ends
leaves them to it. If that one belongs to another session, it inherits the older record, and restores it when it ends.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
import shlex
import socket
import stat
import subprocess
import time
from collections import Counter
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from isobench.core import deadlines
from isobench.core.errors import Unavailable
from isobench.daemons import links, namespaces
from isobench.filesystem.files import atomic_write, try_lock
from isobench.processes.accounting import pids_with
from isobench.processes.programs import find

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_BRIDGE = "docker0"
_TOOLS = ("iptables", "ip6tables")
_SETTINGS = (
    *("net/ipv4/ip_forward", "net/ipv6/conf/default/forwarding", "net/ipv6/conf/all/forwarding"),
    *("net/bridge/bridge-nf-call-iptables", "net/bridge/bridge-nf-call-ip6tables"),
)
_WRITTEN = re.compile(r"(inherited-)?network-[0-9]+\.json")
_ENDING = 20.0
"""Seconds to wait for the dockerd of a killed session to end."""


class Table(NamedTuple):
    """Chain -> policy ("-" if it is not built in), and the rules, as iptables-save(8) writes them."""

    chains: dict[str, str]
    rules: list[str]


def keep(state: Path) -> int:
    """Restore what a killed session left, then record the current state; returns the descriptor that holds the lock.

    Raises `Unavailable` if another session is alive.
    """
    kept: Mapping[str, Any] | None = None
    with suppress(FileNotFoundError):
        kept = put_back(state)
    if kept is None:
        kept = {
            "boot": _boot(),
            "at": time.clock_gettime(time.CLOCK_BOOTTIME),
            "namespace": namespaces.cookie(),
            "handle": namespaces.handle(),
            "bridge": _has_bridge(),
            "links": links.indexes(),
            "settings": {name: file.read_text() for name in _SETTINGS if (file := Path("/proc/sys", name)).exists()},
            "rules": {tool: _saved(tool) for tool in _TOOLS},
        }
    return atomic_write(_file(state), [json.dumps(kept).encode()], mode=0o600, lock=True)


def put_back(state: Path, own: int = -1) -> Mapping[str, Any] | None:
    """Restore the recorded state and delete the record; what could not be restored stays recorded, and is returned.

    `own` is the descriptor of the session that owns the file. Without it, raises `FileNotFoundError` if there is no
    file, and `Unavailable` if its session or dockerd is alive.
    """
    file = _file(state)
    descriptor = own if own >= 0 else _locked(file)
    try:
        if own < 0:
            _await_end(state)
        kept = _oldest(state)
        if kept is not None:
            later = [pid for pid in links.dockerds() if _began(pid) > _age(kept)]
            if later:
                _hand_over(kept, state, later)
            else:
                _put_back(kept, state)
                if any(_differences(kept, state)):
                    return kept
        _inherited(state).unlink(missing_ok=True)
        file.unlink()
        return None
    finally:
        os.close(descriptor)


def forget_dead(state: Path, *, dry_run: bool = False) -> list[str]:
    """Remove the records of network namespaces that no longer exist; returns the files.

    The caller holds the lock on the state, so no living session owns them.
    """
    here = (_file(state), _inherited(state))
    files = [file for file in state.glob("*network-*.json") if _WRITTEN.fullmatch(file.name) and file not in here]
    dead = []
    for file in files:
        with suppress(OSError, Unavailable, ValueError, KeyError, TypeError):
            descriptor = _locked(file)
            try:
                kept = json.loads(file.read_bytes())
                inode = int(file.stem.rpartition("-")[2])
                if kept["boot"] != _boot() or namespaces.is_gone(inode, kept.get("handle", "")):
                    dead.append(str(file))
                    if not dry_run:
                        file.unlink()
            finally:
                os.close(descriptor)
    return dead


def left_behind(state: Path) -> bool:
    """Whether a killed session left something to restore."""
    try:
        os.close(_locked(_file(state)))
    except (FileNotFoundError, Unavailable):
        return False
    return True


def _file(state: Path) -> Path:
    """The record's file: one per network namespace, since each can be restored only in its own."""
    return state / f"network-{Path('/proc/self/ns/net').stat().st_ino}.json"


def _inherited(state: Path) -> Path:
    """An older record, of a session that ended while this one's dockerd was running."""
    return state / f"inherited-{_file(state).name}"


def _oldest(state: Path) -> dict[str, Any] | None:
    """The oldest record of this network since the host was booted, if there is one."""
    found = []
    for file in (_file(state), _inherited(state)):
        with suppress(FileNotFoundError):
            kept: dict[str, Any] = json.loads(file.read_bytes())
            if kept["boot"] == _boot() and kept.get("namespace", 0) in (0, namespaces.cookie()):
                found.append(kept)
    return min(found, key=_age, default=None)


def _age(kept: Mapping[str, Any]) -> float:
    return float(kept.get("at", 0.0))


def _began(pid: int) -> float:
    """When a process began, in seconds since boot (proc(5)); 0 if it has ended."""
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return 0.0


def _hand_over(kept: Mapping[str, Any], state: Path, others: Sequence[int]) -> None:
    """Leave the bridge and chains to another session's dockerd with the record, or to the host's own for good."""
    for name in _links_left(kept, state):
        subprocess.run(["ip", "link", "delete", name], check=False, capture_output=True, process_group=0)
    for pid in others:
        heir = _state_of(pid)
        theirs = _oldest(heir) if heir else None
        if heir and theirs:
            if _age(kept) < _age(theirs):
                os.close(atomic_write(_inherited(heir), [json.dumps(kept).encode()], mode=0o600))
            return


def _state_of(pid: int) -> Path | None:
    """The state of a private dockerd; None unless it is this user's own, in a folder that nobody else can change."""
    with suppress(OSError):
        for word in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
            if word.startswith(b"--data-root=") and word.endswith(b"/data"):
                state = Path(os.fsdecode(word.removeprefix(b"--data-root="))).parent
                folder = state.lstat()
                own = folder.st_uid == Path(f"/proc/{pid}").stat().st_uid == os.geteuid()
                if own and stat.S_ISDIR(folder.st_mode) and not folder.st_mode & 0o022 and _file(state).is_file():
                    return state
    return None


def _locked(file: Path) -> int:
    descriptor = os.open(file, os.O_RDWR | os.O_NOFOLLOW)
    try:
        if try_lock(descriptor):
            return descriptor
    except OSError:
        os.close(descriptor)
        raise
    os.close(descriptor)
    raise Unavailable(f"another session's private Docker runs in {file.parent}")


def _await_end(state: Path) -> None:
    """Wait for dockerd to end: it dies shortly after its session, and would recreate its rules until then."""
    deadline = time.monotonic() + deadlines.stretched(_ENDING)
    while living := pids_with("dockerd", f"--data-root={state}/data"):
        if time.monotonic() > deadline:
            raise Unavailable(f"dockerd of a killed session is still running (pid {living[0]})")
        time.sleep(0.1)


def _boot() -> str:
    """Whether the record is of this boot: earlier changes are gone."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _has_bridge() -> bool:
    """Not read from /sys, which may show another network namespace."""
    return _BRIDGE in (name for _, name in socket.if_nameindex())


def _put_back(kept: Mapping[str, Any], state: Path) -> None:
    for command in _differences(kept, state):
        subprocess.run(command, check=False, capture_output=True, process_group=0)
    for name, value in kept["settings"].items():
        file = Path("/proc/sys", name)
        with suppress(OSError):
            if file.read_text() != value:
                file.write_text(value)


def _differences(kept: Mapping[str, Any], state: Path) -> Iterator[list[str]]:
    """The commands that undo the differences."""
    subnets = _subnets()
    for tool in _TOOLS:
        before, now = kept["rules"].get(tool), _saved(tool)
        if before is not None and now is not None:
            for words in undoing(parsed(before), parsed(now), subnets):
                yield [tool, "-w", *words]
    for name in _links_left(kept, state):
        yield ["ip", "link", "delete", name]
    if not kept["bridge"] and _has_bridge():
        yield ["ip", "link", "delete", _BRIDGE]


def _links_left(kept: Mapping[str, Any], state: Path) -> list[str]:
    if "links" not in kept:
        return []
    return list(links.left(kept["links"], _BRIDGE, state / "data", is_ours=not kept["bridge"]))


def undoing(before: Mapping[str, Table], now: Mapping[str, Table], subnets: Sequence[str]) -> Iterator[list[str]]:
    """Arguments of iptables that lead from the current rules to the recorded ones, for differences made by dockerd."""
    for name in dict.fromkeys((*now, *before)):
        old, new = before.get(name, Table({}, [])), now.get(name, Table({}, []))
        table = ["-t", name]
        made = [chain for chain in new.chains if chain.startswith("DOCKER") and chain not in old.chains]
        more = Counter(new.rules) - Counter(old.rules)
        for rule in new.rules:
            words = shlex.split(rule)
            if more[rule] > 0 and words[1] not in made and _is_dockers(words, subnets):
                more[rule] -= 1
                yield [*table, "-D", *words[1:]]
        yield from ([*table, "-F", chain] for chain in made)
        yield from ([*table, "-X", chain] for chain in made)
        yield from (
            [*table, "-N", chain] for chain in old.chains if chain.startswith("DOCKER") and chain not in new.chains
        )
        yield from ([*table, *words] for words in _lost(old, new, subnets))
        policy = old.chains.get("FORWARD", "ACCEPT")
        if name == "filter" and new.chains.get("FORWARD", policy) != policy:
            yield [*table, "-P", "FORWARD", policy]


def _lost(old: Table, new: Table, subnets: Sequence[str]) -> Iterator[list[str]]:
    """Rules that dockerd removed (it empties chains with its names when it starts), each at its place."""
    less = Counter(old.rules) - Counter(new.rules)
    places: Counter[str] = Counter()
    for rule in old.rules:
        words = shlex.split(rule)
        gone = less[rule] > 0
        less[rule] -= gone
        if gone and not (_is_dockers(words, subnets) and (words[1] in new.chains or words[1].startswith("DOCKER"))):
            continue  # its owner has removed it
        places[words[1]] += 1
        if gone:
            yield ["-I", words[1], str(places[words[1]]), *words[2:]]


def _is_dockers(words: Sequence[str], subnets: Sequence[str]) -> bool:
    """dockerd's rules name its chains or its bridge, except those that let a container reach its own port."""
    target = words[words.index("-j") + 1] if "-j" in words else ""
    if words[1].startswith("DOCKER") or target.startswith("DOCKER") or _BRIDGE in words:
        return True
    source = words[words.index("-s") + 1] if "-s" in words else ""
    return words[1] == "POSTROUTING" and target == "MASQUERADE" and any(_within(source, subnet) for subnet in subnets)


def _within(source: str, subnet: str) -> bool:
    with suppress(ValueError):
        inner, outer = ipaddress.ip_network(source), ipaddress.ip_network(subnet, strict=False)
        return inner.version == outer.version and outer.supernet_of(inner)  # type: ignore[arg-type]
    return False


def _subnets() -> list[str]:
    """The subnets of the bridge."""
    words = ["ip", "-oneline", "address", "show", "dev", _BRIDGE]
    fields = subprocess.run(words, check=False, capture_output=True, errors="replace", process_group=0).stdout.split()
    return [after for word, after in pairwise(fields) if word in ("inet", "inet6")]


def _saved(tool: str) -> str | None:
    """All rules; None if they cannot be read: then they are not touched."""
    if find(f"{tool}-save") is None:
        return None
    done = subprocess.run([f"{tool}-save"], check=False, capture_output=True, errors="replace", process_group=0)
    return done.stdout if done.returncode == 0 else None


def parsed(text: str) -> dict[str, Table]:
    """The output of iptables-save, by table."""
    tables: dict[str, Table] = {}
    for line in text.splitlines():
        if line.startswith("*"):
            table = tables.setdefault(line[1:], Table({}, []))
        elif line.startswith(":"):
            chain, policy = line[1:].split()[:2]
            table.chains[chain] = policy
        elif line.startswith("-A "):
            table.rules.append(line)
    return tables
