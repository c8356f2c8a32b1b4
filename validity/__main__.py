"""`python -m validity [G1 …]`: checks the promises, one line each; all of them are written to VALIDITY.md, too."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bench import host
from validity import live, simulated

if TYPE_CHECKING:
    from collections.abc import Callable

    from validity.promise import Line


def main(names: list[str]) -> int:
    wanted = {name.lower() for name in names}
    checks: list[Callable[[], Line]] = sorted((*simulated.ALL, *live.ALL), key=lambda check: int(check.__name__[1:]))
    chosen = [check for check in checks if not wanted or check.__name__ in wanted]
    if not chosen or len(wanted) > len(chosen):
        print(f"the promises are {', '.join(c.__name__.upper() for c in checks)}", file=sys.stderr)
        return 2
    if os.geteuid() != 0 and any(check in live.ALL for check in chosen):
        print("the live promises (G1, G8, G10, G11, G12) want root", file=sys.stderr)
        return 2
    lines = []
    for check in chosen:
        began = time.monotonic()
        lines.append(check())
        print(f"{lines[-1].text}  ({time.monotonic() - began:.0f} s)", flush=True)
    if not wanted:
        facts = host.facts()
        head = f"{time.strftime('%Y-%m-%d', time.gmtime())}, host {host.host_id()}: " + "; ".join(
            facts[key] for key in ("cpu", "kernel", "virtual") if facts.get(key)
        )
        rows = [
            f"| {a.promise} | {a.promised} | {a.measured} | {'held' if a.held else f'**not held** {a.why}'} |"
            for a in lines
        ]
        table = ["| | promised | measured | |", "| --- | --- | --- | --- |", *rows]
        text = "# Validity\n\nWritten by `nox -s validity`, " + head + ".\n\n" + "\n".join(table) + "\n"
        Path("VALIDITY.md").write_text(text)
    return 0 if all(line.held for line in lines) else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
