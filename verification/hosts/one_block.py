"""isobench without the gate for disturbed blocks and without the warm-up block: the first block is the one that counts.

python -m verification.hosts.one_block WORDS…

For checks of what works, whose figures are of an emulated CPU: a warm-up would double their time.
"""

from __future__ import annotations

import sys
from typing import Any

from isobench import cli
from isobench.cells import runner
from isobench.core import terminal


class _WithoutWarmUp(runner._Blocks):
    """Begins with block 1, as a resumed run does."""

    def __init__(self, *words: Any) -> None:
        super().__init__(*words)
        self._first = max(1, self._first)

    def _warm_up_again(self) -> None:
        pass


if __name__ == "__main__":
    runner.marks = lambda *_: []  # type: ignore[attr-defined]
    runner._Blocks = _WithoutWarmUp  # type: ignore[misc,assignment]
    terminal.prepare()
    sys.exit(cli.main(sys.argv[1:]))
