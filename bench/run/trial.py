"""The tester for authors of plug-ins: imports a module, and tests what it exports against the contract, for real.

Environments are opened and launched, scenarios measured in `process`, sections and formats made from a small run. Each
promise is one finding.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import traceback
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import isobench
from isobench.analysis.results import load
from isobench.cells.runner import execute
from isobench.contracts import plugins
from isobench.contracts.answers import answers
from isobench.contracts.capabilities import Capability, TellsFacts
from isobench.contracts.launch import idle, working
from isobench.core import deadlines
from isobench.core.errors import IsobenchError, MeasurementError, Unavailable, UsageError
from isobench.core.model import BASELINE, EVENTS
from isobench.export.formats import FORMAT_PLUGINS
from isobench.host.reasons import reason_of
from isobench.layout import html, markdown
from isobench.layout.page import Page, Part
from isobench.lifecycle.workspace import new_run_id, workspace
from isobench.planning import catalog
from isobench.planning.plan import Request
from isobench.report.build import SECTION_PLUGINS, make_context
from isobench.workloads.file import read_workload

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence
    from types import ModuleType

    from isobench.contracts.environment import Environment, Sandbox
    from isobench.contracts.scenario import Scenario

KINDS = (
    catalog.ENVIRONMENT_PLUGINS,
    catalog.SCENARIO_PLUGINS,
    SECTION_PLUGINS,
    FORMAT_PLUGINS,
    catalog.WORKLOAD_PLUGINS,
)

_LARGE = ("pandas", "numpy", "scipy", "matplotlib", "docker", "libvirt")
"""Modules that a plug-in must not import at its top, because `isobench list` imports every plug-in."""

_ALWAYS = ("requested", "ready", "released", "exited", "gone")
_NAME = re.compile(r"[a-z0-9][a-z0-9+._-]*")


class Finding(NamedTuple):
    """One promise of one plug-in: PASS, FAIL, or SKIP if it cannot be tested on this host."""

    plugin: str
    promise: str
    outcome: str
    reason: str = ""


def check(name: str) -> Iterator[Finding]:
    """Everything about a module, or about a package and the modules in it."""
    try:
        found = [importlib.import_module(name)]
        if hasattr(found[0], "__path__"):
            found += plugins.modules(found[0])
    except Exception as error:
        there = isinstance(error, ModuleNotFoundError) and error.name == name.partition(".")[0]
        remedy = " (install it, or go to the folder that it is in)" if there else ""
        yield Finding(name, "it can be imported", "FAIL", f"{_why(error)}{remedy}")
        return
    yield _large(name, found)
    exports = {kind: _exports(kind, found) for kind in KINDS}
    if not any(exports.values()):
        names = ", ".join(kind.attribute for kind in KINDS)
        yield Finding(name, "it exports a plug-in", "FAIL", f"none of its modules has one of {names} (docs/plugins.md)")
    sound: dict[plugins.Kind, list[Any]] = {kind: [] for kind in KINDS}
    for kind, ones in exports.items():
        for one in ones:
            wrong = [*kind.wrong(one), *_clashes(kind, one, ones, exports)]
            yield _told(_called(kind, one), f"it has what makes it {kind.word}", wrong)
            if not wrong:
                sound[kind].append(one)
    yield from _for_real(*sound.values())


def _large(name: str, modules: Sequence[ModuleType]) -> Finding:
    program = f"import sys; [__import__(name) for name in {[m.__name__ for m in modules]!r}]; print(*sys.modules)"
    path = os.pathsep.join(filter(None, (os.getcwd(), *sys.path)))  # noqa: PTH109
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=deadlines.stretched(60),
        check=False,
    )
    large = [word for word in done.stdout.split() if word in _LARGE]
    if done.returncode:
        return _told(name, "it can be imported by another process", [done.stderr.strip()[-200:]])
    wrong = [f"it imports {', '.join(large)}: do so inside the functions that need it"] if large else []
    return _told(name, "importing it imports no large library", wrong)


def _exports(kind: plugins.Kind, modules: Sequence[ModuleType]) -> list[Any]:
    return [one for module in modules if hasattr(module, kind.attribute) for one in plugins.exported(module, kind)]


def _called(kind: plugins.Kind, one: object) -> str:
    return str(getattr(one, kind.called, kind.attribute))


def _clashes(kind: plugins.Kind, one: Any, ones: Sequence[Any], exports: dict[plugins.Kind, list[Any]]) -> list[str]:
    """What is wrong with a name or with what it refers to, among all plug-ins."""
    name, found = _called(kind, one), []
    if hasattr(one, kind.called) and not _NAME.fullmatch(name):
        allowed = "small letters, digits and + . _ - only, a letter or digit first"
        found.append(f"its name is {name!r}: {allowed}")
    if sum(_called(kind, other) == name for other in ones) > 1:
        found.append(f"two are called {name!r}")
    if kind is catalog.ENVIRONMENT_PLUGINS:
        known = {*catalog.environments(), *(_called(kind, e) for e in exports[kind])}
        lower = getattr(one, "compared_with", None)
        if lower is not None and lower not in known:
            found.append(f"it is compared with {lower!r}, and no environment is called so")
        patterns = [p for m in getattr(one, "mechanisms", ()) for p in getattr(m, "programs", ())]
        found += [f"its program {p!r} does not begin with a letter" for p in patterns if not p[:1].isalpha()]
    return found


def _told(plugin: str, promise: str, wrong: Sequence[str]) -> Finding:
    return Finding(plugin, promise, "FAIL" if wrong else "PASS", "; ".join(wrong))


def _for_real(
    environments: Sequence[Environment],
    scenarios: Sequence[Scenario],
    sections: Sequence[Any],
    formats: Sequence[Any],
    workloads: Sequence[Path],
) -> Iterator[Finding]:
    for path in workloads:
        try:
            read_workload(path)
            yield Finding(path.stem, "its file is a workload", "PASS")
        except UsageError as error:
            yield Finding(path.stem, "its file is a workload", "FAIL", error.reason)
    if not any((environments, scenarios, sections, formats)):
        return
    mechanisms = list(dict.fromkeys(m for e in environments for m in e.mechanisms))

    def sweep(run: str) -> list[str]:
        return [line for mechanism in mechanisms for line in mechanism.sweep(run)]

    with workspace(new_run_id(), lambda run: [*catalog.sweep(run), *sweep(run)]) as workdir:
        for environment in environments:
            yield from _environment(environment, workdir)
        for scenario in scenarios:
            yield from _scenario(scenario, environments, workdir)
        if sections or formats:
            yield from _readers(environments, scenarios, sections, formats, workdir)


@contextmanager
def _opened(environment: Environment, workdir: Path) -> Generator[Sandbox]:
    with tempfile.TemporaryDirectory(prefix=f"{environment.name}-", dir=workdir) as folder:
        place = Path(folder)
        place.chmod(0o711)
        with environment.open(place) as sandbox:
            yield sandbox


def _environment(environment: Environment, workdir: Path) -> Iterator[Finding]:
    """Test every promise with a sandbox of its own, so that a broken one does not hide the others."""
    for promise, test in _PROMISES.items():
        if test is _works and Capability.PROBE not in environment.capabilities:
            continue  # it does not promise that
        try:
            with _opened(environment, workdir) as sandbox:
                wrong = test(environment, sandbox)
        except Unavailable as error:
            remedy = f" ({error.remedy})" if error.remedy else ""
            yield Finding(environment.name, "it can be opened", "SKIP", f"{error.reason}{remedy}")
            return
        except Exception as error:
            wrong = [_why(error)]
        yield _told(environment.name, promise, wrong)
    swept = [line for mechanism in environment.mechanisms for line in mechanism.sweep("isobench-none")]
    yield _told(environment.name, "its sweep removes nothing if there was no such run", swept)


def _why(error: Exception) -> str:
    """In one line, with the plug-in's own line if it is no error that isobench tells."""
    if isinstance(error, IsobenchError):
        return reason_of(error)
    said = "; ".join(str(error).splitlines())
    return f"{type(error).__name__}: {said}{_line_of(error)}"


