"""isobench without the gate for disturbed blocks: none is excluded, however busy the machine is.

python -m verification.undisturbed WORDS…
"""

from __future__ import annotations

import sys

from isobench import cli
from isobench.cells import runner
from isobench.core import terminal

if __name__ == "__main__":
    runner.marks = lambda *_: []  # type: ignore[attr-defined]
    terminal.prepare()
    sys.exit(cli.main(sys.argv[1:]))
