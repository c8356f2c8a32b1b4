"""isobench on a host that nothing disturbs: no block is left out, however busy the machine is that a test runs on.

python -m tests.undisturbed WORDS…
"""

from __future__ import annotations

import sys

from isobench import cli
from isobench.analysis import gate
from isobench.core import terminal

if __name__ == "__main__":
    gate.ANY.clear()
    gate.SHARES.clear()
    terminal.prepare()
    sys.exit(cli.main(sys.argv[1:]))
