"""isobench compare: the gate, what it prints, and that reports say the same."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from isobench.analysis.results import load
from isobench.commands import compare as command
from isobench.core.errors import UsageError
from isobench.layout.blocks import Figure
from isobench.report.build import make_context
from isobench.report.sections import comparison
from tests.unit.analysis.made import write_run


def _runs(folder: Path, **factors: float) -> tuple[str, str]:
    a = write_run(folder, started="2026-01-01T02:00:00Z", seed=1)
    b = write_run(folder, started="2026-01-02T02:00:00Z", seed=2, factors=factors)
    return str(a), str(b)


def _without(folder: str, name: str) -> str:
    """The run less one environment."""
    file = Path(folder) / "suite.json"
    suite = json.loads(file.read_text())
    suite["benchmarks"] = [one for one in suite["benchmarks"] if not one["metadata"]["name"].endswith(f"/{name}")]
    file.write_text(json.dumps(suite))
    return folder


def _with_blocks(folder: str, name: str, blocks: int) -> None:
    """Leave only so many blocks of an environment."""
    file = Path(folder) / "suite.json"
    suite = json.loads(file.read_text())
    for one in suite["benchmarks"]:
        if one["metadata"]["name"].endswith(f"/{name}"):
            one["runs"] = [run for run in one["runs"] if "values" in run][:blocks]
    file.write_text(json.dumps(suite))


def _compare(*words: str) -> int:
    parser = argparse.ArgumentParser()
    command.configure(parser)
    return command.run(parser.parse_args(words))


@pytest.mark.parametrize(
    ("docker", "gate", "code"),
    [(300.0, "slower", 1), (300.0, "change", 1), (300.0, "faster", 0), (100.0, "faster", 1), (100.0, "slower", 0),
     (200.0, "change", 0)],
)  # fmt: skip
def test_the_gate(tmp_path: Path, docker: float, gate: str, code: int) -> None:
    assert _compare(*_runs(tmp_path, docker=docker), "--fail-on", gate) == code


def test_a_host_that_moved_does_not_fire_the_gate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = _runs(tmp_path, **{"process": 1.3, "process@control": 1.3, "chroot": 1.43, "docker": 260.0})
    assert _compare(*runs, "--fail-on", "change") == 0
    assert "the host changed: the baseline's times in B are 1.3" in capsys.readouterr().out


@pytest.mark.parametrize("gate", ["slower", "faster", "change"])
def test_what_is_gone_fails_every_gate(tmp_path: Path, capsys: pytest.CaptureFixture[str], gate: str) -> None:
    """Nobody can vouch for what is not there. What is new is a change, and no loss."""
    a, b = _runs(tmp_path)
    assert _compare(a, _without(b, "docker"), "--fail-on", gate) == 1
    captured = capsys.readouterr()
    assert "gone: startup.ready/docker" in captured.out and "startup.ready/docker is gone" in captured.err
    assert _compare(b, a, "--fail-on", gate) == (1 if gate == "change" else 0)
    assert _compare(a, b, "--filter", "*/chroot", "--fail-on", gate) == 0


@pytest.mark.parametrize("gate", ["slower", "faster", "change"])
def test_what_has_too_few_blocks_left_fails_every_gate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], gate: str
) -> None:
    """Docker failed in seven of twelve blocks of B: that can be checked no more than if it had failed in all."""
    a, b = _runs(tmp_path)
    _with_blocks(b, "docker", 6)
    assert _compare(a, b, "--fail-on", gate) == 0
    _with_blocks(b, "docker", 5)
    capsys.readouterr()
    assert _compare(a, b, "--fail-on", gate) == 1
    captured = capsys.readouterr()
    assert "1 of them cannot be compared" in captured.out and "startup.ready/docker can no longer be" in captured.err
    assert _compare(b, a, "--fail-on", gate) == 0
    assert _compare(a, b, "--filter", "*/docker", "--fail-on", gate) == 5


def test_a_gate_that_can_conclude_nothing_does_not_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Five blocks have no interval: exit code 5, as a run that short has."""
    a = write_run(tmp_path, started="2026-01-01T02:00:00Z")
    b = write_run(tmp_path, started="2026-01-02T02:00:00Z", blocks=5, factors={"docker": 900.0})
    assert _compare(str(a), str(b)) == 0
    told = capsys.readouterr().out
    assert "2 of them cannot be compared, because of fewer than 6 undisturbed blocks" in told
    assert "startup.ready/chroot, startup.ready/docker" in told
    assert _compare(str(a), str(b), "--fail-on", "slower") == 5
    assert "nothing can be concluded" in capsys.readouterr().err


def test_nothing_in_common_is_not_all_well(tmp_path: Path) -> None:
    a, b = _runs(tmp_path)
    for name in ("process", "process@control", "chroot"):
        _without(a, name)
    for name in ("process", "process@control", "docker"):
        _without(b, name)
    with pytest.raises(UsageError, match="no cost in common"):
        _compare(a, b, "--fail-on", "slower")
    with pytest.raises(UsageError, match="a cost to compare"):
        _compare(a, a, "--filter", "nothing")


def test_terminal_markdown_and_report_name_the_same_changes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The largest by logarithm first: a tenth before three times as much."""
    a, b = _runs(tmp_path, docker=20.0, chroot=3.3)
    _compare(a, b, "--markdown")
    markdown = capsys.readouterr().out
    _compare(a, b)
    terminal = capsys.readouterr().out
    figure = next(b for b in comparison.build(make_context(Path(b), load(Path(a)))) if isinstance(b, Figure))
    assert "| startup.ready | docker |" in markdown and "**costs more, against the run's own baseline**" in markdown
    for text in (markdown, terminal):
        assert "2 of 2 costs of environments changed" in text and text.count("startup.ready") == 2
    assert "docker: 0.0993×" in figure.title and len(figure.data.rows) == 2


def test_several_runs_with_commas(tmp_path: Path) -> None:
    a = [str(write_run(tmp_path, started=f"2026-01-{n:02}T02:00:00Z", seed=n)) for n in range(1, 9)]
    assert _compare(",".join(a[:4]), ",".join(a[4:]), "--fail-on", "change") == 0
    with pytest.raises(UsageError, match="no folder"):
        _compare(",", a[0])


def test_a_side_may_be_a_hundred_runs() -> None:
    """All of them together are too long for the name of one folder."""
    names = [f"results/host-12345678/20260101T0200{number:02}Z" for number in range(100)]
    assert command.folders(",".join(names)) == [Path(name) for name in names]