def _line_of(error: Exception) -> str:
    """The last line outside isobench and Python's import system that led to an error; empty if there is none."""
    ours = (*(f"{Path(module.__file__ or '').parent}/" for module in (isobench, importlib)), "<")
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(ours)]
    return f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""


def _facts(environment: Environment, sandbox: Sandbox) -> list[str]:
    facts, daemons = sandbox.facts(), sandbox.daemons()
    odd = [str(key) for key, text in facts.items() if not (isinstance(key, str) and isinstance(text, str))]
    found = [f"its facts are no texts: {', '.join(odd)}"] if odd else []
    return found + ([] if all(isinstance(pid, int) for pid in daemons) else ["its daemons are no process ids"])


def _life(environment: Environment, sandbox: Sandbox) -> list[str]:
    """One idle instance from beginning to end."""
    with sandbox.launch(idle(timeout=deadlines.scaled())) as instance:
        roles = set(instance.host_pids().values())
        status = instance.wait()
    found = [f"it ended with status {status}"] if status else []
    found += [] if roles <= {"payload", "helper"} else [f"the roles of its processes are {sorted(roles)}"]
    events = instance.events
    found += [f"there is no event {name}" for name in _ALWAYS if name not in events]
    found += [f"there is an event {name!r}, none of isobench's" for name in events if name not in EVENTS]
    stamps = [events[name] for name in EVENTS if name in events]
    return found + ([] if stamps == sorted(stamps) else ["its events are not in their order"])


