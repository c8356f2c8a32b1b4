"""Which run can be resumed, and with what."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from isobench.core.errors import UsageError
from isobench.planning import resume
from isobench.planning.choice import Terms
from isobench.results import store
from isobench.results.record import EnvironmentRecord, ScenarioRecord, SkipRecord
from isobench.workloads.program import program_workload
from tests.unit.analysis.made import session, write_run


def test_a_run_goes_on_with_the_same_program(program: Path) -> None:
    """With its other scenarios; a program that has changed since is refused."""
    made = program_workload([str(program)])
    root = made.root().archive.parent.name.removeprefix("workload-")
    environment = EnvironmentRecord("process", "", "process", "", None, False, facts={"program-mine.root": root})
    before = msgspec.structs.replace(
        session(),
        command=["isobench", "run", "--blocks", "3", "--", str(program)],
        scenarios=[ScenarioRecord(name, "", []) for name in ("program-mine", "startup")],
        environments=[environment],
    )
    assert [scenario.name for scenario in resume._scenarios(before)] == ["program-mine", "startup"]
    program.write_bytes(program.read_bytes() + b"\n")
    with pytest.raises(UsageError, match="has changed since the run began"):
        resume._scenarios(before)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"stopped": "precise"}, "is complete"),
        ({"stopped": "max-time", "profile": "another"}, "unknown to this version"),
        ({"stopped": "max-time"}, ""),
    ],
)
def test_a_run_whose_plan_is_not_complete_can_be_resumed(tmp_path: Path, changes: dict[str, str], said: str) -> None:
    """No other, nor one whose number of blocks nobody knows."""
    path = write_run(tmp_path)
    run = store.load(path)
    store.save(run._replace(session=msgspec.structs.replace(run.session, **changes)))
    if said:
        with pytest.raises(UsageError, match=said):
            resume.resumable(path)
    else:
        assert resume.resumable(path).session.stopped == "max-time"


@pytest.mark.parametrize(("timeout", "kept"), [(None, 120.0), (30.0, 30.0)])
def test_a_resumed_run_keeps_its_plan(tmp_path: Path, timeout: float | None, kept: float) -> None:
    """Blocks, seed and what was opened; also the deadline, unless another is given."""
    run = store.load(write_run(tmp_path))
    command = ["isobench", "run", "--blocks", "9", "--timeout", "120"]
    changed = msgspec.structs.replace(run.session, command=command, skips=[SkipRecord("docker", "", "no engine")])
    terms = Terms(None, timeout, "", tmp_path, None)
    request = resume.resumed_request(run._replace(session=changed), terms, "id")
    assert (request.min_blocks, request.max_blocks, request.seed) == (9, 9, 1)
    assert request.required == {one.name for one in request.environments} == {"process", "chroot"}
    assert request.timeout == kept
