"""A command timed by hyperfine."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def hyperfine(*words: str, environ: Mapping[str, str] | None = None) -> float:
    """Seconds of one run of a command, without a shell; `environ` is added to this process's environment."""
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        options = ["-N", "--runs", "1", "--style", "none", "--export-json", file.name]
        command = ["hyperfine", *options, shlex.join(words)]
        everything = {**os.environ, **(environ or {})}
        subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL, env=everything)
        return float(json.loads(Path(file.name).read_text())["results"][0]["times"][0])
