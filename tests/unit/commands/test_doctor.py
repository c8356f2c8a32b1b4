"""What `isobench doctor` says: one line a cause, what mends it beneath, and whom it disturbs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from isobench import cli
from isobench.commands import doctor as command
from isobench.core import display
from isobench.run import doctor
from isobench.run.doctor import Finding

GONE = Finding("environment", "", "SKIP", "no engine answers", "start dockerd")


def _said(*findings: Finding) -> list[str]:
    told = display.text(*command.for_terminal(findings))
    return [line.strip() for line in told.splitlines() if line.strip()]


def test_one_cause_is_one_line() -> None:
    """With all that have it, and what mends it once; another outcome or reason is another cause."""
    said = _said(
        GONE._replace(name="docker"),
        Finding("environment", "process", "PASS"),
        Finding("environment", "crun", "FAIL", "no engine answers", "look"),
        GONE._replace(name="docker-bind"),
        Finding("environment", "chroot", "PASS"),
    )
    assert said[-6:] == [
        "SKIP  docker, docker-bind: no engine answers",
        "→ start dockerd",
        "PASS  process, chroot",
        "FAIL  crun: no engine answers",
        "→ look",
        "2 of 5 environments can be measured here; no warnings",
    ]


def test_packages_are_one_command() -> None:
    """What is not installed is mended by one command; other remedies stand one by one."""
    tools = [Finding("tool", name, "SKIP", "not installed", f"apt-get install {name}") for name in ("fio", "crun")]
    assert "→ apt-get install fio crun" in _said(*tools)
    noise = [Finding("noise", name, "WARN", "it varies", f"set {name}") for name in ("turbo", "governor")]
    assert "→ set turbo; set governor" in _said(*noise)


@pytest.mark.parametrize(
    ("pids", "said"), [([], ""), ([7], "another run is measuring (pid 7)"), ([7, 0], "2 other runs are measuring")]
)
def test_a_run_that_measures_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], pids: list[int], said: str
) -> None:
    """On standard error before anything is launched, and as a finding."""
    order: list[str] = []

    def launched(environments: object) -> Iterator[Finding]:
        order.append(capsys.readouterr().err)
        yield Finding("environment", "process", "PASS")

    monkeypatch.setattr(doctor, "measures_now", lambda: pids)
    monkeypatch.setattr(doctor, "check_environments", launched)
    monkeypatch.setattr(doctor, "check_tools", lambda: iter(()))
    assert cli.main(["doctor", "-e", "process"]) == 0
    assert said in order[0] and bool(said) == bool(order[0])
    assert ("WARN  other runs: " in capsys.readouterr().out) == bool(said)
