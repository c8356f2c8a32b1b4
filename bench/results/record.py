"""The session record: the conditions of a run. One JSON file, schema-versioned, next to the samples."""

from __future__ import annotations

import msgspec

from isobench.core.model import Sign, Unit

SCHEMA = 1
"""Version of session.json. Raised when a field changes its meaning; a loader refuses unknown versions."""


class _Frozen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What all parts of the record have in common."""


class PurposeRecord(_Frozen, frozen=True):
    """A purpose as defined at the time of the run (`isobench.core.model.Purpose`)."""

    order: int
    title: str
    number: str


class MetricRecord(_Frozen, frozen=True):
    """A metric as defined at the time of the run, so that a report needs no catalogue."""

    name: str
    unit: Unit
    meaning: str
    sign: Sign = "positive"
    """In runs older than this field, every metric lacks its values of zero and less."""
    purpose: PurposeRecord | None = None
    """None in runs older than this field."""


class SeriesRecord(_Frozen, frozen=True):
    """One whole benchmark. Values in seconds or bytes; `blocks` ascends."""

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
    """Seconds of setup, with images from the cache; 0 if it could not be opened."""
    groups: list[str] = []
    """Empty in runs older than this field."""


class SkipRecord(_Frozen, frozen=True):
    """An environment (or one scenario in it, else "") that this host cannot run, the reason, and the remedy."""

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
    """One cell of a block, in the order taken. Seconds on the monotonic clock since the run began; after resuming they
    continue from the end of the last block."""

    environment: str
    scenario: str
    started: float
    seconds: float
    inside: float
    """Seconds of it from launch to gone; the rest is the harness."""
    interference: dict[str, float] = {}
    """Interference counters (`isobench.host.machine.Interference`): differences over the cell."""


class BlockRecord(_Frozen, frozen=True):
    index: int
    """0 is the warm-up block."""
    started: float
    seconds: float
    cells: list[CellRecord]
    marks: list[str] = []
    """Why the block is excluded from the analysis; empty for a clean block."""


class Resumption(_Frozen, frozen=True):
    """An interrupted run was resumed: when (UTC, ISO 8601), and with which block. The warm-up block before it is not
    kept."""

    at: str
    block: int


class LevelRecord(_Frozen, frozen=True, array_like=True):
    """The logarithm of a cost's centre over the blocks, its standard error, and the effective number of blocks."""

    centre: float
    error: float
    effective: float


class RatioRecord(_Frozen, frozen=True, array_like=True):
    """A cost's ratio to the baseline, as `isobench.analysis.verdicts.rows` computes it; fewer than six pairs give no
    interval."""

    n: int
    ratio: float
    low: float | None
    high: float | None
    p: float | None
    p_holm: float | None
    mde: float | None
    effective: float | None
    strayed: float
    """By how much a failed A/A control widens the interval on either side, as a logarithm; 0 if it passed."""
    level: LevelRecord | None


class CostRecord(_Frozen, frozen=True, array_like=True):
    """What remains of one cost when its values are pruned: seconds, bytes, or ratios to the baseline. Written as a
    list, since the names of its fields would take more space than the values of a short run."""

    name: str
    """`<scenario>.<metric>/<environment>`."""
    unit: Unit
    taken: int
    """How many values counted."""
    median: float
    q25: float
    q75: float
    minimum: float
    night: tuple[float, float | None, float | None, float | None]
    """Value, ratio, and the ends of the interval, as in a history (`isobench.nights.history.Point`)."""
    ratio: RatioRecord | None = None
    level: LevelRecord | None = None
    """Of the values; None if one is not positive, or for fewer than six."""


class PrunedRecord(_Frozen, frozen=True):
    """The values of the run were removed: when, by which version of isobench, and what remains of each cost."""

    at: str
    """UTC, ISO 8601, with a Z."""
    isobench: str
    costs: list[CostRecord]


COMPLETE = ("blocks", "precise")
"""`Session.stopped` of a run whose plan is complete: it has all its blocks, or every interval is narrow enough. Any
other run can be resumed."""

ENDED_BECAUSE = {
    "precise": "every interval was narrow enough",
    "blocks": "the number of blocks was reached",
    "disturbed": "too many blocks were disturbed",
    "max-time": "another block would have exceeded --max-time",
    "interrupted": "it was interrupted",
    "nothing left to measure": "every cell failed repeatedly",
}
"""`Session.stopped` -> the reason in words."""


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
    """The command that repeats the run."""
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
    """Rungs that were not run, but are below one that was: the ladder names them where it skips rungs."""
    failures: list[FailureRecord] = []
    blocks: list[BlockRecord] = []
    finished: str = ""
    """UTC, ISO 8601; empty if the run is unfinished or was cut off."""
    stopped: str = ""
    """Why it ended: "precise", "blocks", "disturbed" (too many blocks were excluded to replace them all), "max-time",
    "nothing left to measure" (every cell is paused after failures), "interrupted", or empty."""
    warmups: dict[str, float] = {}
    """Warm-up values of benchmarks that have no measured value: pyperf cannot hold a benchmark without one."""
    not_in_suite: list[SeriesRecord] = []
    """The benchmarks that have a value of zero or less, which pyperf cannot hold. Each benchmark is either here or in
    the suite, whole."""
    torn: bool = False
    """The run was cut off while it wrote a block, and that block is lost."""
    left_behind: list[str] | None = None
    """What the mechanisms still held of this run after every environment was closed; None if not checked."""
    imprecise: list[str] = []
    """Benchmarks whose interval was still too wide at the maximum number of blocks."""
    label: str = ""
    """The user's name for this run (`run --label`, `runs name`); any text."""
    tags: list[str] = []
    """Groups of runs that it belongs to (`runs tag`); any texts."""
    resumed: list[Resumption] = []
    pruned: PrunedRecord | None = None
    """Set if `isobench prune` removed the values: the run has no suite then, and its blocks have no cells."""

    @property
    def blocks_used(self) -> int:
        """How many blocks count: not the warm-up block, and none that is excluded."""
        return sum(block.index > 0 and not block.marks for block in self.blocks)


HARDWARE = ("cpu", "cpus")
"""Facts of the fingerprint that belong to the machine itself: software does not change them."""


def machine(host_id: str, fingerprint: dict[str, str]) -> str:
    """The machine that absolute values belong to: its host id and its hardware.

    The id alone is not enough. Machines made from one image share a machine-id, and a virtual machine may move to
    another processor. Their time and memory may be compared only as ratios to their own baselines.
    """
    return " ".join([host_id, *(fingerprint[fact] for fact in HARDWARE if fingerprint.get(fact))])
