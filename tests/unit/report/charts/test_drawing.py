"""The same drawing whatever the user has set matplotlib to."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[4]
DRAW = "from isobench.report.charts import ecdf, Series; print(ecdf([Series('a', [1.0, 2.0], ())], 'second').light)"


def drawn(folder: Path, **environ: str) -> str:
    """The drawing of a new Python that works in this folder."""
    where = {**os.environ, "PYTHONPATH": str(ROOT), **environ}
    done = subprocess.run(
        [sys.executable, "-c", DRAW], cwd=folder, env=where, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_a_users_settings_do_not_reach_a_drawing(tmp_path: Path) -> None:
    """Neither a matplotlibrc in the folder, at home or named, broken or not, nor a notebook's back end."""
    here, home = tmp_path / "here", tmp_path / "home/.config/matplotlib"
    for folder, words in ((here, b"path.sketch: 1, 100, 2\nlegend.fontsize: 44\n"), (home, b"font.size: 40\n\xff\n")):
        folder.mkdir(parents=True)
        (folder / "matplotlibrc").write_bytes(words)
    plain = drawn(tmp_path)
    assert "<svg" in plain
    assert drawn(here, MPLBACKEND="module://matplotlib_inline.backend_inline") == plain
    assert drawn(tmp_path, HOME=str(tmp_path / "home"), XDG_CONFIG_HOME="") == plain
    assert drawn(tmp_path, MATPLOTLIBRC=str(home / "matplotlibrc"), MPLCONFIGDIR="/proc/none") == plain
