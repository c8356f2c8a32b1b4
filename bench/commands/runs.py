"""isobench runs: list, show, label, tag or remove runs."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, TypedDict

from isobench.core import display, terminal
from isobench.core.errors import IsobenchError, UsageError
from isobench.filesystem.ownership import folder
from isobench.nights.history import TOLD
from isobench.results import journal, runs, store
from isobench.results.record import COMPLETE, ENDED_BECAUSE

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Sequence

    from isobench.results.record import Session

SCHEMA = 1
EXAMPLES = """\
  isobench runs                                   every run, the newest last
  isobench runs show latest                       one of them: plan, blocks, what was skipped and why
  isobench runs name latest before                a label, by which every command finds this run
  isobench runs tag latest kernel-6.12            a tag, which several runs can share; `compare` takes all of them
  isobench runs rm previous                       asks for confirmation; --yes in scripts
"""


State = Literal["complete", "unfinished", "interrupted", "running"]


class RunRow(TypedDict):
    """One run. `state`: complete, unfinished (it ended before its plan was complete), interrupted, or running;
    unfinished and interrupted runs can be resumed. `stopped` is the recorded reason why it ended. `blocks` were
    measured after the warm-up, `blocks_used` are those that were not excluded. `pruned` is when its values were
    removed, empty if it has them; such a run cannot be resumed."""

    run: str
    run_id: str
    host_id: str
    started: str
    finished: str
    label: str
    tags: list[str]
    profile: str
    state: State
    stopped: str
    blocks: int
    blocks_used: int
    baseline: str
    environments: list[str]
    scenarios: list[str]
    pruned: str


class SkipRow(TypedDict):
    """A cell that is missing from a run. `scenario` is empty if the whole environment is missing."""

    environment: str
    scenario: str
    reason: str
    remedy: str


class ShownRun(RunRow):
    """A run with its command, its resumptions, its skips, the number of failed cells, and the first failure."""

    command: list[str]
    resumed: list[str]
    skips: list[SkipRow]
    failed_cells: int
    first_failure: str


class Document(TypedDict):
    """What `isobench runs --json` prints. `name` and `tag` print it with the changed run. `problems` are folders that
    cannot be read, with the reason."""

    schema: int
    runs: list[RunRow]
    problems: list[str]


class ShowDocument(TypedDict):
    """What `isobench runs show --json` prints."""

    schema: int
    runs: list[ShownRun]


class RemovedDocument(TypedDict):
    """What `isobench runs rm --json` prints: the folders that were removed."""

    schema: int
    removed: list[str]


def documents() -> dict[str, object]:
    return {"runs": Document, "runs-show": ShowDocument, "runs-rm": RemovedDocument}


def configure(parser: argparse.ArgumentParser) -> None:
    actions = "; ".join(f"{name}: {action.help}" for name, action in _ACTIONS.items())
    parser.add_argument("action", nargs="?", choices=_ACTIONS, default="list", help=actions)
    parser.add_argument("words", nargs="*", metavar=runs.METAVAR, help=f"{runs.HELP}; then the label or the tags")
    parser.add_argument("--remove", action="store_true", help="with name and tag: remove instead of adding")
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
        terminal.paragraph(f"isobench: ignored: {problem}", errors=True)
    if not rows:
        terminal.paragraph(f"no run under {arguments.results}/ (isobench run)")
        return 0
    display.table(_COLUMNS, [_words(row) for row in rows])
    return 0


_COLUMNS = (
    display.Column("run"),
    display.Column("label, tags", wraps=True),
    display.Column("state"),
    display.Column("blocks", "right"),
    display.Column("what", wraps=True),
)


def _words(row: RunRow) -> tuple[str, ...]:
    names = ", ".join(filter(None, (row["label"], *(f"#{tag}" for tag in row["tags"]))))
    left_out = row["blocks"] - row["blocks_used"]
    blocks = f"{row['blocks_used']} of {row['blocks']}" if left_out else str(row["blocks"])
    what = f"{_few(row['environments'])}: {_few(row['scenarios'])}"
    state = f"{row['state']}, pruned" if row["pruned"] else row["state"]
    return (Path(row["run"]).name, names, state, blocks, what)


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


_RESUMABLE = ("unfinished", "interrupted")


def _print(one: ShownRun) -> None:
    """Print one run, one fact per line."""
    left_out = one["blocks"] - one["blocks_used"]
    ended = one["finished"] or "no end is recorded"
    facts = {
        "run": one["run"],
        "label": one["label"],
        "tags": ", ".join(one["tags"]),
        "host": one["host_id"],
        "time": f"{one['started']} to {ended}",
        "state": _state_in_words(one),
        "resumed": ", ".join(one["resumed"]),
        "blocks": f"{one['blocks']}, {left_out} excluded" if left_out else str(one["blocks"]),
        "values": f"pruned at {one['pruned']}; the estimates remain" if one["pruned"] else "",
        "profile": one["profile"],
        "baseline": one["baseline"],
        "environments": ", ".join(one["environments"]),
        "scenarios": ", ".join(one["scenarios"]),
        "failed cells": f"{one['failed_cells']}, the first: {one['first_failure']}" if one["failed_cells"] else "",
        "repeat": shlex.join(one["command"]),
        "continue": f"isobench run --resume {shlex.quote(one['run'])}"
        if one["state"] in _RESUMABLE and not one["pruned"]
        else "",
    }
    causes: dict[str, list[str]] = {}
    for skip in one["skips"]:
        cell = f"{skip['scenario']} in {skip['environment']}" if skip["scenario"] else skip["environment"]
        causes.setdefault(skip["reason"], []).append(cell)
    lines = [(name, text) for name, text in facts.items() if text]
    lines += [("skipped", f"{', '.join(cells)}: {reason}") for reason, cells in causes.items()]
    for name, text in lines:
        terminal.paragraph(f"{name:13} {display.cell(text).plain}", indent=14)


def _state_in_words(one: ShownRun) -> str:
    why = ENDED_BECAUSE.get(one["stopped"], one["stopped"])
    return one["state"] if one["stopped"] in ("", one["state"]) else f"{one['state']}: {why}"


def _name(arguments: argparse.Namespace) -> int:
    text, *rest = arguments.words or [""]
    if not text or len(rest) != (0 if arguments.remove else 1):
        raise UsageError("runs name takes a run and its new label", remedy="isobench runs name RUN LABEL")
    path = runs.one(text, arguments.results)
    return _relabelled(arguments, path, lambda session: ("" if arguments.remove else runs.label(rest[0]), session.tags))


def _tag(arguments: argparse.Namespace) -> int:
    text, *rest = arguments.words or [""]
    if not text or not rest:
        raise UsageError("runs tag takes a run and one or more tags", remedy="isobench runs tag RUN TAG")
    tags = [runs.label(tag) for tag in rest]
    path = runs.one(text, arguments.results)

    def changed(session: Session) -> tuple[str, list[str]]:
        kept = [tag for tag in session.tags if tag not in tags]
        return session.label, kept if arguments.remove else [*kept, *tags]

    return _relabelled(arguments, path, changed)


def _relabelled(arguments: argparse.Namespace, path: Path, change: Callable[[Session], tuple[str, list[str]]]) -> int:
    _check_ours(path)
    name, tags = change(store.load_session(path))
    store.relabel(path, label=name, tags=tags)
    row = _row(path)
    if arguments.json:
        terminal.print_json(Document(schema=SCHEMA, runs=[row], problems=[]))
    else:
        names = ", ".join(filter(None, (row["label"], *(f"#{tag}" for tag in row["tags"])))) or "no label"
        print(f"{path}: {display.cell(names).plain}")
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
    reports = {path: runs.report_folder(path) for path in chosen}
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
    """Whether the user confirms at the terminal."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError("there is no terminal to ask for confirmation", remedy="--yes")
    for path in chosen:
        row = _row(path)
        print(f"{path}: {display.cell(row['label'] or 'no label').plain}, {row['blocks']} blocks", file=sys.stderr)
    print("remove? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _check_ours(path: Path) -> None:
    """Raise `UsageError` if this is not a folder, or one that another user could change meanwhile."""
    try:
        with folder(path):
            pass
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error


def _check_removable(path: Path) -> None:
    """Raise `UsageError` if this is not a run, is being measured, or contains other files."""
    _check_ours(path)
    if _row(path)["state"] == "running":
        raise UsageError(f"{path} is being measured", remedy="wait until it has ended")
    others = sorted(set(os.listdir(path)) - _files())
    if others:
        reason = f"{path} contains files that are not a run's, such as {others[0]!r}"
        raise UsageError(reason, remedy="move them elsewhere")


def _files() -> set[str]:
    return {*store.FILES, TOLD}


def _unlink(path: Path) -> None:
    """Remove the record first, so that a partly removed run is never taken for a run. No link is followed."""
    try:
        with folder(path) as place:
            for name in (store.SESSION, *sorted(_files() & set(os.listdir(place)) - {store.SESSION})):
                os.unlink(name, dir_fd=place)
        path.absolute().rmdir()  # "." cannot be removed under that name
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
        blocks_used=session.blocks_used,
        baseline=session.baseline,
        environments=[one.name for one in session.environments if one.name not in skipped],
        scenarios=[one.name for one in session.scenarios if one.metrics],
        pruned=session.pruned.at if session.pruned is not None else "",
    )


def _state(path: Path, session: Session) -> State:
    if (path / journal.NAME).exists():
        dead = journal.take_over(path)
        if dead is None:
            return "running"
        os.close(dead)
        return "interrupted"
    if session.stopped in COMPLETE:
        return "complete"
    return "interrupted" if session.stopped in ("", "interrupted") else "unfinished"


def _shown(path: Path) -> ShownRun:
    """Raises `StoreError`."""
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
    "list": _Action(_list, "all runs"),
    "show": _Action(_show, "details of runs"),
    "name": _Action(_name, "label a run"),
    "tag": _Action(_tag, "tag a run"),
    "rm": _Action(_remove, "remove runs"),
}
