"""The record of a run as it begins: host, environments with their facts, scenarios, what was skipped."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

import isobench
from isobench.contracts.capabilities import Capability, TellsFacts
from isobench.core.errors import UsageError
from isobench.host import machine
from isobench.host.reasons import as_text, reason_of
from isobench.images.rootfs import fio_fact
from isobench.probe.build import probe_fact
from isobench.results.record import (
    SCHEMA,
    EnvironmentRecord,
    MetricRecord,
    PurposeRecord,
    Resumption,
    ScenarioRecord,
    Session,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from isobench.cells.opening import Opened
    from isobench.contracts.environment import Environment, Sandbox
    from isobench.core.model import Metric
    from isobench.planning.plan import Request


def begun(request: Request, opened: Opened) -> Session:
    """The record of a run whose environments are open. Raises `UsageError` if it resumes one that differs."""
    environments = [
        _environment_record(request, e, opened.sandboxes.get(e.name), opened.seconds.get(e.name, 0.0))
        for e in request.environments
    ]
    versions = {"isobench": isobench.__version__, **_versions(environments)}
    session = Session(
        schema=SCHEMA,
        run_id=request.run_id,
        isobench=isobench.__version__,
        host_id=machine.host_id(),
        started=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        command=list(request.command),
        seed=request.seed,
        profile=request.profile,
        baseline=request.baseline,
        host=machine.facts(),
        fingerprint={**machine.fingerprint(), **{k: v for k, v in versions.items() if k != "isobench"}},
        versions=versions,
        environments=environments,
        beneath=[_environment_record(request, environment, None) for environment in request.beneath],
        scenarios=[ScenarioRecord(s.name, s.title, [_metric_record(m) for m in s.metrics]) for s in request.scenarios],
        skips=list(opened.skips),
        label=request.label,
    )
    return session if request.before is None else _resumed(request.before.session, session)


def _versions(environments: Iterable[EnvironmentRecord]) -> dict[str, str]:
    """The versions among the facts of the environments."""
    facts = [fact for environment in environments for fact in environment.facts.items()]
    return {key.removeprefix("version."): text for key, text in facts if key.startswith("version.")}


def _metric_record(metric: Metric) -> MetricRecord:
    purpose = None if metric.purpose is None else PurposeRecord(*metric.purpose)
    return MetricRecord(metric.name, metric.unit, metric.meaning, metric.sign, purpose)


def _environment_record(
    request: Request, environment: Environment, sandbox: Sandbox | None, seconds: float = 0.0
) -> EnvironmentRecord:
    return EnvironmentRecord(
        name=environment.name,
        title=environment.title,
        layer=environment.layer,
        adds=environment.adds,
        compared_with=environment.compared_with,
        single_factor=environment.single_factor,
        facts={} if sandbox is None else _facts(request, environment, sandbox),
        opened_seconds=seconds if sandbox is not None else 0.0,
        groups=sorted(environment.groups),
    )


def _facts(request: Request, environment: Environment, sandbox: Sandbox) -> dict[str, str]:
    """The mechanism's own facts, the identities of the measured programs, and the facts that scenarios report."""
    facts = _told(lambda: sandbox.facts())  # looked up inside `_told`: another package's sandbox may lack the member
    if Capability.PROBE in environment.capabilities:
        facts.update(probe_fact())
    if Capability.ROOTFS in environment.capabilities:
        facts.update(fio_fact())
    for scenario in request.scenarios:
        if isinstance(scenario, TellsFacts) and scenario.needs <= environment.capabilities:
            facts.update({f"{scenario.name}.{key}": text for key, text in _told(scenario.facts, sandbox).items()})
    return {key: as_text(str(text).replace(str(request.workdir), "WORK")) for key, text in facts.items()}


def _told(facts: Callable[..., Mapping[str, str]], *of: Sandbox) -> dict[str, str]:
    """These facts, or why they are unknown: a daemon may have died since, or sent an unexpected answer."""
    try:
        return dict(facts(*of).items())
    except Exception as error:
        return {"facts": f"not known: {reason_of(error)}"}


def _resumed(before: Session, now: Session) -> Session:
    """The record of a resumed run. Raises `UsageError` if host, programs or scenarios differ from those at its
    beginning: the difference would be mistaken for a cost."""
    known, found = _identity(before), _identity(now)
    differing = [name for name in {**known, **found} if known.get(name) != found.get(name)]
    if differing:
        changes = "; ".join(f"{name} was {known.get(name, 'none')}, is {found.get(name, 'none')}" for name in differing)
        raise UsageError(f"the run cannot be resumed: {changes}", remedy="start a new one: isobench run")
    last = before.blocks[-1].index if before.blocks else -1
    resumed = [*before.resumed, Resumption(now.started, last + 1)]
    return msgspec.structs.replace(
        before,
        finished="",
        stopped="",
        imprecise=[],
        left_behind=None,
        resumed=resumed,
        label=now.label or before.label,
    )


def _identity(session: Session) -> dict[str, str]:
    """What must be the same when a run is resumed."""
    names = ", ".join(scenario.name for scenario in session.scenarios)
    return {"host": session.host_id, "isobench": session.isobench, "scenarios": names, **session.fingerprint}
