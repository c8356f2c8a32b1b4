"""Whose process serves a socket: real processes, sockets handed on, names that are none of a daemon."""

from __future__ import annotations

import gc
import os
import socket
import struct
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isobench.processes import serving
from isobench.processes.accounting import process_name
from tests.busy import soon

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAMES = frozenset({"isotestd"})

SERVER = """
import ctypes, os, socket, sys
def called(name): ctypes.CDLL(None).prctl(15, name.encode(), 0, 0, 0)
family, where, maker, name = sys.argv[1:]
called(maker)
listening = socket.socket(socket.AF_UNIX if family == "unix" else socket.AF_INET)
listening.bind(where if family == "unix" else ("127.0.0.1", 0))
listening.listen(8)
port = 0 if family == "unix" else listening.getsockname()[1]
def serve():
    print(os.getpid(), port, flush=True)
    kept = []
    while True: kept.append(listening.accept())
if name == maker:
    serve()
elif os.fork():
    os.wait()
else:
    ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)  # ends with its parent
    called(name)
    serve()
"""


@contextmanager
def served(family: str, where: Path | str, maker: str, name: str) -> Iterator[tuple[int, int]]:
    """A process called `maker` makes a socket and one called `name` serves it; the latter's pid, and the port."""
    command = [sys.executable, "-c", SERVER, family, str(where), maker, name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            pid, port = map(int, process.stdout.readline().split())
            yield pid, port
        finally:
            process.kill()


@pytest.mark.parametrize("maker", ["isotestd", "systemd"])
def test_the_daemon_is_who_serves(maker: str, tmp_path: Path) -> None:
    """Whether it made its socket itself or was handed it by an init system."""
    path = tmp_path / "socket"
    with served("unix", path, maker, "isotestd") as (pid, _):
        assert serving.server_of(str(path), NAMES) == serving.Server(pid)
        assert serving.serving_pid(str(path)) == pid
        assert serving.server_of(str(path), NAMES).pid == pid  # known by now


def test_a_daemon_that_was_started_anew_is_found_anew(tmp_path: Path) -> None:
    """What was known of the socket is of a process that has gone."""
    path = tmp_path / "socket"
    found = []
    for _ in range(2):
        with served("unix", path, "systemd", "isotestd") as (pid, _):
            assert serving.server_of(str(path), NAMES).pid == pid
            found.append(pid)
        path.unlink()
    assert len(set(found)) == 2


def test_a_link_to_the_socket_leads_to_it(tmp_path: Path) -> None:
    """/var/run is a link to /run, and the kernel knows a socket by the name it was bound to."""
    (tmp_path / "run").mkdir()
    (tmp_path / "var").symlink_to("run")
    with served("unix", tmp_path / "run/socket", "systemd", "isotestd") as (pid, _):
        assert serving.server_of(f"{tmp_path}/var/socket", NAMES).pid == pid


def test_a_tunnel_is_no_daemon(tmp_path: Path) -> None:
    """ssh or socat listens for an engine that is elsewhere: it is named, and not taken for the engine."""
    path = tmp_path / "socket"
    with served("unix", path, "ssh", "ssh"):
        server = serving.server_of(str(path), NAMES)
    assert server.pid == 0
    assert "ssh (" in server.why_not and "none of isotestd" in server.why_not


def test_nobody_is_not_known(tmp_path: Path) -> None:
    """With a reason."""
    server = serving.server_of(str(tmp_path / "none"), NAMES)
    assert server.pid == 0 and server.why_not
    assert serving.serving_pid(str(tmp_path / "none")) == 0


def test_ports_of_this_machine(tmp_path: Path) -> None:
    """A daemon behind TCP is found where the address is this machine's; another's is said to be that."""
    with served("tcp", "-", "isotestd", "isotestd") as (pid, port):
        assert serving.server_of_port("127.0.0.1", port, NAMES).pid == pid
        assert "another machine" in serving.server_of_port("203.0.113.7", port, NAMES).why_not


def test_the_ports_of_a_process_are_those_at_which_it_listens() -> None:
    """Not those of others, nor one that it is connected to."""
    with served("tcp", "-", "isotestd", "isotestd") as (pid, port), socket.create_connection(("127.0.0.1", port)):
        assert serving.listening_ports(pid) == [port]
        assert port not in serving.listening_ports(os.getpid())
    assert serving.listening_ports(pid) == []


def test_connections_lead_to_their_other_end(tmp_path: Path) -> None:
    """A process is connected to the daemon that accepted, and to none of another name."""
    path = tmp_path / "socket"
    with served("unix", path, "systemd", "isotestd") as (pid, _), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        assert str(path) in serving.connected_paths()
        assert soon(lambda: serving.connected_to(os.getpid(), NAMES) != [])  # it has accepted
        assert serving.connected_to(os.getpid(), NAMES) == [pid]
        assert serving.connected_to(os.getpid(), frozenset({"another"})) == []
        assert serving.listens_at(pid, "/socket") == str(path)


def test_looking_leaves_no_file_open() -> None:
    """However often."""
    gc.collect()  # what another test has left
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        serving.connected_paths()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_pipe_leads_to_its_reader() -> None:
    """As from QEMU to the daemon that writes its log."""
    code = (
        "import ctypes,sys; ctypes.CDLL(None).prctl(15, b'isotestd', 0, 0, 0); print(1, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdin is not None
        process.stdout.readline()
        assert serving.writes_to(os.getpid(), NAMES) == [process.pid]
        process.stdin.close()
    assert serving.writes_to(os.getpid(), NAMES) == []


def test_this_process_is_here() -> None:
    """In its own PID namespace; one that is not there is taken for nothing."""
    assert serving.proc_is_ours()
    assert serving.is_here(os.getpid())
    assert process_name(os.getpid())


UNIX = """\
Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01 11 /a b/x.sock
0000000000000000: 00000003 00000000 00000000 0001 03 12 /a b/x.sock
0000000000000000: 00000002 00000000 00010000 0001 01 13
0000000000000000: 00000002 00000000 00010000 0001 01 cut /a b/x.sock
0000000000000000: 00000002 00000000 XYZ00000 0001 01 14 /a b/x.sock
"""


def test_listening_sockets_are_those_with_the_flag() -> None:
    """A name may have blanks; an accepted connection has the same name and does not listen; what is cut off is none."""
    assert serving.listeners(UNIX, "/a b/x.sock") == {11}
    assert serving.listeners(UNIX, "/other") == set()


def test_ports_are_read_in_hexadecimal() -> None:
    """A port that another connection merely has is none."""
    rows = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:0947 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 5 1
   1: 0100007F:0947 0100007F:1234 01 00000000:00000000 00:00000000 00000000     0        0 6 1
   2: 00000000000000000000000000000000:0947 0000:0000 0A 00:00 00:00000000 00000000     0 0 7 1
"""
    assert serving.tcp_listeners(rows, 2375) == {5, 7}


@given(st.text(), st.binary(max_size=300))
def test_odd_tables_are_read_or_passed_over(text: str, data: bytes) -> None:
    """Neither raises."""
    serving.listeners(text, "/x")
    serving.tcp_listeners(text, 1)
    assert all(len(pair) == 2 for pair in serving.parse_peers(data))


def test_peers_are_taken_out_of_the_kernels_message() -> None:
    """Attributes that are not asked for are passed over."""
    body = struct.pack("=BBBBIII", 1, 1, 1, 0, 77, 0, 0) + struct.pack("=HHI", 8, 5, 9) + struct.pack("=HHI", 8, 2, 78)
    message = struct.pack("=IHHII", 16 + len(body), 20, 2, 1, 0) + body
    assert serving.parse_peers(message * 2) == [(77, 78), (77, 78)]
