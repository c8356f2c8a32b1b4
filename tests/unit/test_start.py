"""What `isobench list` and help import: what an environment or a scenario is, and nothing that it works with.

`python -m verification.crosscheck start` times them; what is not imported takes no time on any machine.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SLOW = {
    *("asyncio", "concurrent", "dataclasses", "hashlib", "inspect", "ipaddress", "json", "pathlib", "random", "shutil"),
    *(
        "selectors",
        "socket",
        "statistics",
        "subprocess",
        "tarfile",
        "tempfile",
        "threading",
        "tomllib",
        "urllib",
        "xml",
    ),
    *("argcomplete", "docker", "libvirt", "matplotlib", "msgspec", "numpy", "pandas", "pyperf", "requests", "rich"),
}
"""Each takes as long as a tenth of a start of Python, or longer."""
ROOMS = ("analysis", "daemons", "images", "probe", "report", "results")
"""Of ours: what works, and is no declaration."""
LOADED = """
import sys
if len(sys.argv) > 1:
    from isobench.cli import main
    main(sys.argv[1:])
print(*sys.modules, file=sys.stderr)
"""


def _imported(*words: str) -> set[str]:
    """The modules that a command has imported when it ends."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("COV", "COMP_"))}
    command = [sys.executable, "-c", LOADED, *words]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=True)
    return set(done.stderr.split())


@pytest.mark.parametrize("words", ["--help", "list", "list environments", "list scenarios", "list metrics"])
def test_nothing_slow_is_imported(words: str) -> None:
    """Beside what Python has at its start, in this environment."""
    imported = _imported(*words.split()) - _imported()
    assert {name.partition(".")[0] for name in imported} & SLOW == set()
    assert {name for name in imported if name.startswith(tuple(f"isobench.{room}" for room in ROOMS))} == set()


def test_a_list_does_not_import_what_runs_an_instance() -> None:
    """Of each family of environments what it is; how it is run is in modules of their own."""
    names = {name for name in _imported("list", "environments") if name.startswith("isobench.environments.")}
    assert {name.rpartition(".")[2] for name in names if "._" in name} == {"_mechanism", "_runtime", "_storage"}
