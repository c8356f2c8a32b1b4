"""One host's night, run by ansible-runner: its progress, its deadline, and why it was not measured.

Each host has an `ansible-playbook` of its own. So a host that hangs, or on which Ansible itself fails, affects no other
host, and can be given up.
"""

from __future__ import annotations

import json
import os
import re
import sys
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import ansible_runner

from isobench.core.errors import UsageError
from isobench.core.text import clean
from isobench.filesystem.paths import RUN_VARIABLE
from isobench.fleet.turns import Place, in_turn
from isobench.processes.endings import has_variable, kill_all
from isobench.processes.programs import telling_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

PLAYBOOK = "isobench.fleet.night"
COLLECTION = Path(__file__).parent / "collection"
USUAL_DEADLINE = 10800.0
"""Seconds, as in the role `measure`."""
BESIDE = 1800.0
"""Seconds for everything but measuring (installing, fetching, cleaning) before a host is given up."""
_POLL = 1
"""Seconds between checks whether a host is to be given up."""

State = Literal["measured", "already measured", "checked", "unreachable", "failed", "given up"]


class Outcome(NamedTuple):
    """What became of one host."""

    host: str
    domain: str
    state: State
    reason: str
    """Why it was not measured."""
    run: str
    """The run as HOST_ID/STAMP below the results folder; empty if there is none."""
    blocks: int
    changed: int
    """Tasks that changed something on the host."""
    seconds: float


class Night(NamedTuple):
    """What is the same for all hosts."""

    inventory: Path
    variables: Mapping[str, object]
    """Variables for the roles; they take precedence over the inventory's."""
    workdir: Path
    """The run's own folder, for Ansible's files."""
    deadline: float | None = None
    check: bool = False


def places(inventory: Path, workdir: Path, only: str = "all") -> list[Place]:
    """The hosts of an inventory. Raises `UsageError` if Ansible cannot read it, or there is none."""
    if not inventory.exists():
        raise UsageError(f"{inventory} does not exist", remedy="an inventory of Ansible")
    with TemporaryDirectory(dir=workdir) as folder:
        said, errors, code = ansible_runner.run_command(
            "ansible-inventory",
            cmdline_args=["-i", str(inventory.absolute()), "--list", "--limit", only],
            runner_mode="subprocess",
            quiet=True,
            **_here(Path(folder), workdir.name),
        )
    lines = [line for line in errors.splitlines() if line.strip()]
    if code:
        raise UsageError(f"Ansible cannot read {inventory}: {clean(telling_line(lines))}")
    groups = json.loads(said)
    facts = groups.pop("_meta")["hostvars"]
    names = sorted({name for group in groups.values() for name in group.get("hosts", ())})
    if not names:
        where = "" if only == "all" else f" that matches {only!r}"
        raise UsageError(f"{inventory} has no host{where}", remedy=clean(lines[-1]) if lines else "")
    return [_place(name, facts.get(name, {})) for name in names]


def _place(name: str, facts: Mapping[str, object]) -> Place:
    deadline = facts.get("isobench_deadline")
    usable = isinstance(deadline, int | float) and deadline > 0
    return Place(name, str(facts.get("isobench_domain", "")), float(str(deadline)) if usable else None)


def play(place: Place, night: Night, told: Callable[[str, str], None], stop: Callable[[], bool]) -> Outcome:
    """Run one host's night. `told` is called with the host and the name of each role that begins. `stop` returns
    whether to give up."""
    began = time.monotonic()
    most = (night.deadline or place.deadline or USUAL_DEADLINE) + BESIDE
    seen = _Seen(told)
    with TemporaryDirectory(dir=night.workdir, ignore_cleanup_errors=True) as folder:
        try:
            ended = ansible_runner.run(
                playbook=PLAYBOOK,
                inventory=[str(night.inventory.absolute())],
                limit=place.name,
                extravars=dict(night.variables),
                cmdline="--check" if night.check else None,
                settings={"pexpect_timeout": _POLL, "suppress_ansible_output": True},
                quiet=True,
                event_handler=seen.event,
                cancel_callback=lambda: stop() or time.monotonic() - began > most,
                **_here(Path(folder), night.workdir.name),
            )
        finally:
            _end_all(Path(folder))
    seconds = time.monotonic() - began
    state, reason = _ending(seen, ended.status, night.check, most)
    run = "/".join(Path(str(seen.run.get("run", ""))).parts[-2:])
    blocks = int(seen.run.get("blocks") or 0)
    return Outcome(place.name, place.domain, state, reason, run, blocks, seen.changed, round(seconds, 1))


