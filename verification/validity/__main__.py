"""`python -m verification.validity [G1 …]`: checks the promises and writes the results to VALIDITY.md.

Without names, all promises are checked and the file is written anew. With names, only their lines are replaced.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from isobench.host import machine
from verification.validity import claims, comparisons, fleets, live, nights, simulated

if TYPE_CHECKING:
    from collections.abc import Callable

    from verification.validity.promise import Line


FILE = Path("VALIDITY.md")
SIMULATED = (*simulated.ALL, *claims.ALL, *comparisons.ALL, *nights.ALL, *fleets.ALL)
LIVE = (*live.ALL, *comparisons.LIVE)


def main(names: list[str]) -> int:
    wanted = {name.lower() for name in names}
    checks: list[Callable[[], Line]] = sorted((*SIMULATED, *LIVE), key=lambda check: int(check.__name__[1:]))
    chosen = [check for check in checks if not wanted or check.__name__ in wanted]
    if not chosen or len(wanted) > len(chosen):
        print(f"the promises are {', '.join(c.__name__.upper() for c in checks)}", file=sys.stderr)
        return 2
    if os.geteuid() != 0 and any(check in LIVE for check in chosen):
        print("the live promises (G1, G8, G10, G11, G12, G20) need root", file=sys.stderr)
        return 2
    lines = []
    for check in chosen:
        began = time.monotonic()
        lines.append(check())
        print(f"{lines[-1].text}  ({time.monotonic() - began:.0f} s)", flush=True)
    if not wanted:
        _write(lines)
    elif FILE.exists():
        _replace(lines)
    return 0 if all(line.held for line in lines) else 1


def _write(lines: list[Line]) -> None:
    facts = machine.facts()
    head = f"{_today()}, host {machine.host_id()}: " + "; ".join(
        facts[key] for key in ("cpu", "kernel", "virtual") if facts.get(key)
    )
    table = ["| | promised | measured | |", "| --- | --- | --- | --- |", *(_row(line) for line in lines)]
    FILE.write_text("# Validity\n\nWritten by `nox -s validity`, " + head + ".\n\n" + "\n".join(table) + "\n")


def _replace(lines: list[Line]) -> None:
    """Replace the lines of promises that were checked on their own; each such line says so."""
    rows = FILE.read_text().splitlines()
    for line in lines:
        again = line._replace(measured=f"{line.measured} (run on its own, {_today()})")
        if not any(row.startswith(f"| {line.promise} |") for row in rows):
            rows.append(_row(again))
        rows = [_row(again) if row.startswith(f"| {line.promise} |") else row for row in rows]
    FILE.write_text("\n".join(rows) + "\n")


def _row(line: Line) -> str:
    return (
        f"| {line.promise} | {line.promised} | {line.measured} | "
        f"{'kept' if line.held else f'**not kept** {line.why}'} |"
    )


def _today() -> str:
    return time.strftime("%Y-%m-%d", time.gmtime())


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
