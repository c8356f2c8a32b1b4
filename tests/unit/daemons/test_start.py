"""What a private daemon is started with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isobench import daemons
from isobench.daemons.session import MARK

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_its_environment_is_that_of_an_init_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is set where isobench is called does not reach it; the mark, by which orphans are found, does."""
    for name in ("GOGC", "GODEBUG", "LIBVIRT_DEBUG", "DOCKER_TLS_VERIFY", "NOTIFY_SOCKET", "XDG_RUNTIME_DIR"):
        monkeypatch.setenv(name, "1")
    (tmp_path / "run").mkdir()
    told = tmp_path / "told"
    daemon = daemons.start(
        "sh",
        ["sh", "-c", f"env > {told}.new; mv {told}.new {told}; exec sleep 600"],
        state=tmp_path,
        address="none",
        answers=told.exists,
    )
    daemon.stop()
    names = {line.partition("=")[0] for line in told.read_text().splitlines()}
    assert names - {"PWD", "OLDPWD", "SHLVL", "_"} == {"PATH", "LANG", "TMPDIR", MARK}
