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
    kinds = (".", "propagate", "unix-export")
    others = (f"{RUN.lower()}0-nspawn-1", "mine")
    places = {
        name: [tmp_path / "state" / kind / name for kind in kinds] for name in (f"{RUN.lower()}-nspawn-1", *others)
    }
    for place in (place for found in places.values() for place in found):
        (place / "unix-export").mkdir(parents=True)
        (place / "unix-export/socket").touch()
    ours = places.pop(f"{RUN.lower()}-nspawn-1")
    assert _nspawn.sweep(RUN) == [f"nspawn's {name}" for name in (*(place.name for place in ours), lock.name)]
    assert not any(place.exists() for place in ours)
    assert all((place / "unix-export/socket").exists() for found in places.values() for place in found)
    assert _nspawn.sweep(RUN) == []
