"""Requests over fakes, and runs that were interrupted or disturbed."""

from __future__ import annotations

from pathlib import Path

import pytest

from isobench.cells import runner
from isobench.cells.observer import Observer
from isobench.cells.runner import execute
from isobench.contracts.environment import Environment
from isobench.core.errors import Unavailable
from isobench.planning.plan import Request
from isobench.results import store
from tests.fake import FakeEnvironment, FakeScenario

GONE = Unavailable("there is no kvm")


def request(tmp_path: Path, environments: list[FakeEnvironment], **changes: object) -> Request:
    """A request over fakes, two blocks after the warm-up."""
    workdir = tmp_path / "isobench-20260101T000000Z-abcdef"
    workdir.mkdir(exist_ok=True)
    made = Request(
        run_id="20260101T000000Z-abcdef",
        environments=list[Environment](environments),
        scenarios=[FakeScenario()],  # type: ignore[list-item]
        baseline="process",
        seed=1,
        profile="quick",
        min_blocks=2,
        max_blocks=2,
        max_time=None,
        required=frozenset(),
        results=tmp_path / "results",
        workdir=workdir,
        command=["isobench", "run"],
    )
    return made._replace(**changes)  # type: ignore[arg-type]


def interrupted(tmp_path: Path, after: int, **changes: object) -> Request:
    """A request that goes on with a run that was interrupted after this block of six."""
    environments = [FakeEnvironment("process"), FakeEnvironment("chroot"), FakeEnvironment("kvm", unavailable=GONE)]
    asked = request(tmp_path, environments, min_blocks=6, max_blocks=6, **changes)
    with pytest.raises(KeyboardInterrupt):
        execute(asked, None, Interrupt(after))
    (path,) = store.find_runs(tmp_path / "results")
    return asked._replace(environments=environments[:2], before=store.load(path), required=frozenset({"chroot"}))


def resume(again: Request, observer: Observer | None = None) -> store.RunWriter:
    """Execute with a work folder of its own, as every command has."""
    folder = again.results.parent / f"work-{len(list(again.results.parent.iterdir()))}"
    folder.mkdir()
    return execute(again._replace(workdir=folder), None, observer)


class Interrupt(Observer):
    """Ctrl-C after this block."""

    def __init__(self, after: int) -> None:
        self.after = after

    def block_ends(self, block: object, writer: store.RunWriter) -> None:
        if writer.blocks - 1 == self.after:
            raise KeyboardInterrupt


def disturb(monkeypatch: pytest.MonkeyPatch, blocks: set[int]) -> None:
    """These blocks, 0 being the warm-up, are marked."""
    taken = iter(range(1000))
    monkeypatch.setattr(runner, "marks", lambda *_: ["tasks waited"] if next(taken) in blocks else [])
