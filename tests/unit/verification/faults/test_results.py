"""Every kind of hostile run folder is loaded or refused with its name; what is read of a history goes on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from isobench.core.errors import StoreError
from isobench.nights import history
from isobench.results import store
from tests.unit.report.made import write_run
from verification.faults.kinds import KINDS

QUICK = sorted(kind for kind in KINDS if "MB" not in kind)


@pytest.mark.root
@pytest.mark.parametrize("kind", QUICK)
def test_it_is_loaded_or_refused(kind: str, tmp_path: Path) -> None:
    """Never anything else, and never without an end."""
    good, bad = write_run(tmp_path), write_run(tmp_path, started="2027-01-01T00:00:00Z")
    KINDS[kind](bad)
    for host in os.listdir(os.fsencode(tmp_path)):
        for name in os.listdir(os.fsencode(tmp_path) + b"/" + host):
            path = Path(os.fsdecode(b"/".join((os.fsencode(tmp_path), host, name))))
            try:
                store.load(path)
            except StoreError as error:
                assert path.name != good.name and error.reason
    assert len(history.read(tmp_path).nights) >= 1
