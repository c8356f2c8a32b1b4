"""The surface scenario: what an answer means, and what the real probe sees of the process it is."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from isobench.contracts.launch import Launch, working
from isobench.core.errors import MeasurementError, ProbeError
from isobench.probe.build import probe_path
from isobench.scenarios import _calls
from isobench.scenarios.surface import Surface

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Instance:
    def __init__(self, said: bytes) -> None:
        self.stdout = io.BytesIO(said)

    def wait(self) -> int:
        return 0


class _Sandbox:
    def __init__(self, said: bytes) -> None:
        self._said = said

    @contextmanager
    def launch(self, launch: Launch) -> Iterator[_Instance]:
        if launch.arguments[0] in ("exercise", "ready"):
            raise MeasurementError(f"it does no {launch.arguments[0]}")
        assert launch == working("surface", str(_calls.last()))
        yield _Instance(self._said)


def _facts(said: bytes) -> dict[str, str]:
    return dict(Surface().facts(_Sandbox(said)))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def said() -> bytes:
    """What the probe answers on this host, in no isolation."""
    environ = {"PATH": "/bin", "ODD\n\"NAME'": "1"}
    return subprocess.run(
        [probe_path(), "surface", str(_calls.last())], capture_output=True, check=True, env=environ, timeout=60
    ).stdout


def _changed(said: bytes, **changes: Any) -> bytes:
    ready, seen, calls, _ = said.split(b"\n")
    return b"\n".join([ready, json.dumps(json.loads(seen) | changes).encode(), calls, b""])


def test_a_raw_process_has_what_this_one_has(said: bytes) -> None:
    """The host's kernel, no namespace of its own, the capabilities of this process, its environment and its state."""
    facts = _facts(said)
    status = dict(line.split(":\t") for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
    assert facts["kernel"] == "the host's"
    assert facts["namespaces"] == "none"
    assert facts["capabilities"] == str(int(status["CapEff"], 16).bit_count())
    assert facts["bounding"] == str(int(status["CapBnd"], 16).bit_count())
    assert facts["environment"] == "ODD  NAME', PATH"
    assert facts["folder"] == str(Path.cwd())
    assert int(facts["processes"]) > 1
    assert facts["user"] == ("the host's root" if os.geteuid() == 0 else f"user {os.geteuid()}")


def test_what_the_host_does_cannot_be_known_without_the_exercise(said: bytes) -> None:
    """The rest is told all the same."""
    facts = _facts(said)
    assert facts["host_calls.unknown"] == "it does no exercise" and facts["outside.unknown"] == "it does no ready"
    assert "host_calls" not in facts and facts["kernel"] == "the host's"


def test_another_boot_is_another_kernel(said: bytes) -> None:
    """A kernel of the same release that was booted by itself is the instance's own; so are its namespaces and root."""
    facts = _facts(_changed(said, boot_id="0", uid=0))
    assert facts["kernel"].startswith("its own")
    assert facts["namespaces"] == "all, of its own kernel"
    assert facts["user"] == "root of its own kernel"


def test_a_boot_id_that_is_made_up_is_told_by_the_clock(said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """systemd-nspawn shows another one of the host's own kernel, whose clock goes with the host's."""
    now = time.monotonic_ns()
    monkeypatch.setattr("isobench.scenarios.surface.time.monotonic_ns", lambda: now)
    assert _facts(_changed(said, boot_id="0", clock=now))["kernel"] == "the host's"
    assert _facts(_changed(said, boot_id="0", clock=now, kernel="6.0"))["kernel"] == "its own (6.0)"


def test_every_system_call_is_let_through_absent_or_left_out(said: bytes) -> None:
    """No process of this host is killed for one."""
    facts = _facts(said)
    absent, refused = (facts[f"calls.{what}"].split(", ") for what in ("absent", "refused"))
    assert {"create_module", "tuxcall"} <= set(absent) and "getpid" not in (*absent, *refused)
    assert facts["calls.killed"] == facts["calls.unknown"] == "none"
    assert facts["calls.left_out"].startswith("rt_sigreturn (") and ", sync (" in facts["calls.left_out"]
    others = sum(len(names.split(", ")) for what in OTHERS if (names := facts[f"calls.{what}"]) != "none")
    assert int(facts["calls"]) + others == int(facts["calls.known"])


OTHERS = ("denied", "killed", "refused", "absent", "unknown", "left_out")


def test_root_of_a_user_namespace_says_who_stands_behind(said: bytes) -> None:
    """Its root is some user of the host, named by the map."""
    facts = _facts(_changed(said, uid=0, namespaces={"user": 1}, uid_map="0 1000 1"))
    assert facts["user"] == "root of a user namespace, the host's user 1000"
    assert facts["namespaces"] == "user"


def test_devices_that_everybody_has_are_not_told(said: bytes) -> None:
    """Only what reaches the host is named."""
    assert _facts(_changed(said, devices=["/dev/null", "/dev/kmsg"]))["devices"] == "/dev/kmsg"
    assert _facts(_changed(said, devices=["/dev/null"]))["devices"] == "none"


def test_sockets_and_file_systems_of_the_host_are_named(said: bytes) -> None:
    """A guest's own disk is none of the host's; a folder that the host shares with it is."""
    mounted = [["/", "ext4"], ["/data", "virtiofs"]]
    names = ["/run/docker.sock", "/run/docker/libnetwork/9791aedae0af.sock"]
    facts = _facts(_changed(said, sockets=names, mounted=mounted, label="docker-default (enforce)"))
    assert facts["sockets"] == "/run/docker.sock, /run/docker/libnetwork/*.sock"
    assert facts["label"] == "docker-default (enforce)"
    assert facts["mounted"] == "/ (ext4), /data (virtiofs)"
    assert _facts(_changed(said, mounted=mounted, boot_id="0"))["mounted"] == "/data (virtiofs)"


def test_a_socket_that_is_there_is_seen(tmp_path_factory: pytest.TempPathFactory) -> None:
    """By the real probe, as is what is mounted where this test lies."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder, socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{folder}/one")
        answer = subprocess.run([probe_path(), "surface", "1"], capture_output=True, check=True, timeout=60).stdout
    seen = json.loads(answer.splitlines()[1])
    assert f"{folder}/one" in seen["sockets"]
    assert all(Path(point).exists() for point, _ in seen["mounted"])
    assert not {kind for _, kind in seen["mounted"]} & {"proc", "sysfs", "tmpfs", "overlay"}


@pytest.mark.parametrize("changes", [{"effective": "x"}, {"namespaces": None}, {"limits": 7}, {"environment": 1}])
def test_an_answer_that_lacks_something_is_an_error(said: bytes, changes: dict[str, Any]) -> None:
    """An instance that lies gives a `ProbeError`, not a crash."""
    with pytest.raises(ProbeError, match="incomplete"):
        _facts(_changed(said, **changes))
