"""`python -m verification.crosscheck [PART...]`: prints ours, theirs and their ratio for every part; exits with 1 if
one differs.

A part is a module of this folder with a `main`, run in a process of its own (some pin themselves to a CPU). `floor`
runs only if it is named, since it has a nox session of its own.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def parts() -> list[str]:
    """The names of all parts."""
    return sorted(file.stem for file in Path(__file__).parent.glob("*.py") if not file.stem.startswith("_"))


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in parts()]
    if unknown:
        print(f"no such part: {', '.join(unknown)} (there are: {', '.join(parts())})", file=sys.stderr)
        return 2
    failed = []
    for name in names or [part for part in parts() if part != "floor"]:
        print(f"--- {name}", flush=True)
        if subprocess.run([sys.executable, "-m", f"verification.crosscheck.{name}"], check=False).returncode != 0:
            failed.append(name)
    if failed:
        print(f"differ, or failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
