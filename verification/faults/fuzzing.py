"""The parsers of outside data, fuzzed: tests/unit/verification/faults/test_fuzz.py with ten thousand examples each."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

from verification.faults.place import ROOT, Line, Tally

if TYPE_CHECKING:
    from verification.faults.place import Place

EXAMPLES = 10_000


class _Background:
    """Fuzzing takes minutes of CPU and needs nothing from the other rows, so it starts before them and is read at the
    end."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        tests = f"{sys.executable} -m pytest -q -p no:cacheprovider tests/unit/verification/faults/test_fuzz.py"
        script = f"mount -t tmpfs shm /dev/shm && exec {tests}"  # not a leak of another row
        command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script]
        environ = {**os.environ, "ISOBENCH_FUZZ_EXAMPLES": str(EXAMPLES)}
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=pipe, stderr=pipe, text=True)

    def result(self) -> tuple[int, str]:
        if self._process is None:
            self.start()
        assert self._process is not None
        said, _ = self._process.communicate(timeout=3600)
        return self._process.returncode, said


background = _Background()


def fuzz(place: Place) -> Line:
    """pytest, with as many examples as the environment variable says (tests/unit/verification/faults/test_fuzz.py)."""
    tally = Tally(place)
    code, said = background.result()
    passed, failed = re.search(r"(\d+) passed", said), re.search(r"(\d+) failed", said)
    good, bad = (int(m[1]) if m else 0 for m in (passed, failed))
    tally.injected, tally.survived = (good + bad) * EXAMPLES, good * EXAMPLES
    if code != 0:
        tally.wrong.append(said[-1500:])
    return tally.line("outside data, fuzzed", f"{good + bad} parsers, {EXAMPLES} examples each")
