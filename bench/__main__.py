"""`python -m bench` and `isobench`."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line; the exit code is DESIGN's."""
    from bench.cli import main as run

    return run(sys.argv[1:])


if __name__ == "__main__":
    raise SystemExit(main())
