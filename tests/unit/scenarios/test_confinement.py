"""How the host confines the process behind an instance."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from isobench.core.errors import MeasurementError
from isobench.scenarios import _confinement

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Sandbox:
    """Its one instance is these processes."""

    def __init__(self, pids: dict[int, str] | MeasurementError) -> None:
        self._pids = pids

    @contextmanager
    def launch(self, launch: Any) -> Iterator[Any]:
        assert launch.is_idle
        if isinstance(self._pids, MeasurementError):
            raise self._pids
        yield SimpleNamespace(host_pids=lambda: self._pids, wait=lambda: 0)


def _facts(pids: dict[int, str] | MeasurementError) -> dict[str, str]:
    return _confinement.facts(_Sandbox(pids))  # type: ignore[arg-type]


def test_it_is_read_from_the_program_and_not_from_a_helper() -> None:
    """Which is confined in another way."""
    confined = ["setpriv", "--no-new-privs", "sleep", "60"]
    with subprocess.Popen(confined) as sleeping:
        try:
            while Path(f"/proc/{sleeping.pid}/comm").read_text() != "sleep\n":
                pass
            found = _facts({os.getpid(): "helper", sleeping.pid: "payload"})
        finally:
            sleeping.kill()
    assert found["outside.program"] == "sleep" and found["outside.no_new_privs"] == "yes"
    assert found["outside.user"] == ("root" if os.geteuid() == 0 else _confinement._user(os.geteuid()))
    assert found["outside.seccomp"] in ("none", "filter") and found["outside.label"]
    assert int(found["outside.capabilities"]) >= 0


@pytest.mark.parametrize("pids", [{}, {os.getpid(): "helper"}, {2**22 + 1: "payload"}])
def test_what_cannot_be_seen_is_said_so(pids: dict[int, str]) -> None:
    """A process that is somewhere else, or gone."""
    assert _facts(pids) == {"outside.unknown": "its process is not visible from here"}


def test_an_instance_that_does_not_start_costs_these_facts_alone() -> None:
    assert _facts(MeasurementError("no room")) == {"outside.unknown": "no room"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("libvirt-96c58e78-4e93-8c7b-a596-3406bce4e0a2 (enforce)", "libvirt-* (enforce)"),
        ("system_u:system_r:svirt_t:s0:c392,c662", "system_u:system_r:svirt_t:s0:*"),
        ("docker-default (enforce)", "docker-default (enforce)"),
        ("", "none"),
    ],
)
def test_a_label_is_the_same_in_every_run(text: str, told: str) -> None:
    """Otherwise two runs would differ in it, whatever changed."""
    assert _confinement._label(text) == told


def test_a_user_without_a_name_is_a_number() -> None:
    assert (_confinement._user(0), _confinement._user(3999999999)) == ("root", "3999999999")
