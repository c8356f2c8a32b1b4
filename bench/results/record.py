"""The session record: what was true during a run. One JSON file, schema-versioned, beside the samples."""

from __future__ import annotations

import msgspec

from isobench.core.model import Sign, Unit

SCHEMA = 1
"""Version of session.json. Raised when a field changes its meaning; a loader refuses what it does not know."""


class _Frozen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What all parts of the record have in common."""


class MetricRecord(_Frozen, frozen=True):
    """A metric as it was when the run was made, so that a report needs no catalogue."""

    name: str
    unit: Unit
    meaning: str
    sign: Sign = "positive"
    """In a run of before this was recorded, values of zero and less are missing from every metric."""


class SeriesRecord(_Frozen, frozen=True):
    """One benchmark, whole. Seconds or bytes; `blocks` ascends."""

    name: str
    unit: Unit
    blocks: list[int]
    values: list[float]
    warmups: list[tuple[int, float]] = []
    """(block, value) of the warm-up block."""


class ScenarioRecord(_Frozen, frozen=True):
    name: str
    title: str
    metrics: list[MetricRecord]


class EnvironmentRecord(_Frozen, frozen=True):
    """What `list` says of an environment, and `facts`: its exact configuration in this run."""

    name: str
    title: str
    layer: str
    adds: str
    compared_with: str | None
    single_factor: bool
    facts: dict[str, str] = {}
    opened_seconds: float = 0.0
    """What setting it up took, images that were in the cache already not made again; 0 where it did not open."""


class SkipRecord(_Frozen, frozen=True):
    environment: str
    scenario: str
    reason: str
    remedy: str = ""


class FailureRecord(_Frozen, frozen=True):
    block: int
    environment: str
    scenario: str
    reason: str
    console: str = ""


class CellRecord(_Frozen, frozen=True):
    """One cell of a block, in the order taken. Seconds on the monotonic clock since the run began; those of a run that
    was resumed go on from the end of its last block."""

    environment: str
    scenario: str
    started: float
    seconds: float
    inside: float
    """Seconds of it spent inside the environment, launch to gone; the rest is the harness."""
    interference: dict[str, float] = {}
    """What else went on meanwhile (`isobench.host.machine.Interference`): deltas over the cell."""


class BlockRecord(_Frozen, frozen=True):
    index: int
    """0 is the warm-up block."""
    started: float
    seconds: float
    cells: list[CellRecord]
    marks: list[str] = []
    """Why the block is left out of the analysis; empty for a clean block."""


class Resumption(_Frozen, frozen=True):
    """A run that had been interrupted went on: when (UTC, ISO 8601), and with which block. It was warmed up before
    that one again; that block is not kept."""

    at: str
    block: int


class Session(_Frozen, frozen=True):
    """The whole record of one run."""

    schema: int
    run_id: str
    isobench: str
    """Version of isobench."""
    host_id: str
    started: str
    """UTC, ISO 8601, with a Z."""
    command: list[str]
    """What to type to repeat the run."""
    seed: int
    profile: str
    baseline: str
    host: dict[str, str]
    """Host facts for people (`isobench.host.machine.facts`)."""
    fingerprint: dict[str, str]
    """The facts whose change starts a new trend segment: CPU, microcode, kernel, mitigations, engine, QEMU."""
    versions: dict[str, str]
    """Tools and libraries used."""
    environments: list[EnvironmentRecord]
    scenarios: list[ScenarioRecord]
    skips: list[SkipRecord] = []
    beneath: list[EnvironmentRecord] = []
    """Rungs that were not run, but lie beneath one that was: what the ladder names where it has to leap."""
    failures: list[FailureRecord] = []
    blocks: list[BlockRecord] = []
    finished: str = ""
    """UTC, ISO 8601; empty while the run goes on or where it was cut off."""
    stopped: str = ""
    """Why it ended: "precise", "blocks", "disturbed" (what was left out could not be replaced), "max-time",
    "interrupted", or empty."""
    warmups: dict[str, float] = {}
    """Warm-up values of benchmarks that have no measured value: pyperf cannot hold a benchmark without one."""
    not_in_suite: list[SeriesRecord] = []
    """The benchmarks that have a value of zero or less, which pyperf cannot hold. Each benchmark is either here or in
    the suite, whole."""
    torn: bool = False
    """The run was cut off while it wrote a block, and that block is lost."""
    left_behind: list[str] | None = None
    """What the mechanisms still had of this run once every environment was closed; None where nobody looked."""
    imprecise: list[str] = []
    """Benchmark names whose interval was still too wide when the cap was reached."""
    label: str = ""
    """What somebody calls this run (`run --label`, `runs name`); any text."""
    tags: list[str] = []
    """What it belongs to with others (`runs tag`); any texts."""
    resumed: list[Resumption] = []


HARDWARE = ("cpu", "cpus")
"""Facts of the fingerprint that belong to the machine itself: software does not change them."""


def machine(host_id: str, fingerprint: dict[str, str]) -> str:
    """The name of the machine that absolute values belong to: its host id and the hardware that was seen.

    The id alone is not enough. Machines made from one image have one machine-id, and one machine may move to another
    processor: neither time nor memory of the two may be compared, other than by ratio to a baseline of their own.
    """
    return " ".join([host_id, *(fingerprint[fact] for fact in HARDWARE if fingerprint.get(fact))])
