"""A run while it measures: its progress, its stopping rule, the runner. The analysis is loaded only after the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isobench.cells import runner
from isobench.lifecycle.workspace import running
from isobench.planning import catalog
from isobench.planning.choice import PROFILES
from isobench.planning.estimate import expected
from isobench.probe.launcher import learn_deadlines
from isobench.results.record import SkipRecord
from isobench.run.progress import Progress

if TYPE_CHECKING:
    from pathlib import Path

    from isobench.planning.plan import Request


def progress(request: Request, *, quiet: bool, verbose: bool) -> Progress:
    """The progress of this run, which already knows what was skipped before."""
    estimate = expected(request)
    shown = Progress(block_seconds=estimate.seconds, cell_seconds=estimate.cells, quiet=quiet, verbose=verbose)
    for skip in request.before.session.skips if request.before else ():
        if not skip.scenario:
            shown.skipped(SkipRecord(skip.environment, "", f"as before: {skip.reason}", skip.remedy))
    return shown


def execute(request: Request, progress: Progress, *, wait: bool) -> Path:
    """Measure; returns the folder of the run. `wait`: for another run to end."""
    stopper = None
    width = PROFILES[request.profile].width
    if width is not None:
        from isobench.analysis.stopping import WidthStopper  # numpy: only if it decides

        stopper = WidthStopper(request.baseline, width)
    with running(request.run_id, wait=wait, sweep=catalog.sweep) as workdir:
        try:
            learn_deadlines()
            return runner.execute(request._replace(workdir=workdir), stopper, progress).path
        finally:
            progress.close()
