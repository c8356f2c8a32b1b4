"""isobench nightly: doctor, run, trend, report and exports into one folder; the exit code says whether to look."""

from __future__ import annotations

import contextlib
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bench.commands import compare, doctor, trend
from bench.commands import run as measure
from bench.errors import IsobenchError, StoreError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from bench.analysis.trend import Trend

SUMMARY_LIMIT = 900_000
"""Bytes of summary.md; GitHub refuses a job summary above 1 MiB."""

OWN = ("doctor.txt", "run.txt", "trend.json", "compare.txt", "summary.md")
"""What a night writes beside the report's files and the exports."""

EXAMPLES = """\
  isobench nightly --profile quick                tonight's run and all that follows from it, into nightly/
  isobench nightly --against results/HOST/BASE    with a comparison
"""


def configure(parser: argparse.ArgumentParser) -> None:
    measure.configure(parser)
    parser.add_argument("--folder", type=Path, default=Path("nightly"), metavar="DIR", help="where all goes (nightly/)")
    parser.add_argument("--against", type=Path, metavar="RUN", help="a run's folder to compare tonight's with")


def run(arguments: argparse.Namespace) -> int:
    folder: Path = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    _forget(folder)
    known = _newest(arguments.out)
    _kept(folder / "doctor.txt", lambda: doctor.run(_parsed(doctor, _doctor_words(arguments))))
    failed = _kept(folder / "run.txt", lambda: measure.run(arguments))
    path = _newest(arguments.out)
    if path is None or path == known:
        raise StoreError(f"tonight's run is not in {arguments.out}")
    news = _trend(folder, arguments.out)
    changed = bool(news) | bool(_compare(folder, path, arguments.against))
    _report(folder, path, arguments.against)
    _export(folder, path)
    _summarise(folder, news)
    for line in news:
        print(f"isobench: {line}", file=sys.stderr)
    print(f"nightly: {folder}")
    return 1 if failed or changed else 0


def _doctor_words(arguments: argparse.Namespace) -> list[str]:
    words = ["-e", arguments.environments]
    return words if arguments.timeout is None else [*words, "--timeout", f"{arguments.timeout:g}"]


def _forget(folder: Path) -> None:
    """Yesterday's night must not be taken for today's. Only what a night writes goes: the folder may hold more."""
    from bench import export
    from bench.report.build import FILES

    for name in (*OWN, *FILES.values(), *(f"isobench.{suffix}" for suffix in export.SUFFIXES.values())):
        old = folder / name
        if old.is_file() or old.is_symlink():
            old.unlink()


def _newest(results: Path) -> Path | None:
    from bench.store import find_runs

    return next(iter(reversed(list(find_runs(results)))), None)


def _kept(file: Path, command: Callable[[], int]) -> int:
    """Run a command with its standard output kept in a file, and shown."""
    output = io.StringIO()
    try:
        with contextlib.redirect_stdout(output):
            return command()
    finally:
        file.write_text(output.getvalue())
        print(output.getvalue(), end="")


def _parsed(command: object, words: list[str]) -> argparse.Namespace:
    import argparse

    parser = argparse.ArgumentParser()
    command.configure(parser)  # type: ignore[attr-defined]
    return parser.parse_args(words)


def _trend(folder: Path, results: Path) -> list[str]:
    """The sentences that are news."""
    import msgspec

    from bench.analysis.trend import Trend

    _kept_silently(folder / "trend.json", lambda: trend.run(_parsed(trend, [str(results), "--json"])))
    found: Trend = msgspec.json.decode((folder / "trend.json").read_bytes(), type=Trend)
    return [alert.text for alert in found.alerts if alert.news]


def _compare(folder: Path, path: Path, against: Path | None) -> int:
    if against is None:
        return 0
    try:
        return _kept(
            folder / "compare.txt",
            lambda: compare.run(_parsed(compare, [str(against), str(path), "--fail-on", "change"])),
        )
    except IsobenchError as error:  # a baseline that is gone must not cost the night
        print(f"isobench: no comparison: {error.reason}", file=sys.stderr)
        return 0


def _kept_silently(file: Path, command: Callable[[], int]) -> None:
    with file.open("w") as output, contextlib.redirect_stdout(output):
        command()


def _report(folder: Path, path: Path, against: Path | None) -> None:
    from bench.report.build import render

    try:
        render(path, folder, compare_with=against)
    except StoreError:
        render(path, folder)


def _export(folder: Path, path: Path) -> None:
    from bench import export, store

    loaded = store.load(path)
    for name, suffix in export.SUFFIXES.items():
        try:
            store.write_atomically(folder / f"isobench.{suffix}", export.export(loaded, name))
        except IsobenchError as error:
            print(f"isobench: no {name}: {error.reason}", file=sys.stderr)


def _summarise(folder: Path, news: list[str]) -> None:
    """What a job summary shows: the news, then the report, cut between two lines where it is too long."""
    from bench.report import format

    head = [f"- **{format.clean(line, 600)}**" for line in news] or ["Nothing changed."]
    lines = ["## Tonight", "", *head, "", *(folder / "report.md").read_text().splitlines()]
    text, size = [], 0
    for line in lines:
        size += len(line.encode()) + 1
        if size > SUMMARY_LIMIT:
            text.append("… cut; report.md has the rest.")
            break
        text.append(line)
    (folder / "summary.md").write_text("\n".join(text) + "\n")
