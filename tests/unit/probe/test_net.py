"""`probe net` run by hand: both ends on this machine, and nobody served who does not know the token."""

from __future__ import annotations

import io
import os
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from isobench.contracts.answers import first_answer, read_answers
from isobench.core.errors import ProbeError
from isobench.environments.native.rungs import ENVIRONMENTS
from isobench.probe.build import probe_path
from isobench.scenarios.net import Net

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OPERATIONS = ["tcp", "udp", "connect", "mib"]


def _net(*arguments: str) -> list[dict[str, Any]]:
    ended = subprocess.run([str(probe_path()), "net", *arguments], capture_output=True, timeout=60)
    return read_answers(io.BytesIO(ended.stdout))


@contextmanager
def _server() -> Iterator[dict[str, Any]]:
    process = subprocess.Popen([str(probe_path()), "net", "server"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None and process.stdout is not None
    try:
        yield first_answer(process.stdout)  # type: ignore[arg-type] # a pipe is a binary stream
    finally:
        process.communicate(timeout=60)
    assert process.returncode == 0


def test_loopback_measures_everything() -> None:
    """Four operations, each in several batches of at least some milliseconds; a connection costs more than a byte."""
    found = {answer["name"]: answer for answer in _net("loopback")}
    assert list(found) == OPERATIONS
    assert all(len(answer["ns"]) >= 5 and min(answer["ns"]) > 0 for answer in found.values())
    least = {name: min(found[name]["ns"]) for name in ("tcp", "connect")}
    for _ in range(10):  # other programs make batches longer, never shorter
        if least["connect"] > least["tcp"]:
            break
        more = {answer["name"]: answer for answer in _net("loopback")}
        least = {name: min(so_far, *more[name]["ns"]) for name, so_far in least.items()}
    assert least["connect"] > least["tcp"]


def test_a_client_measures_the_path_to_a_server() -> None:
    """What the server says about itself is what a client needs."""
    with _server() as server:
        found = _net("client", "127.0.0.1", str(server["tcp"]), str(server["udp"]), server["token"])
    assert [answer["name"] for answer in found] == OPERATIONS
    assert all("ns" in answer for answer in found)


def test_without_the_token_nobody_is_served() -> None:
    """A client with another token gets a reason and no figures."""
    with _server() as server:
        found = _net("client", "127.0.0.1", str(server["tcp"]), str(server["udp"]), "0" * 16)
    assert found == [{"unavailable": "what answers there is not the server of this instance"}]


def test_nobody_listening_is_a_reason() -> None:
    """A refused connection is said once, at once."""
    with _server() as server:
        pass
    found = _net("client", "127.0.0.1", str(server["tcp"]), str(server["udp"]), server["token"])
    assert found == [{"unavailable": "Connection refused"}]


@pytest.mark.parametrize("arguments", [(), ("client", "127.0.0.1"), ("client", "nowhere", "1", "2", "0" * 16)])
def test_wrong_usage_is_an_error_answer(arguments: tuple[str, ...]) -> None:
    """What cannot be done is an error, not an empty answer."""
    with pytest.raises(ProbeError):
        _net(*arguments)


@pytest.mark.root
@pytest.mark.parametrize(("name", "path"), [("process", "host's own network"), ("ns-net", "veth")])
def test_the_scenario_finds_the_path_from_the_host(name: str, path: str, tmp_path: Path) -> None:
    """A process is reached over the loopback, a network namespace over a veth pair that goes with it."""
    environment = next(e for e in ENVIRONMENTS if e.name == name)
    workdir = tmp_path / "isobench-test" / name
    workdir.mkdir(parents=True)
    with environment.open(workdir) as sandbox:
        values = Net().measure(sandbox)
        facts = Net().facts(sandbox)
    assert set(values) == {metric.name for metric in Net.metrics}
    assert path in facts["path"]
    assert not [link for link in os.listdir("/sys/class/net") if link.startswith("isob")]
