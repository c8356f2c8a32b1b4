"""A libvirt that stops answering in the middle of a run: a private one, told to stand still."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from isobench.contracts.launch import idle
from isobench.core.errors import DeadlineExceeded, Unavailable
from isobench.daemons import libvirt as private
from isobench.environments.libvirt import _connection, _daemons, _domain
from isobench.processes.accounting import pids_with
from tests.contract.opening import GUEST, opened

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.root, pytest.mark.libvirt, pytest.mark.tool("libvirtd")]


@pytest.fixture
def libvirtd(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The process of a libvirtd of this test's own."""
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="iso", dir="/var/tmp"))  # a socket's path has 107 letters at most
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        daemon = private.start(folder / "state")
        stack.callback(daemon.stop)
        monkeypatch.setenv("ISOBENCH_LIBVIRT_URI", daemon.address)
        monkeypatch.setattr(_connection, "_hung", {})
        pid = _daemons.daemon().pid
        stack.callback(os.kill, pid, signal.SIGCONT)
        yield pid


def test_a_run_outlives_a_libvirt_that_hangs(libvirtd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it does not answer fails with that reason, QEMU is ended all the same, and what comes later is measured."""
    with opened(f"{GUEST}-null") as sandbox:
        monkeypatch.setattr(_domain, "_END_SECONDS", 1.0)
        with pytest.raises(DeadlineExceeded), sandbox.launch(idle()) as instance:
            (qemu,) = instance.host_pids()
            os.kill(libvirtd, signal.SIGSTOP)
            vars(instance)["_deadline"] = time.monotonic() + 1  # whatever its start has taken
            instance.wait()  # QEMU waits for libvirt when its guest has ended
        assert qemu not in pids_with("guest=")
        monkeypatch.setattr(_connection, "_ANSWER_SECONDS", 1.0)
        with pytest.raises(DeadlineExceeded, match="did not answer within"), sandbox.launch(idle()):
            pass
        with pytest.raises(Unavailable, match="in an earlier attempt"):
            _connection.connect()
        os.kill(libvirtd, signal.SIGCONT)
        monkeypatch.setattr(_connection, "_ANSWER_SECONDS", 60.0)
        monkeypatch.setattr(_domain, "_END_SECONDS", 40.0)
        with sandbox.launch(idle()) as instance:
            assert instance.wait() == 0
