"""`python -m isobench` and `isobench`."""

from __future__ import annotations

import gc
import sys


def main() -> int:
    """Run the command line; gives its exit code."""
    gc.set_threshold(_OBJECTS)
    from isobench.cli import main as run
    from isobench.core import terminal

    terminal.prepare()
    try:
        return run(sys.argv[1:])
    finally:
        signals = sys.modules.get("isobench.core.signals")  # a command that has handled no signal need not import it
        if signals is not None:
            signals.ignore()
        gc.freeze()  # the process ends: searching for garbage would take a third of the start-up time


_OBJECTS = 20_000
"""New objects before the next garbage collection: imports create tens of thousands, which all stay."""


if __name__ == "__main__":
    raise SystemExit(main())
