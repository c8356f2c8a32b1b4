"""isobench on a host that nothing disturbs: no block is left out, however busy the machine is that a test runs on.

python -m tests.undisturbed WORDS…
"""

from __future__ import annotations

import sys

from bench import cli, terminal
from bench.analysis import gate

if __name__ == "__main__":
    gate.ANY.clear()
    gate.SHARES.clear()
    terminal.prepare()
    sys.exit(cli.main(sys.argv[1:]))
