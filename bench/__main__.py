"""`python -m isobench` and `isobench`."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line; gives its exit code."""
    from isobench.cli import main as run
    from isobench.core import signals, terminal

    terminal.prepare()
    try:
        return run(sys.argv[1:])
    finally:
        signals.ignore()


if __name__ == "__main__":
    raise SystemExit(main())
