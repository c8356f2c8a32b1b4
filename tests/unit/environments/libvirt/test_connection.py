"""What a sweep says of domains that do not go; the way to libvirt, and whose process its daemon is."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from isobench.core import deadlines
from isobench.core.errors import MeasurementError, Unavailable
from isobench.environments.libvirt import _connection, _daemons, _leftovers
from isobench.environments.libvirt._domain import GuestInstance
from tests.unit.processes.test_serving import served

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

libvirt = pytest.importorskip("libvirt")


class Domain:
    """One that goes when it has been destroyed often enough; what libvirt says before."""

    def __init__(self, name: str, refusals: int) -> None:
        self._name = name
        self.refusals = refusals

    def name(self) -> str:
        return self._name

    def destroy(self) -> None:
        self.refusals -= 1
        if self.refusals >= 0:
            raise libvirt.libvirtError("no")


class Connection:
    def __init__(self, *domains: Domain) -> None:
        self.domains = domains

    def listAllDomains(self) -> list[Domain]:
        return [domain for domain in self.domains if domain.refusals >= 0]

    def close(self) -> None:
        pass


ABSENT = """
import sys
if not sys.argv[1:]:
    sys.modules["libvirt"] = None  # as where it is not installed
from isobench.core.errors import Unavailable
from isobench.environments.libvirt import _connection, _leftovers
try:
    _connection.connect()
except Unavailable as error:
    print(error.reason, error.remedy, _leftovers.sweep("isobench-20260101T000000Z-abcdef"), sep="; ")
"""


@pytest.mark.parametrize(
    ("loaded", "said", "remedy"),
    [
        ([], "libvirt-python is not installed", "pip install 'isobench[libvirt]'"),
        (["x"], "libvirt-python cannot be loaded: ", "unset LIBVIRT_LOG_OUTPUTS, LIBVIRT_LOG_FILTERS and"),
    ],
)
def test_without_the_library_nothing_is_asked(loaded: list[str], said: str, remedy: str) -> None:
    """Where it is not installed, or refuses its own settings; a run that has not used it needs no sweep of it."""
    command = [sys.executable, "-c", ABSENT, *loaded]
    environ = {**os.environ, **({"LIBVIRT_LOG_OUTPUTS": "nonsense"} if loaded else {})}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.startswith(said) and f"; {remedy}" in done.stdout and done.stdout.endswith("; []\n"), done


def test_a_domain_that_remains_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what libvirt said; one of a similar name is not looked at."""
    monkeypatch.setattr(_leftovers, "_SWEEP_SECONDS", 0.1)
    connection = Connection(Domain("isobench-x-tcg-1", 0), Domain("isobench-x-tcg-2", 1000), Domain("isobench-xy-1", 0))
    monkeypatch.setattr(_leftovers, "connect", lambda: connection)
    with pytest.raises(MeasurementError, match=r"cleaning up domains: isobench-x-tcg-2 \(no\)"):
        _leftovers.sweep("isobench-x")
    assert [domain.name() for domain in connection.listAllDomains()] == ["isobench-x-tcg-2", "isobench-xy-1"]


def test_a_domain_that_goes_late_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked again."""
    connection = Connection(Domain("isobench-x-tcg-1", 2))
    monkeypatch.setattr(_leftovers, "connect", lambda: connection)
    assert _leftovers.sweep("isobench-x") == ["domain isobench-x-tcg-1"]


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("qemu+ssh://user@host.example/system", "another machine"),
        ("qemu+ssh://host.example/system?command=/bin/false", "another machine"),
        ("qemu+ext:///system?command=/bin/false", "another machine"),
        ("qemu://host.example/system", "another machine"),
        ("test:///default", "by QEMU here"),
        ("nonsense", "by QEMU here"),
    ],
)
def test_guests_elsewhere_are_refused(uri: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is started or sent: what they say could not be heard."""
    monkeypatch.setenv("ISOBENCH_LIBVIRT_URI", uri)
    monkeypatch.setattr(libvirt, "open", lambda _: pytest.fail("it was asked"))
    with pytest.raises(Unavailable, match=said) as caught:
        _connection.connect()
    assert "ISOBENCH_LIBVIRT_URI" in caught.value.remedy


