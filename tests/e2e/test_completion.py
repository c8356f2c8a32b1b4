"""Shell completion in a real bash."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.test_commands import ROOT, isobench

_TRY = """
eval "$(isobench completion bash)"
line="$1"; COMP_LINE="$line"; COMP_POINT=${#line}; COMP_TYPE=9
COMP_WORDS=($line); [ "${line: -1}" = " " ] && COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
"$(complete -p isobench | sed -E 's/.*-F ([^ ]+) .*/\\1/')" isobench
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("isobench re", {"report"}),
        ("isobench run --pro", {"--profile"}),
        ("isobench run --profile ", {"quick", "default", "rigorous"}),
        ("isobench run -e process,tcg-n", {"process,tcg-null"}),
        ("isobench run -s sys", {"syscall", "syscall-all", "syscall-pinned"}),
    ],
)
def test_bash_completes(tmp_path: Path, line: str, wanted: set[str]) -> None:
    """Commands, options, choices, and after a comma the names of the catalogue."""
    program = tmp_path / "isobench"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        "from isobench.__main__ import main\nsys.exit(main())\n"
    )
    program.chmod(0o755)
    environ = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", _TRY, "bash", line], env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert wanted <= {word.strip() for word in done.stdout.splitlines()}, done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_gets_its_words(tmp_path: Path, shell: str) -> None:
    """The script names the program."""
    done = isobench("completion", shell, folder=tmp_path)
    assert done.returncode == 0 and "isobench" in done.stdout
