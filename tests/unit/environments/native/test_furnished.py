"""What a program is given besides its files: devices that it can open."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from isobench.core.errors import MeasurementError
from isobench.environments.native._furnished import refuse_nodev


def test_a_file_system_whose_devices_cannot_be_opened_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what can be done; one that is only read, or runs no set-uid programs, is not."""
    monkeypatch.setattr(os, "statvfs", lambda folder: SimpleNamespace(f_flag=os.ST_NOSUID | os.ST_RDONLY))
    refuse_nodev(tmp_path)
    monkeypatch.setattr(os, "statvfs", lambda folder: SimpleNamespace(f_flag=os.ST_NOSUID | os.ST_NODEV))
    with pytest.raises(MeasurementError, match="is mounted with nodev") as refused:
        refuse_nodev(tmp_path)
    assert "ISOBENCH_WORK" in refused.value.remedy
