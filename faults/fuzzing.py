"""The parsers of outside data under hypothesis: the tests of tests/unit/faults with ten thousand examples each."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

from faults.place import ROOT, Line, Tally

if TYPE_CHECKING:
    from faults.place import Place

EXAMPLES = 10_000


def fuzz(place: Place) -> Line:
    """pytest with the profile that the environment variable names (tests/unit/faults/test_fuzz.py)."""
    tally = Tally(place)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/unit/faults/test_fuzz.py"]
    environ = {**os.environ, "ISOBENCH_FUZZ_EXAMPLES": str(EXAMPLES)}
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=1200, check=False)
    passed = re.search(r"(\d+) passed", done.stdout)
    failed = re.search(r"(\d+) failed", done.stdout)
    good, bad = (int(m[1]) if m else 0 for m in (passed, failed))
    tally.injected, tally.survived = (good + bad) * EXAMPLES, good * EXAMPLES
    if done.returncode != 0:
        tally.wrong.append(done.stdout[-1500:])
    return tally.line("outside data, fuzzed", f"{good + bad} parsers, {EXAMPLES} examples each")
