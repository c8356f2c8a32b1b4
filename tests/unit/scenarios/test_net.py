"""The net scenario without a network: which paths it tries, and what it makes of answers."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Any

import pytest

from isobench.cells.gate import marks
from isobench.core.errors import MeasurementError, ProbeError
from isobench.results.record import CellRecord
from isobench.scenarios import _net
from isobench.scenarios.net import OPERATIONS, Net

if TYPE_CHECKING:
    from isobench.contracts.environment import Role


class _Instance:
    """Only the host processes that an instance says it has, and what a test gives it."""

    stdout: io.BytesIO
    address: str

    def __init__(self, *pids: int) -> None:
        self._pids = pids

    def host_pids(self) -> dict[int, Role]:
        return dict.fromkeys(self._pids, "payload")


def test_a_promised_path_that_does_not_answer_is_an_error() -> None:
    """With the probe's reason, where the environment is there for that path; elsewhere it is told as none."""
    answer = b'ready\n{"addresses":[],"tcp":1,"udp":1,"token":"0000000000000000"}\n'  # nothing listens at port 1
    other, promised = _Instance(os.getpid()), _Instance(os.getpid())
    other.stdout, promised.stdout = io.BytesIO(answer), io.BytesIO(answer)
    promised.address = "127.0.0.1"
    path, found = _net.over_the_path(other)  # type: ignore[arg-type]
    assert path.startswith("none") and found == []
    with pytest.raises(MeasurementError, match="a tap on a bridge of the host: Connection refused"):
        _net.over_the_path(promised)  # type: ignore[arg-type]


def test_values_are_medians_in_seconds_and_what_is_missing_is_left_out() -> None:
    """Nanoseconds become seconds under the name of the path."""
    found: list[dict[str, Any]] = [{"name": "tcp", "ns": [5.0, 7.0, 600.0]}, {"name": "udp", "unavailable": "no"}]
    assert _net.seconds_of("host", found, OPERATIONS) == {"host-tcp": pytest.approx(7e-9)}


@pytest.mark.parametrize(
    "answer",
    [
        {"name": "tcp", "ns": []},
        {"name": "tcp", "ns": [0]},
        {"name": "tcp", "ns": ["a"]},
        {"name": "tcp", "ns": [None]},
        {"name": "tcp", "ns": {"a": 1}},
        {"name": "x", "ns": [1]},
        {"name": ["tcp"], "ns": [1]},
        {},
    ],
)
def test_what_is_no_time_of_a_known_operation_is_an_error(answer: dict[str, Any]) -> None:
    """No zero and no stranger becomes a sample."""
    with pytest.raises(ProbeError):
        _net.seconds_of("loopback", [answer], OPERATIONS)


TRUE = {"tcp": 1, "udp": 2, "token": "00ff", "addresses": ["192.0.2.7"]}


def test_what_the_server_says_of_itself() -> None:
    """Ports, token, addresses; no address is fine."""
    assert _net.server_in(TRUE) == (1, 2, "00ff", ("192.0.2.7",))
    assert _net.server_in({**TRUE, "addresses": []}).addresses == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"addresses": 7},
        {"addresses": None},
        {"addresses": [7]},
        {"addresses": ["\0"]},
        {"addresses": ["--help"]},
        {"tcp": "80"},
        {"udp": -1},
        {"token": None},
        {"token": "a\0b"},
    ],
)
def test_a_server_that_lies_about_itself_is_an_error(changes: dict[str, Any]) -> None:
    """Its words come to a command line: only what looks like ports, a token and addresses does."""
    with pytest.raises(ProbeError):
        _net.server_in({**TRUE, **changes})


def _cell(scenario: str, waited: float) -> CellRecord:
    return CellRecord("process", scenario, 0.0, 1.0, 1.0, {"psi_cpu_seconds": waited, "steal_seconds": 0.0})


def test_waiting_that_the_scenario_causes_does_not_mark_a_block() -> None:
    """Two ends on one CPU wait for each other; in another scenario's cell the same waiting is interference."""
    expected = {Net.name: Net.expected_interference}
    assert marks([_cell("net", 0.7), _cell("startup", 0.1)], expected) == []
    assert marks([_cell("net", 0.0), _cell("startup", 0.4)], expected) != []
    assert marks([_cell("net", 0.7)]) != []