def _given_up(environment: Environment, sandbox: Sandbox) -> list[str]:
    """Leaving an instance before its end leaves no process."""
    with sandbox.launch(idle(timeout=deadlines.scaled())) as instance:
        pids = list(instance.host_pids())
    deadline = time.monotonic() + deadlines.stretched(5)
    while (left := [pid for pid in pids if Path(f"/proc/{pid}/stat").exists()]) and time.monotonic() < deadline:
        time.sleep(0.05)
    return [f"process {pid} is still there" for pid in left]


def _works(environment: Environment, sandbox: Sandbox) -> list[str]:
    """The probe answers, and an unknown verb is an error."""
    with sandbox.launch(working("syscall", "--batches=1", "getppid", timeout=deadlines.scaled())) as instance:
        said = answers(instance)
    found = [] if len(said) == 2 else [f"`probe syscall getppid` answered {len(said)} times"]
    try:
        with sandbox.launch(working("no-such-verb", timeout=deadlines.scaled())) as instance:
            answers(instance)
    except MeasurementError:
        return found
    return [*found, "a verb that does not exist raised nothing"]


def _beside(environment: Environment, sandbox: Sandbox) -> list[str]:
    with ExitStack() as stack:
        both = [stack.enter_context(sandbox.launch(idle(timeout=deadlines.scaled()))) for _ in range(2)]
        return [f"one of two ended with status {status}" for one in both if (status := one.wait())]


_PROMISES: dict[str, Callable[[Environment, Sandbox], list[str]]] = {
    "it reports its facts and daemons": _facts,
    "an idle instance sends the ready line, exits when released, and stamps its events": _life,
    "an instance that is given up leaves no process": _given_up,
    "the probe works inside": _works,
    "two instances can run at the same time": _beside,
}


def _scenario(scenario: Scenario, others: Sequence[Environment], workdir: Path) -> Iterator[Finding]:
    known = [*catalog.select_environments(BASELINE), *others]
    where = next((e for e in known if scenario.needs <= e.capabilities), None)
    if where is None:
        yield Finding(scenario.name, "it measures", "SKIP", f"no environment here can do {', '.join(scenario.needs)}")
        return
    try:
        with _opened(where, workdir) as sandbox:
            wrong = _values(scenario, sandbox) + _values(scenario, sandbox)
            facts = dict(scenario.facts(sandbox)) if isinstance(scenario, TellsFacts) else {}
    except Exception as error:
        wrong, facts = [_why(error)], {}
    yield _told(scenario.name, f"it measures its metrics on {where.name}", list(dict.fromkeys(wrong)))
    odd = [f"the fact {key!r} is no text" for key, text in facts.items() if not isinstance(text, str)]
    yield _told(scenario.name, "its facts are texts", odd)


def _values(scenario: Scenario, sandbox: Sandbox) -> list[str]:
    known = {metric.name: metric for metric in scenario.metrics}
    values = scenario.measure(sandbox)
    found = [] if values or not known else ["it gave no value"]
    found += [f"it gave {name!r}, which is none of its metrics" for name in values if name not in known]
    return found + [
        f"{name} cannot be {value!r}"
        for name, value in values.items()
        if name in known and not known[name].can_be(value)
    ]


