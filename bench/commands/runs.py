"""isobench runs: the runs so far: list, show, name, tag, remove."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, TypedDict

from isobench.commands.report import report_folder
from isobench.commands.run import label
from isobench.core import terminal
from isobench.core.errors import IsobenchError, UsageError
from isobench.results import runs

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Sequence

    from isobench.results.record import Session

SCHEMA = 1
EXAMPLES = """\
  isobench runs                                   every run, the newest last
  isobench runs show latest                       one of them: plan, blocks, what was skipped and why
  isobench runs name latest before                what it can be called in every command that takes a run
  isobench runs tag latest kernel-6.12            what it has in common with others; `compare` takes all of a tag
  isobench runs rm previous                       asks first; --yes where nobody can answer
"""


class RunRow(TypedDict):
    """One run. `state`: complete, interrupted (it can be resumed) or running; `stopped` is why it ended, as recorded.
    `blocks` were measured after the warm-up, `blocks_used` are those that were not left out."""

    run: str
    run_id: str
    host_id: str
    started: str
    finished: str
    label: str
    tags: list[str]
    profile: str
    state: Literal["complete", "interrupted", "running"]
    stopped: str
    blocks: int
    blocks_used: int
    baseline: str
    environments: list[str]
    scenarios: list[str]


class SkipRow(TypedDict):
    """What of a run is missing. `scenario` is empty where the environment is missing as a whole."""

    environment: str
    scenario: str
    reason: str
    remedy: str


class ShownRun(RunRow):
    """A run with its command, when it was resumed, its skips, how many cells failed, and the first reason."""

    command: list[str]
    resumed: list[str]
    skips: list[SkipRow]
    failed_cells: int
    first_failure: str


class Document(TypedDict):
    """What `isobench runs --json` prints; also `name` and `tag`, with the run as it is then. `problems` are folders
    that cannot be read, with the reason."""

    schema: int
    runs: list[RunRow]
    problems: list[str]


class ShowDocument(TypedDict):
    """What `isobench runs show --json` prints."""

    schema: int
    runs: list[ShownRun]


class RemovedDocument(TypedDict):
    """What `isobench runs rm --json` prints: the folders that are gone."""

    schema: int
    removed: list[str]


def documents() -> dict[str, object]:
    return {"runs": Document, "runs-show": ShowDocument, "runs-rm": RemovedDocument}


def configure(parser: argparse.ArgumentParser) -> None:
    actions = "; ".join(f"{name}: {action.help}" for name, action in _ACTIONS.items())
    parser.add_argument("action", nargs="?", choices=_ACTIONS, default="list", help=actions)
    parser.add_argument("words", nargs="*", metavar=runs.METAVAR, help=f"{runs.HELP}; then the name or the tags")
    parser.add_argument("--remove", action="store_true", help="with name and tag: take away instead")
    parser.add_argument("-y", "--yes", action="store_true", help="with rm: do not ask")
    parser.add_argument("--results", type=Path, default=runs.RESULTS, metavar="DIR", help="results folder (results/)")
    parser.add_argument("--json", action="store_true", help="as JSON (docs/runs.schema.json, runs-show, runs-rm)")


def run(arguments: argparse.Namespace) -> int:
    return _ACTIONS[arguments.action].act(arguments)


def _list(arguments: argparse.Namespace) -> int:
    if arguments.words:
        raise UsageError(f"no action is called {arguments.words[0]!r}", remedy=f"one of {', '.join(_ACTIONS)}")
    rows, problems = _rows(runs.known(arguments.results))
    if arguments.json:
        terminal.print_json(Document(schema=SCHEMA, runs=rows, problems=problems))
        return 0
    for problem in problems:
        print(f"isobench: left out: {problem}", file=sys.stderr)
    if not rows:
        terminal.paragraph(f"no run under {arguments.results}/ (isobench run)")
        return 0
    terminal.table(_COLUMNS, [_words(row) for row in rows])
    return 0


_COLUMNS = (
    terminal.Column("run"),
    terminal.Column("label, tags", wraps=True),
    terminal.Column("state"),
    terminal.Column("blocks", "right"),
    terminal.Column("what", wraps=True),
)


def _words(row: RunRow) -> tuple[str, ...]:
    names = ", ".join(filter(None, (row["label"], *(f"#{tag}" for tag in row["tags"]))))
    left_out = row["blocks"] - row["blocks_used"]
    blocks = f"{row['blocks_used']} of {row['blocks']}" if left_out else str(row["blocks"])
    what = f"{_few(row['environments'])}: {_few(row['scenarios'])}"
    return (Path(row["run"]).name, names, row["state"], blocks, what)


def _few(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= _NAMED else f"{', '.join(names[:_NAMED])} and {len(names) - _NAMED} more"


_NAMED = 4


def _show(arguments: argparse.Namespace) -> int:
    chosen = [path for text in arguments.words or [runs.LATEST] for path in runs.several(text, arguments.results)]
    shown = [_shown(path) for path in chosen]
    if arguments.json:
        terminal.print_json(ShowDocument(schema=SCHEMA, runs=shown))
        return 0
    for number, one in enumerate(shown):
        if number:
            print()
        _print(one)
    return 0


def _print(one: ShownRun) -> None:
    """One run for people, a fact a line."""
    left_out = one["blocks"] - one["blocks_used"]
    ended = one["finished"] or "no end is recorded"
    facts = {
        "run": one["run"],
        "label": one["label"],
        "tags": ", ".join(one["tags"]),
        "host": one["host_id"],
        "time": f"{one['started']} to {ended}",
        "state": one["state"] + (f" ({one['stopped']})" if one["stopped"] not in ("", one["state"]) else ""),
        "resumed": ", ".join(one["resumed"]),
        "blocks": f"{one['blocks']}, {left_out} left out" if left_out else str(one["blocks"]),
        "profile": one["profile"],
        "baseline": one["baseline"],
        "environments": ", ".join(one["environments"]),
        "scenarios": ", ".join(one["scenarios"]),
        "failed cells": f"{one['failed_cells']}, the first: {one['first_failure']}" if one["failed_cells"] else "",
        "repeat": shlex.join(one["command"]),
        "go on": f"isobench run --resume {shlex.quote(one['run'])}" if one["state"] == "interrupted" else "",
    }
    causes: dict[str, list[str]] = {}
    for skip in one["skips"]:
        cell = f"{skip['scenario']} in {skip['environment']}" if skip["scenario"] else skip["environment"]
        causes.setdefault(skip["reason"], []).append(cell)
    lines = [(name, text) for name, text in facts.items() if text]
    lines += [("skipped", f"{', '.join(cells)}: {reason}") for reason, cells in causes.items()]
    for name, text in lines:
        terminal.paragraph(f"{name:13} {terminal.cell(text).plain}", indent=14)


def _name(arguments: argparse.Namespace) -> int:
    text, *rest = arguments.words or [""]
    if not text or len(rest) != (0 if arguments.remove else 1):
        raise UsageError("a run and its new name are wanted", remedy="isobench runs name RUN NAME")
    path = runs.one(text, arguments.results)
    return _relabelled(arguments, path, lambda session: ("" if arguments.remove else label(rest[0]), session.tags))


def _tag(arguments: argparse.Namespace) -> int:
    text, *rest = arguments.words or [""]
    if not text or not rest:
        raise UsageError("a run and its tags are wanted", remedy="isobench runs tag RUN TAG")
    tags = [label(tag) for tag in rest]
    path = runs.one(text, arguments.results)

    def changed(session: Session) -> tuple[str, list[str]]:
        kept = [tag for tag in session.tags if tag not in tags]
        return session.label, kept if arguments.remove else [*kept, *tags]

    return _relabelled(arguments, path, changed)


def _relabelled(arguments: argparse.Namespace, path: Path, change: Callable[[Session], tuple[str, list[str]]]) -> int:
    from isobench.results import store

    _check_ours(path)
    name, tags = change(store.load_session(path))
    store.relabel(path, label=name, tags=tags)
    row = _row(path)
    if arguments.json:
        terminal.print_json(Document(schema=SCHEMA, runs=[row], problems=[]))
    else:
        told = ", ".join(filter(None, (row["label"], *(f"#{tag}" for tag in row["tags"])))) or "without a name"
        print(f"{path}: {terminal.cell(told).plain}")
    return 0


def _remove(arguments: argparse.Namespace) -> int:
    if not arguments.words:
        raise UsageError("no run is named", remedy="isobench runs rm RUN")
    chosen = [runs.one(text, arguments.results) for text in dict.fromkeys(arguments.words)]
    for path in chosen:
        _check_removable(path)
    if not arguments.yes and not _agreed(chosen):
        print("nothing was removed", file=sys.stderr)
        return 1
    reports = {path: report_folder(path) for path in chosen}
    for path in chosen:
        _unlink(path)
    if arguments.json:
        terminal.print_json(RemovedDocument(schema=SCHEMA, removed=[str(path) for path in chosen]))
    else:
        for path in chosen:
            print(f"removed {path}")
            if reports[path].is_dir():
                print(f"its report is still in {reports[path]}")
    return 0


def _agreed(chosen: Sequence[Path]) -> bool:
    """Whether somebody at the terminal says yes."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError("nobody can be asked here", remedy="--yes")
    for path in chosen:
        row = _row(path)
        print(f"{path}: {terminal.cell(row['label'] or 'no label').plain}, {row['blocks']} blocks", file=sys.stderr)
    print("delete? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _check_ours(path: Path) -> None:
    """Raise `UsageError` where a run's folder is none, or one that somebody else could change meanwhile."""
    from isobench.filesystem.ownership import folder

    try:
        with folder(path):
            pass
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error


def _check_removable(path: Path) -> None:
    """Raise `UsageError` for what is no run, is being measured, or holds what no run leaves."""
    _check_ours(path)
    if _row(path)["state"] == "running":
        raise UsageError(f"{path} is being measured", remedy="wait until it has ended")
    others = sorted(set(os.listdir(path)) - _files())
    if others:
        raise UsageError(f"{path} holds what no run leaves, such as {others[0]!r}", remedy="move that elsewhere")


def _files() -> set[str]:
    from isobench.analysis.history import TOLD
    from isobench.results import store

    return {*store.FILES, TOLD}


def _unlink(path: Path) -> None:
    """The record goes first, so that half a run is never taken for one. By descriptor: no link is followed."""
    from isobench.filesystem.ownership import folder
    from isobench.results import store

    try:
        with folder(path) as place:
            for name in (store.SESSION, *sorted(_files() & set(os.listdir(place)) - {store.SESSION})):
                os.unlink(name, dir_fd=place)
        path.absolute().rmdir()  # "." cannot be removed by that name
    except OSError as error:
        raise UsageError(f"cannot remove {path}: {error.strerror}") from error


def _rows(paths: Iterable[Path]) -> tuple[list[RunRow], list[str]]:
    rows, problems = [], []
    for path in paths:
        try:
            rows.append(_row(path))
        except IsobenchError as error:
            problems.append(error.reason)
    return rows, problems


def _row(path: Path) -> RunRow:
    """Raises `StoreError`."""
    from isobench.results import store

    session = store.load_session(path)
    measured = [block for block in session.blocks if block.index > 0]
    skipped = {skip.environment for skip in session.skips if not skip.scenario}
    return RunRow(
        run=str(path),
        run_id=session.run_id,
        host_id=session.host_id,
        started=session.started,
        finished=session.finished,
        label=session.label,
        tags=session.tags,
        profile=session.profile,
        state=_state(path, session),
        stopped=session.stopped,
        blocks=len(measured),
        blocks_used=sum(not block.marks for block in measured),
        baseline=session.baseline,
        environments=[one.name for one in session.environments if one.name not in skipped],
        scenarios=[one.name for one in session.scenarios if one.metrics],
    )


def _state(path: Path, session: Session) -> Literal["complete", "interrupted", "running"]:
    from isobench.results import journal

    if (path / journal.NAME).exists():
        dead = journal.take_over(path)
        if dead is None:
            return "running"
        os.close(dead)
        return "interrupted"
    return "interrupted" if session.stopped in ("", "interrupted") else "complete"


def _shown(path: Path) -> ShownRun:
    """Raises `StoreError`."""
    from isobench.results import store

    session = store.load_session(path)
    first = session.failures[0] if session.failures else None
    return ShownRun(
        **_row(path),
        command=session.command,
        resumed=[f"{one.at} before block {one.block}" for one in session.resumed],
        skips=[SkipRow(environment=s.environment, scenario=s.scenario, reason=s.reason, remedy=s.remedy)
               for s in session.skips],
        failed_cells=len(session.failures),
        first_failure=f"{first.scenario} in {first.environment}: {first.reason}" if first else "",
    )  # fmt: skip


class _Action(NamedTuple):
    act: Callable[[argparse.Namespace], int]
    help: str


_ACTIONS = {
    "list": _Action(_list, "every run"),
    "show": _Action(_show, "details"),
    "name": _Action(_name, "label one"),
    "tag": _Action(_tag, "tag one"),
    "rm": _Action(_remove, "delete runs"),
}
