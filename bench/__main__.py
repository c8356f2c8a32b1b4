"""`python -m bench` and `isobench`."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line; gives its exit code."""
    from bench import terminal
    from bench.cli import main as run

    terminal.prepare()
    return run(sys.argv[1:])


if __name__ == "__main__":
    raise SystemExit(main())
