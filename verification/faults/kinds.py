"""A hundred kinds of hostile run folders: each changes a copy of a good run into one that no run leaves."""

from __future__ import annotations

import json
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from isobench.results.journal import NAME as JOURNAL
from isobench.results.store import SESSION, SUITE

Kind = Callable[[Path], None]

ESCAPES = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202e<script>alert(1)</script>|`[x](http://x)"
DEEP = b"[" * 200_000 + b"]" * 200_000


def _replaced(make: Callable[[Path], object], name: str) -> Kind:
    """Replace a file with something else."""

    def kind(run: Path) -> None:
        (run / name).unlink(missing_ok=True)
        make(run / name)

    return kind


def _socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's name has a hundred characters
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(here)


def _sparse(size: int) -> Callable[[Path], object]:
    def make(path: Path) -> None:
        path.touch()
        os.truncate(path, size)

    return make


def _text(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


_FILES: dict[str, Callable[[Path], object]] = {
    "a FIFO": os.mkfifo,
    "a folder": Path.mkdir,
    "a socket": _socket,
    "a device": lambda path: os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 5)),
    "a link to /dev/zero": lambda path: path.symlink_to("/dev/zero"),
    "a link to /dev/full": lambda path: path.symlink_to("/dev/full"),
    "a link to /dev/tty": lambda path: path.symlink_to("/dev/tty"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a link to nothing": lambda path: path.symlink_to("nowhere"),
    "a link to /proc/kmsg": lambda path: path.symlink_to("/proc/kmsg"),
    "a link to /proc/self/mem": lambda path: path.symlink_to("/proc/self/mem"),
    "empty": _text(b""),
    "a terabyte of holes": _sparse(1 << 40),
    "400 MB of zeros": _sparse(400_000_000),
    "100 MB of commas": _text(b"[" + b"1," * 50_000_000),
    "nested 200,000 deep": _text(DEEP),
    "UTF-16": _text("{}".encode("utf-16")),
    "not UTF-8": _text(b'{"schema": "\xff\xfe\x80"}'),
    "a list": _text(b"[]"),
    "a word": _text(b"null"),
}


def _record(**changes: object) -> Kind:
    """Change fields of the session record."""
    return _changed(SESSION, lambda document: document | changes)


def _each(field: str, **changes: object) -> Kind:
    """Change fields of every block, environment, … of the record."""

    def change(document: dict[str, Any]) -> dict[str, Any]:
        return document | {field: [{**one, **changes} for one in document[field]]}

    return _changed(SESSION, change)


def _changed(name: str, change: Callable[[Any], Any]) -> Kind:
    def kind(run: Path) -> None:
        document = change(json.loads((run / name).read_bytes()))
        (run / name).write_text(json.dumps(document))

    return kind


def _values(text: str, only: int = 10**9) -> Kind:
    """Replace the first values of the suite with this literal."""

    def kind(run: Path) -> None:
        document, at = json.loads((run / SUITE).read_bytes()), 0
        for benchmark in document["benchmarks"]:
            for one in benchmark["runs"]:
                if "values" in one and at < only:
                    one["values"], at = ["VALUE"], at + 1
        (run / SUITE).write_text(json.dumps(document).replace('"VALUE"', text))

    return kind


def _block(number: object) -> Kind:
    """Give the last block of every benchmark this number."""

    def change(document: Any) -> Any:
        for benchmark in document["benchmarks"]:
            benchmark["runs"][-1]["metadata"]["block"] = number
        return document

    return _changed(SUITE, change)


def _benchmarks(change: Callable[[list[Any]], list[Any]]) -> Kind:
    return _changed(SUITE, lambda document: document | {"benchmarks": change(document["benchmarks"])})


def _renamed(**metadata: object) -> Kind:
    return _benchmarks(lambda found: [{**found[0], "metadata": found[0]["metadata"] | metadata}, *found[1:]])


def _moved(name: bytes, *, host: bool = False) -> Kind:
    """Rename the run's folder, or its host's."""

    def kind(run: Path) -> None:
        target = os.fsencode(run.parent.parent if host else run.parent) + b"/" + name
        os.rename(os.fsencode(run.parent if host else run), target)  # noqa: PTH104 (bytes)

    return kind


def _journal(*lines: bytes) -> Kind:
    def kind(run: Path) -> None:
        (run / SUITE).unlink()
        (run / JOURNAL).write_bytes(b"".join(lines))

    return kind


def _line(samples: object = (), block: object = 1, **more: object) -> bytes:
    document = {"block": {"index": block, "started": 1.0, "seconds": 1.0, "cells": []}, "samples": samples, **more}
    return json.dumps(document).encode() + b"\n"


def _many_environments(document: Any) -> Any:
    model = document["environments"][0]
    more = [{**model, "name": f"env{n}", "compared_with": f"env{n - 1}"} for n in range(1, 10_000)]
    return document | {"environments": document["environments"] + more}


def _beside(*series: dict[str, object]) -> Kind:
    return _record(
        not_in_suite=[{"name": "startup.x/process", "unit": "second", "warmups": [], **one} for one in series]
    )


_LONG = "x" * 2_000_000

_SCHEMAS: list[object] = [0, 2, 99, -1, "1", True, None, 2**70, []]
_BLOCKS: list[object] = [2**63, 2**64, -1, 1.5, True, "1", 10**8 + 1, 0]
_LITERALS = ["NaN", "Infinity", "-Infinity", "1e999", "1e308", "1e-308", "5e-324", "0", "-1", str(2**63), "true"]

KINDS: dict[str, Kind] = {
    **{f"{SESSION}: {what}": _replaced(make, SESSION) for what, make in _FILES.items()},
    **{f"{SUITE}: {what}": _replaced(make, SUITE) for what, make in _FILES.items()},
    **{f"{JOURNAL}: {what}": _replaced(make, JOURNAL) for what, make in _FILES.items()},
    "no record": lambda run: (run / SESSION).unlink(),
    "no suite": lambda run: (run / SUITE).unlink(),
    "half a record": lambda run: os.truncate(run / SESSION, (run / SESSION).stat().st_size // 2),
    "half a suite": lambda run: os.truncate(run / SUITE, (run / SUITE).stat().st_size // 2),
    "a name that is not UTF-8": _moved(b"20270101T000000Z\xff\xfe"),
    "a name of escapes": _moved(b"20270101T000000Z\x1b[2J\x1b]0;x\x07"),
    "a name of lines": _moved(b"2027\nisobench: all is well\n"),
    "a name of 255 bytes": _moved(b"2" * 255),
    "a name that is an option": _moved(b"--out=x"),
    "a host that is not UTF-8": _moved(b"host\xff", host=True),
    "a host of escapes": _moved(b"\x1b[31mhost", host=True),
    **{f"schema {version!r}": _record(schema=version) for version in _SCHEMAS},
    "a record of another kind": _record(blocks=7, environments="all"),
    "an unknown field": _record(unknown=1),
    "escapes everywhere": _changed(SESSION, lambda document: _escaped(document)),
    "a host id that leads out": _record(host_id="../../../tmp/x"),
    "a run id that leads out": _record(run_id="../x"),
    "a start that is no time": _record(started="9999-99-99T99:99:99Z"),
    "a start in the year 9999": _record(started="9999-12-31T23:59:59Z"),
    "an end that is no time": _record(finished="yesterday"),
    "an end before the start": _record(finished="1970-01-01T00:00:00Z"),
    "a baseline that nobody measured": _record(baseline="nothing"),
    "a baseline of escapes": _record(baseline=ESCAPES),
    "rungs in a circle": _each("environments", compared_with="process"),
    "a rung below itself": _each("environments", name="process", compared_with="process"),
    "environments twice": _changed(SESSION, lambda d: d | {"environments": d["environments"] * 2}),
    "10,000 environments": _changed(SESSION, _many_environments),
    "scenarios twice": _changed(SESSION, lambda d: d | {"scenarios": d["scenarios"] * 2}),
    "no scenarios": _record(scenarios=[]),
    "no environments": _record(environments=[]),
    "no blocks": _record(blocks=[]),
    "a title of 2 MB": _each("environments", title=_LONG),
    "facts of 2 MB": _record(host={"cpu": _LONG, _LONG[:1000]: "x"}),
    "100,000 skips": _record(skips=[{"environment": "x", "scenario": "y", "reason": "z"}] * 100_000),
    "100,000 failures": _record(
        failures=[
            {"block": 1, "environment": "process", "scenario": "startup", "reason": f"r{n}"} for n in range(100_000)
        ]
    ),
    "a failure of block 2^63": _record(
        failures=[{"block": 2**63, "environment": "process", "scenario": "startup", "reason": "r"}]
    ),
    "blocks 2^63": _each("blocks", index=2**63),
    "blocks below zero": _each("blocks", index=-5),
    "blocks of 1e308 seconds": _each("blocks", seconds=1e308, started=1e308),
    "blocks before the beginning": _each("blocks", seconds=-1.0, started=-1e308),
    "a fingerprint of 10,000 facts": _record(fingerprint={f"f{n}": "x" for n in range(10_000)}),
    "a seed of 2^80": _record(seed=2**80),
    **{f"values {text[:12]}": _values(text) for text in _LITERALS},
    "a value of 400 digits": _values("1" + "0" * 400),
    "values near 1e308 and near 1e-308": lambda run: (_values("1e308")(run), _values("1e-308", 3)(run))[0],
    "a value that is text": _values('"1"'),
    "two values of a block": _values("1,2"),
    **{f"block {number!r}": _block(number) for number in _BLOCKS},
    "benchmarks twice": _benchmarks(lambda found: found * 2),
    "no benchmarks": _benchmarks(lambda _: []),
    "100,000 benchmarks": _benchmarks(lambda found: found[:1] * 100_000),
    "units mixed": _renamed(unit="byte"),
    "a unit of its own": _renamed(unit="furlong"),
    "a name that leads out": _renamed(name="startup.ready/../../etc/passwd"),
    "a name of markup": _renamed(name=f"startup.ready/{ESCAPES}"),
    "a name of 1 MB": _renamed(name=f"startup.{'x' * 1_000_000}/process"),
    "no name": _renamed(name=None),
    "beside the suite, twice": _beside({"blocks": [1], "values": [0.0]}, {"blocks": [1], "values": [0.0]}),
    "beside the suite, too few values": _beside({"blocks": [1, 2], "values": [0.0]}),
    "beside the suite, of no unit": _beside({"blocks": [1], "values": [0.0], "unit": "furlong"}),
    "beside the suite, near 1e308": _beside({"blocks": [1], "values": [-1e308]}),
    "beside the suite, block 2^63": _beside({"blocks": [2**63], "values": [0.0]}),
    "beside the suite, what is in it": _beside({"name": "startup.ready/process", "blocks": [1], "values": [0.0]}),
    "a journal of an unknown metric": _journal(_line([["process", "startup", "none", 1.0]])),
    "a journal of hostile names": _journal(_line([[ESCAPES, "startup", "ready", 1.0]])),
    "a journal of values near 1e308": _journal(_line([["process", "startup", "ready", 1e308]])),
    "a journal of block 2^63": _journal(_line([["process", "startup", "ready", 1.0]], 2**63)),
    "a journal that leads out": _journal(_line(changes={"host_id": "../../x"})),
    "a journal of another schema": _journal(_line(changes={"schema": 99})),
    "a journal of unknown fields": _journal(_line(changes={"unknown": 1}), _line(unknown=1), _line()),
    "a journal of nothing but lines": _journal(b"\n" * 1_000_000),
    "a journal in disorder": _journal(*[_line([["process", "startup", "ready", 1.0]], n) for n in (3, 2, 2)]),
}


def _escaped(found: Any) -> Any:
    """Append escape sequences to every text that is not part of the structure."""
    if isinstance(found, dict):
        kept = ("unit", "sign", "layer", "started", "finished", "host_id", "run_id", "baseline")
        return {key: value if key in kept else _escaped(value) for key, value in found.items()}
    if isinstance(found, list):
        return [_escaped(one) for one in found]
    return found + ESCAPES if isinstance(found, str) else found