def _readers(
    environments: Sequence[Environment],
    scenarios: Sequence[Scenario],
    sections: Sequence[Any],
    formats: Sequence[Any],
    workdir: Path,
) -> Iterator[Finding]:
    """Sections and formats, from one small run of the module's plug-ins."""
    with tempfile.TemporaryDirectory(prefix="results-", dir=workdir) as folder:
        try:
            path = _measured(environments, scenarios, Path(folder), workdir)
        except IsobenchError as error:
            for one in (*sections, *formats):
                yield Finding(one[0] if one in formats else one.anchor, "it reads a run", "SKIP", error.reason)
            return
        for section in sections:
            yield _shown(section, path)
        for one in formats:
            yield _told(one.name, "it writes a file, the same bytes each time", _written(one, path))


def _measured(environments: Sequence[Environment], scenarios: Sequence[Scenario], results: Path, workdir: Path) -> Path:
    chosen = {e.name: e for e in (*catalog.select_environments(BASELINE), *environments)}
    asked = {s.name: s for s in (*catalog.select_scenarios("startup"), *scenarios)}
    place = workdir / f"isobench-{new_run_id()}"
    place.mkdir(mode=0o711)
    request = Request(
        run_id=place.name.removeprefix("isobench-"),
        environments=list(chosen.values()),
        scenarios=list(asked.values()),
        baseline=BASELINE,
        seed=1,
        profile="check",
        min_blocks=2,
        max_blocks=2,
        max_time=None,
        required=frozenset(),
        results=results,
        workdir=place,
        command=["isobench", "plugin", "check"],
    )
    path = execute(request).path
    _count_all(path / "session.json")
    return path


def _count_all(record: Path) -> None:
    """Remove the marks of blocks: on a busy host all blocks of such a small run may be disturbed, and sections need
    values, not undisturbed ones."""
    session = json.loads(record.read_text())
    for block in session["blocks"]:
        block["marks"] = []
    record.write_text(json.dumps(session))


def _shown(section: Any, path: Path) -> Finding:
    promise = "its blocks can be shown in HTML and Markdown"
    try:
        blocks = section.build(make_context(path))
        if not isinstance(blocks, list):
            return _told(section.anchor, promise, [f"it gives {type(blocks).__name__}, not a list of blocks"])
        page = Page(section.title, "", "", [Part(section.anchor, section.title, blocks, section.word)])
        html.lay_out(page)
        markdown.lay_out(page, "pictures")
    except Exception as error:
        return _told(section.anchor, promise, [_why(error)])
    if not blocks:
        return Finding(section.anchor, promise, "SKIP", "it has nothing to say of a run of these plug-ins alone")
    return _told(section.anchor, promise, [])


def _written(one: Any, path: Path) -> list[str]:
    try:
        data, again = one.write(load(path)), one.write(load(path))
        if not isinstance(data, bytes) or not data:
            return [f"it gives {data!r:.40}, not the bytes of a file"]
        if not one.binary:
            data.decode()
    except Exception as error:
        return [_why(error)]
    return [] if data == again else ["it gives other bytes the second time"]


def write_skeleton(name: str, into: Path) -> list[Path]:
    """Write a package with one plug-in of each kind, all with this name; returns its files. Raises `UsageError`."""
    if not re.fullmatch(r"[a-z][a-z0-9-]*", name):
        raise UsageError(f"{name!r} is no name for a plug-in", remedy="small letters, digits and dashes")
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise UsageError(f"{into} is there already", remedy="--out another folder")
    source = Path(isobench.__file__).with_name("skeleton")
    module, words = f"isobench_{name.replace('-', '_')}", name.replace("-", " ").title().replace(" ", "")
    written = []
    for file in sorted((*source.glob("*.toml"), *source.glob("isobench_example/*.py"))):
        text = file.read_text().replace("isobench_example", module).replace("isobench-example", f"isobench-{name}")
        for kind in ("Environment", "Scenario", "Sandbox"):
            text = text.replace(f"Example{kind}", f"{words}{kind}")
        text = (
            text.replace('"example', f'"{name}')
            .replace("example = ", f"{name} = ")
            .replace("the example ", f"{name}, the ")
        )
        target = into / str(file.relative_to(source)).replace("isobench_example", module)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        written.append(target)
    return written
