"""systemd-nspawn: what a killed one leaves."""

from __future__ import annotations

from pathlib import Path

import pytest

from isobench.environments.runtimes import _nspawn

RUN = "isobench-20260101T000000Z-abcdef"


def test_what_a_killed_nspawn_keeps_of_its_containers_is_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lock, and the folders for mounts and sockets, under the container's name; another run's and a user's stay."""
    tree = tmp_path / "work" / RUN / "nspawn/root-1"
    tree.mkdir(parents=True)
    monkeypatch.setenv("ISOBENCH_WORK", str(tmp_path / "work"))
    monkeypatch.setattr(_nspawn, "_STATE", str(tmp_path / "state"))
    monkeypatch.setattr(_nspawn, "remove", lambda name: [])
    (tmp_path / "state/locks").mkdir(parents=True)
    lock = tmp_path / f"state/locks/inode-{tree.stat().st_dev}:{tree.stat().st_ino}"
    lock.touch()
    for name in (f"{RUN.lower()}-nspawn-1", f"{RUN.lower()}0-nspawn-1", "mine"):
        for kind in ("propagate", "unix-export"):
            (tmp_path / "state" / kind / name).mkdir(parents=True)
            (tmp_path / "state" / kind / name / "socket").touch()
    assert _nspawn.sweep(RUN) == [f"nspawn's {name}" for name in (*[f"{RUN.lower()}-nspawn-1"] * 2, lock.name)]
    left = sorted(str(path.relative_to(tmp_path / "state")) for path in (tmp_path / "state").glob("*/*"))
    others = (f"{RUN.lower()}0-nspawn-1", "mine")
    assert left == [f"{kind}/{name}" for kind in ("propagate", "unix-export") for name in others]
    assert _nspawn.sweep(RUN) == []