def test_what_libvirt_said_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No daemon, or one that answers with something else."""
    monkeypatch.setenv("ISOBENCH_LIBVIRT_URI", f"qemu+unix:///system?socket={tmp_path}/none")
    with pytest.raises(Unavailable, match=r"Failed to connect socket to .*/none.*No such file") as caught:
        _connection.connect()
    assert "start" in caught.value.remedy
    monkeypatch.setenv("ISOBENCH_LIBVIRT_URI", "qemu:///nonsense")
    with pytest.raises(Unavailable, match="nonsense") as caught:
        _connection.connect()
    assert "systemctl" not in caught.value.remedy


@pytest.mark.parametrize("words", ["authentication unavailable: no polkit agent", "Permission denied"])
def test_a_refusal_is_not_mended_by_a_start(words: str) -> None:
    """The daemon runs."""
    assert "start" not in _connection._remedy(words)


def test_a_daemon_that_hangs_is_given_up_and_not_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is connected to, and says nothing."""
    path = tmp_path / "socket"
    monkeypatch.setattr(_connection, "_ANSWER_SECONDS", 0.3)
    monkeypatch.setattr(_connection, "_hung", {})
    monkeypatch.setenv("ISOBENCH_LIBVIRT_URI", f"qemu+unix:///system?socket={path}")
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(path))
        silent.listen(8)
        with pytest.raises(Unavailable, match="did not answer within"):
            _connection.connect()
        with pytest.raises(Unavailable, match="in an earlier attempt"):
            _connection.connect()


def test_a_slow_hosts_daemon_is_not_one_that_hangs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What is asked of it with little patience, while guests start and when they are done with, has more there: a
    daemon that counts as hung is asked for no guest for minutes."""
    given: list[float] = []

    def within(seconds: float, call: Callable[[], object]) -> object:
        given.append(seconds)
        return call()

    monkeypatch.setattr(deadlines, "within", within)
    monkeypatch.setattr(_connection, "_hung", {})
    domain = SimpleNamespace(state=lambda: (libvirt.VIR_DOMAIN_RUNNING, 0))
    instance = GuestInstance(None, "name", tmp_path, 60, idle=True)
    vars(instance)["_domain"] = domain
    try:
        for factor in (1, 10):
            deadlines.begin(factor * deadlines.READY)
            instance._check_alive()
            _connection.close(SimpleNamespace(close=lambda: 0))
    finally:
        deadlines.begin(None)
        vars(instance)["_listener"].close()
    assert given[2:] == [10 * seconds for seconds in given[:2]]


@pytest.mark.parametrize(("name", "known"), [("libvirtd", True), ("virtqemud", True), ("socat", False)])
def test_whose_process_the_daemon_is(name: str, known: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Monolithic or modular, made by systemd; what passes on is named."""
    path = tmp_path / "socket"
    monkeypatch.setenv("ISOBENCH_LIBVIRT_URI", f"qemu+unix:///system?mode=direct&socket={path}")
    with served("unix", path, "systemd", name) as (pid, _):
        assert _daemons.libvirtd_pid() == pid
        assert _daemons.daemon().pid == (pid if known else 0)
        assert known or "socat" in _daemons.daemon().why_not


def test_the_socket_is_the_one_that_is_connected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the address names none: libvirt's own client chooses between the daemons that are there."""
    monkeypatch.setenv("ISOBENCH_LIBVIRT_URI", "qemu:///system")
    path = tmp_path / "virtqemud-sock"
    with served("unix", path, "systemd", "virtqemud") as (pid, _), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        assert _daemons.daemon().pid == pid != os.getpid()


@pytest.mark.parametrize(("name", "below"), [("XDG_RUNTIME_DIR", ""), ("XDG_CACHE_HOME", ""), ("HOME", ".cache")])
def test_a_users_own_daemon_is_found_where_libvirt_looks(
    name: str, below: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a folder for what runs, it is in the cache (GLib's g_get_user_runtime_dir)."""
    for other in ("XDG_RUNTIME_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("ISOBENCH_LIBVIRT_URI", "qemu:///session")
    path = tmp_path / below / "libvirt/libvirt-sock"
    path.parent.mkdir(parents=True)
    path.touch()
    assert _daemons._socket_path() == str(path)