def play_each(
    places: Sequence[Place], night: Night, told: Callable[[str, str], None], at_once: int, of_one_domain: int
) -> Iterator[Outcome]:
    """Play the night of every host, so many at once, and so many of one domain; yields the outcomes as they end."""
    stop = threading.Event()
    return in_turn(places, at_once, of_one_domain, lambda place: play(place, night, told, stop.is_set), stop)


def _here(folder: Path, run: str) -> dict[str, Any]:
    """The arguments of every start of Ansible: this folder for its files, the user's settings, our collection.

    The folder is in the run's own, and the run's name is in the environment, so both are found after the run's death.
    """
    local = folder / "local"
    local.mkdir()
    collections = [str(COLLECTION), *filter(None, [os.environ.get("ANSIBLE_COLLECTIONS_PATH")])]
    return {
        "private_data_dir": str(folder),
        "project_dir": os.getcwd(),  # noqa: PTH109 (where Ansible looks for ansible.cfg, and ssh for keys)
        "envvars": {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "ANSIBLE_COLLECTIONS_PATH": os.pathsep.join(collections),
            _MARK: str(local),
            "ANSIBLE_REMOTE_TMP": str(local),  # for tasks on this machine; hosts have folders of their own
            "TMPDIR": str(local),
            RUN_VARIABLE: run,
        },
    }


_MARK = "ANSIBLE_LOCAL_TEMP"
"""This variable identifies the processes of a play: ansible-playbook's workers have sessions of their own, and its
connections outlive it."""


def _end_all(folder: Path) -> None:
    """End what is left of a play. When a connection ends, the kernel hangs up what runs on the host, which cleans up
    and ends."""
    for _ in range(_TIMES):
        if not kill_all(lambda pid: has_variable(pid, f"{_MARK}={folder / 'local'}")):
            break
        time.sleep(0.1)


_TIMES = 50


class _Seen:
    """What Ansible's events have reported about a host so far."""

    def __init__(self, told: Callable[[str, str], None]) -> None:
        self.reason = ""
        self.unreachable = False
        self.changed = 0
        self.run: dict[str, Any] = {}
        self.measured = False
        """Whether the task that measures has run and changed something."""
        self._told, self._role = told, ""
        self._complaint = ""

    def event(self, event: dict[str, Any]) -> bool:
        """ansible-runner's handler; returns whether it keeps the event in a file."""
        kind, data = event.get("event", ""), event.get("event_data") or {}
        if kind == "runner_on_start" and data.get("role", "") not in ("", self._role, "settings"):
            self._role = data["role"]
            self._told(data.get("host", ""), self._role)
        elif kind in ("runner_on_failed", "runner_on_unreachable") and not data.get("ignore_errors"):
            self.reason = self.reason or _reason(data.get("res") or {})
            self.unreachable = self.unreachable or kind == "runner_on_unreachable"
        elif kind == "runner_on_ok" and data.get("task") == "Measure":
            self.measured = True
        elif kind == "playbook_on_stats":
            self.changed = sum((data.get("changed") or {}).values())
            self.run = (data.get("artifact_data") or {}).get("isobench_run") or {}
        elif kind in ("error", "verbose", "warning") and "ERROR" in event.get("stdout", ""):
            self._complaint = self._complaint or event["stdout"]
        return False

    @property
    def complaint(self) -> str:
        """Ansible's own message, if it failed itself."""
        return clean(re.sub(r"\x1b\[[0-9;]*m", "", self._complaint).strip())


def _ending(seen: _Seen, status: str, check: bool, most: float) -> tuple[State, str]:
    if status == "canceled":
        return "given up", seen.reason or f"nothing was heard of it within {most:.0f} s"
    if seen.unreachable:
        return "unreachable", seen.reason
    if seen.reason or status != "successful":
        return "failed", seen.reason or seen.complaint or "ansible-playbook failed"
    if check:
        return "checked", ""
    return ("measured" if seen.measured else "already measured"), ""


def _reason(result: Mapping[str, Any]) -> str:
    """Why a task failed, in one line: what it says, or the end of what its command wrote to standard error."""
    said = str(result.get("msg") or "")
    unread = f"{result.get('module_stderr') or ''}\n{result.get('module_stdout') or ''}".splitlines()
    if words := [line.strip() for line in unread if line.strip() and not line.startswith("Shared connection to ")]:
        return clean(f"{said}: {words[0]}")  # Ansible's Python on the host did not run
    if said.startswith("non-zero return code") or not said:
        said = str(result.get("stderr") or result.get("stdout") or said)
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    lines = [line for line in lines if "No space left on device" in line] or lines  # dd counts its bytes after that
    return clean(telling_line(lines).removeprefix("isobench: ")) if lines else "it failed without a reason"
