"""Two runs against each other."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import jsonschema
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from isobench.analysis.compare import Change, Comparison, compare
from isobench.analysis.earlier import earlier
from isobench.analysis.results import Results, load
from isobench.core.errors import UsageError
from isobench.estimation import between
from isobench.estimation.between import Level
from isobench.report.compared import sentences
from isobench.results import store
from isobench.results.store import Series
from tests.unit.analysis.made import write_run

SCHEMA = Path(__file__).parents[3] / "docs" / "compare.schema.json"


def _compare(a: Path | list[Path], b: Path | list[Path], **options: object) -> Comparison:
    sides = [[load(path) for path in ([side] if isinstance(side, Path) else side)] for side in (a, b)]
    return compare(*sides, **options)  # type: ignore[arg-type]


def _run(results: Path, number: int, **options: object) -> Path:
    return write_run(results, started=f"2026-01-{number:02}T02:00:00Z", seed=number, **options)  # type: ignore[arg-type]


def _by_name(found: Comparison) -> dict[str, Change]:
    return {change.environment: change for change in found.changes}


def test_a_slower_docker_is_found_and_nothing_else(tmp_path: Path) -> None:
    """Twenty per cent more in one environment: one verdict, of the environment; the host did not move."""
    a, b = _run(tmp_path, 1), _run(tmp_path, 2, factors={"docker": 240.0})
    found = _compare(a, b)
    told = _by_name(found)
    assert told.keys() == {"process", "chroot", "docker"}
    assert [change.environment for change in found.changed()] == ["docker"]
    assert told["docker"].verdict == "slower" and told["docker"].of == "environment"
    low, high = told["docker"].low, told["docker"].high
    assert low is not None and high is not None and low < 1.2 < high
    assert told["process"].of == "host" and found.host is not None and not found.host.moved


def test_a_host_that_moved_is_no_news_of_every_environment(tmp_path: Path) -> None:
    """Everything 30 % slower: the host moved, told once, and no environment did."""
    slower = {"process": 1.3, "process@control": 1.3, "chroot": 1.43, "docker": 260.0}
    found = _compare(_run(tmp_path, 1), _run(tmp_path, 2, factors=slower))
    assert found.changed() == [] and [change.environment for change in found.changed("host")] == ["process"]
    assert found.host is not None and found.host.moved and found.host.ratio == pytest.approx(1.3, rel=0.02)


def test_a_noisy_baseline_does_not_hide_a_change(tmp_path: Path) -> None:
    """Each cost's own noise decides: 2 % in all of them, and a control that strays within it."""
    a, b = _run(tmp_path, 1, noise=0.02), _run(tmp_path, 2, noise=0.02, factors={"docker": 280.0})
    assert _by_name(_compare(a, b))["docker"].verdict == "slower"


def test_a_control_that_strays_takes_back_what_it_covers(tmp_path: Path) -> None:
    """The baseline's second copy is off by 30 % in one run: a change of 20 % says nothing, one of 300 % does."""
    a = _run(tmp_path, 1, factors={"process@control": 1.3})
    b = _run(tmp_path, 2, factors={"docker": 240.0, "chroot": 4.4})
    told = _by_name(_compare(a, b))
    assert told["docker"].verdict == "inconclusive" and told["chroot"].verdict == "slower"


def test_a_shift_of_a_whole_run_is_no_change(tmp_path: Path) -> None:
    """A restart moves starts by 4 %: sixty tight blocks do not make that a difference of 4 %."""
    a, b = (
        _run(tmp_path, 1, blocks=60, noise=0.002),
        _run(tmp_path, 2, blocks=60, noise=0.002, factors={"docker": 208.0}),
    )
    assert _by_name(_compare(a, b))["docker"].verdict == "inconclusive"


def test_several_runs_tell_smaller_changes(tmp_path: Path) -> None:
    """Ten per cent is too little for one run on each side, and enough for four whose spread is known."""
    slower = {"docker": 220.0}
    a = [_run(tmp_path, n) for n in range(1, 5)]
    b = [_run(tmp_path, n, factors=slower) for n in range(11, 15)]
    assert _by_name(_compare(a[0], b[0]))["docker"].verdict == "inconclusive"
    told = _by_name(_compare(a, b))
    assert told["docker"].verdict == "slower" and told["docker"].n_a == 48
    assert told["chroot"].verdict != "slower"
    assert _compare([*a, *a], b) == _compare(a, b), "a run that is named twice counts once"


def test_memory_costs_more(tmp_path: Path) -> None:
    """What is counted in bytes is not slower."""
    a, b = _run(tmp_path, 1), _run(tmp_path, 2, factors={"docker": 400.0})
    runs = [store.load(path) for path in (a, b)]
    runs = [run._replace(series=[one._replace(unit="byte") for one in run.series]) for run in runs]
    assert _by_name(compare(*map(Results, runs)))["docker"].verdict == "more"


def test_few_blocks_conclude_nothing(tmp_path: Path) -> None:
    """Five on one side: no interval and no verdict, however far apart."""
    told = _by_name(_compare(_run(tmp_path, 1, blocks=5), _run(tmp_path, 2, factors={"docker": 2000.0})))["docker"]
    assert (told.verdict, told.low, told.high) == ("inconclusive", None, None)


def test_the_largest_change_is_first_up_or_down(tmp_path: Path) -> None:
    """A tenth is a larger change than three times as much."""
    found = _compare(_run(tmp_path, 1), _run(tmp_path, 2, factors={"docker": 20.0, "chroot": 3.3}))
    assert [change.environment for change in found.changed()] == ["docker", "chroot"]


def test_nothing_in_common_is_a_mistake(tmp_path: Path) -> None:
    a, b = (store.load(_run(tmp_path, n)) for n in (1, 2))
    a, b = (run._replace(series=[one for one in run.series if one.environment == name])
            for run, name in ((a, "docker"), (b, "chroot")))  # fmt: skip
    with pytest.raises(UsageError, match="no cost in common"):
        compare(Results(a), Results(b))


def test_two_hosts_are_refused_unless_told(tmp_path: Path) -> None:
    """Across hosts, a host twice as slow changes no ratio; machines of one image are two where their CPUs differ."""
    factors = {"process": 2.0, "process@control": 2.0, "chroot": 2.2, "docker": 400.0}
    a, b = write_run(tmp_path, host="one"), write_run(tmp_path, host="two", seed=5, factors=factors)
    with pytest.raises(UsageError, match="two hosts"):
        _compare(a, b)
    found = _compare(a, b, across_hosts=True)
    assert found.changed() == [] and found.host is None
    assert {change.compared for change in found.changes} == {"ratios to the baseline"}
    clone = store.load(a)
    session = msgspec.structs.replace(clone.session, fingerprint={"kernel": "6.1", "cpu": "another"})
    with pytest.raises(UsageError, match="two hosts"):
        compare(load(a), Results(clone._replace(session=session)))


def test_the_document_is_as_documented(tmp_path: Path) -> None:
    """What is printed obeys docs/compare.schema.json."""
    documented = json.loads(SCHEMA.read_text())
    a = write_run(tmp_path, started="2026-01-01T02:00:00Z")
    b = write_run(tmp_path, started="2026-01-02T02:00:00Z", kernel="6.2")
    document = json.loads(msgspec.json.encode(_compare(a, b)))
    jsonschema.validate(document, documented)
    assert document["differing"] == {"kernel": ["6.1", "6.2"]}


def _edited(path: Path, edit: Callable[[Series], Series | None]) -> Results:
    run = store.load(path)
    return Results(run._replace(series=[one for one in map(edit, run.series) if one is not None]))


@pytest.mark.parametrize("side", ["A", "B"])
def test_a_baseline_that_is_missing_on_one_side_takes_only_itself_away(tmp_path: Path, side: str) -> None:
    """What has ratios on one side only is compared by its values: it is neither gone nor new."""
    a, b = load(_run(tmp_path, 1)), load(_run(tmp_path, 2, factors={"docker": 300.0}))
    bare = _edited((a if side == "A" else b).run.path, lambda one: None if "process" in one.environment else one)
    found = compare(*((bare, b) if side == "A" else (a, bare)))
    told = _by_name(found)
    assert told["docker"].compared == "values" and told["docker"].verdict == "slower"
    assert told["chroot"].compared == "values" and told["chroot"].verdict != "slower" and found.host is None
    assert [*found.only_in_a, *found.only_in_b] == ["startup.ready/process"]
    more = _edited(_run(tmp_path, 3), lambda one: None if "process" in one.environment else one)
    both = compare([a, more], [b]) if side == "A" else compare([a], [b, more])
    assert _by_name(both)["docker"].compared == "ratios to the baseline" and not [*both.only_in_a, *both.only_in_b]


def test_what_made_the_runs_is_told_where_it_differs(tmp_path: Path) -> None:
    """Another kernel, another isobench, another profile: none of them keeps the two from being compared."""
    a, b = load(_run(tmp_path, 1)), store.load(_run(tmp_path, 2))
    newer = msgspec.structs.replace(b.session, isobench="1.0", profile="quick", fingerprint={"kernel": "6.2"})
    found = compare(a, Results(b._replace(session=newer)))
    assert found.differing == {"isobench": ("0", "1.0"), "kernel": ("6.1", "6.2"), "profile": ("default", "quick")}


def test_a_value_of_zero_is_inconclusive_and_not_gone(tmp_path: Path) -> None:
    a, b = _run(tmp_path, 1), _run(tmp_path, 2)
    zero = _edited(b, lambda one: one._replace(values=[0.0, *one.values[1:]]) if one.environment == "docker" else one)
    found = compare(load(a), zero)
    assert (_by_name(found)["docker"].verdict, _by_name(found)["docker"].ratio) == ("inconclusive", None)
    assert not [*found.only_in_a, *found.only_in_b]


def test_another_unit_is_said(tmp_path: Path) -> None:
    a, b = _run(tmp_path, 1), _run(tmp_path, 2)
    bytes_now = _edited(b, lambda one: one._replace(unit="byte") if one.environment == "docker" else one)
    found = compare(load(a), bytes_now)
    assert "in another unit, so not compared: startup.ready/docker" in sentences(found)
    assert not [line for line in sentences(found) if line.startswith(("gone", "new"))]


def test_whether_the_host_moved_is_said_only_where_the_interval_says_it(tmp_path: Path) -> None:
    """A baseline of 30 % noise whose middle is 10 % off in a dozen blocks; one of 1 % that is 10 % off."""
    a, b = _run(tmp_path, 1, noise=0.3), _run(tmp_path, 2, noise=0.3, factors={"process": 1.1})
    noisy = _compare(a, b)
    assert noisy.host is not None and not noisy.host.moved and noisy.host.low < 1 < noisy.host.high
    assert "it is uncertain whether the host changed" in sentences(noisy)[1]
    quiet = _compare(_run(tmp_path, 3), _run(tmp_path, 4, factors={"process": 1.1}))
    assert quiet.host is not None and quiet.host.moved and "the host changed" in sentences(quiet)[1]


def test_any_number_that_a_file_can_hold_is_compared(tmp_path: Path) -> None:
    a = _edited(_run(tmp_path, 1), lambda one: one._replace(values=[1e-300 for _ in one.values]))
    b = _edited(_run(tmp_path, 2), lambda one: one._replace(values=[1e300 for _ in one.values]))
    for found in (compare(a, b), compare(b, a)):
        assert all(change.ratio and 0 < change.ratio < float("inf") for change in found.changes)


def _levels(random: np.random.Generator, runs: int, spread: float, at: float = 0.0) -> list[Level]:
    return [Level(at + random.normal(0, spread) + random.normal(0, 0.01), 0.01, 20) for _ in range(runs)]


@pytest.mark.parametrize("runs", [1, 2, 4])
def test_the_interval_of_runs_covers_the_truth(runs: int) -> None:
    """Runs that are each moved by 3 %, one on each side or several: 92 % or more of the intervals hold a true 10 %."""
    random = np.random.default_rng(runs)
    covered = 0
    for _ in range(1000):
        low, high = between.bounds(between.shift(_levels(random, runs, 0.03), _levels(random, runs, 0.03, 0.1)))
        covered += low <= 0.1 <= high
    assert covered / 1000 > 0.92


def test_the_usual_spread_is_that_of_most_costs() -> None:
    """Forty costs of three runs a side whose runs differ by 2 %, and one that differs wildly."""
    random = np.random.default_rng(8)
    costs = [(_levels(random, 3, 0.02), _levels(random, 3, 0.02)) for _ in range(40)]
    costs.append((_levels(random, 3, 0.5), _levels(random, 3, 0.5)))
    usual = between.usual_variance(costs)
    assert usual is not None and usual**0.5 == pytest.approx(0.0224, rel=0.25)
    assert between.usual_variance(costs[:5]) is None


def _history(results: Path, runs: int, moved: float = 0.005, **options: object) -> list[Path]:
    """Runs of one host, night after night, each of whose costs is moved as a whole by so much."""
    random = np.random.default_rng(9)
    found = []
    for number in range(1, runs + 1):
        factors = {
            name: cost * float(np.exp(random.normal(0, moved))) for name, cost in (("chroot", 1.1), ("docker", 200))
        }
        found.append(_run(results, number, factors=factors, **options))
    return found


def test_earlier_runs_say_how_far_runs_differ(tmp_path: Path) -> None:
    """+12 % is nothing between two runs of which nothing else is known, and a change where twenty runs of the host lay
    within one per cent; what did not move is known better by them, too."""
    _history(tmp_path, 22)
    a, b = (load(_run(tmp_path, number, factors={"docker": 200 * more})) for number, more in ((23, 1), (24, 1.12)))
    before = earlier([a.run, b.run])
    alone, known = compare(a, b), compare(a, b, earlier=before)
    assert _by_name(alone)["docker"].verdict == _by_name(alone)["chroot"].verdict == "inconclusive"
    assert (alone.noise.source, alone.noise.runs) == ("floor", 0)
    assert _by_name(known)["docker"].verdict == "slower"
    (_, low, high), (_, known_low, known_high) = (_by_name(found)["chroot"].interval for found in (alone, known))
    assert known_high - known_low < 0.6 * (high - low)
    assert (known.noise.source, known.noise.runs) == ("earlier runs", 22) and known.noise.deviation < 0.02
    assert compare(a, b, earlier=[*before, a.run, b.run]) == known, "what is compared is no history"


def test_only_earlier_runs_of_this_host_as_it_is_count(tmp_path: Path) -> None:
    """Neither another kernel's, nor later ones, damaged or unfinished ones, nor those of a machine of another name."""
    runs = _history(tmp_path, 12)
    a, b = store.load(runs[9]), store.load(runs[10])
    assert [run.path for run in earlier([a, b])] == runs[:9]
    (runs[0] / store.SESSION).write_text("{")
    record = json.loads((runs[1] / store.SESSION).read_text())
    (runs[1] / store.SESSION).write_text(json.dumps({**record, "finished": None}))
    (runs[2] / store.SESSION).write_text(json.dumps({**record, "fingerprint": {"kernel": "6.2"}}))
    (runs[3] / store.SESSION).write_text(json.dumps({**record, "host_id": "another"}))
    (runs[4] / store.SESSION).write_text(json.dumps({**record, "fingerprint": {}, "run_id": "x"}))
    assert [run.path for run in earlier([a, b])] == runs[4:9], "what was not recorded has not changed"
    moved = tmp_path / "elsewhere" / "a"
    shutil.copytree(runs[9], moved)
    assert earlier([store.load(moved)]) == [], "a folder that is not the host's holds anything"


def test_the_usual_noise_is_held_against_the_floor_while_runs_are_few() -> None:
    """Twenty costs whose runs differ by 0.5 %: from three runs nearly the floor is left, from thirty little of it."""
    random = np.random.default_rng(4)
    of = {}
    for runs in (3, 10, 30):
        found = between.noises([[random.normal(0, 0.005, runs)] for _ in range(20)])
        of[runs] = float(np.median([one.variance**0.5 for one in found if one]))
    assert between.BETWEEN_RUNS > of[3] > of[10] > of[30] > 0.005 and of[30] < 0.01 < 0.015 < of[3]
    assert between.noises([[np.zeros(2)], [np.zeros(1), np.zeros(1)], []]) == [None] * 3


def test_a_step_in_the_history_is_no_stray_and_a_wild_run_is() -> None:
    """Costs moved by 1 %. A step of 30 % stays: later runs stray no farther than before it. A wild run may come again,
    in any cost: what lies no farther off than it did is no claim."""
    costs = [[np.random.default_rng([5, n]).normal(0, 0.01, 20)] for n in range(20)]
    quiet = between.noises(costs)[0]
    stepped = [[costs[0][0] + 0.3 * (np.arange(20) >= 10)], *costs[1:]]
    wild = [[costs[0][0] + 0.3 * (np.arange(20) == 10)], *costs[1:]]
    after_step, after_wild = between.noises(stepped)[1], between.noises(wild)[1]
    assert quiet and after_step and after_wild
    assert after_step.stray < 0.1 and after_wild.stray > 0.3
    a, b = [Level(0.0, 0.005, 20)], [Level(0.3, 0.005, 20)]
    assert between.p_beyond(between.shift(a, b, noise=after_step), 0.05) < 0.001
    found = between.shift(a, b, noise=after_wild)
    assert between.p_beyond(found, 0.05) == 1 and between.claimed(found, 0.05)[0] < 0.05 < between.bounds(found)[0]


_CENTRES = arrays(np.float64, st.integers(3, 30), elements=st.floats(-2, 2).map(lambda one: round(one, 3)))


@given(st.lists(_CENTRES, min_size=1, max_size=12), st.integers(1, 40), st.floats(-5, 5))
def test_any_history_gives_a_noise_that_a_level_does_not_change(rows: list[np.ndarray], apart: int, by: float) -> None:
    """Whatever runs there were: a finite spread above nothing, a stray that is not negative, the same at any level."""
    found = between.noises([[row] for row in rows], apart)
    for one, other in zip(found, between.noises([[row + by] for row in rows], apart), strict=True):
        assert one is not None and other is not None
        assert 0 < one.variance < np.inf and 0 <= one.stray < np.inf and one.freedom > 4
        assert other == pytest.approx(one, rel=1e-6, abs=1e-9)


def test_p_is_the_level_at_which_the_interval_touches() -> None:
    found = between.shift([Level(0.0, 0.02, 12)], [Level(0.4, 0.02, 12)])
    p = between.p_beyond(found, 0.05)
    assert between.bounds(found, p)[0] == pytest.approx(0.05) and between.p_beyond(found, 0.5) == 1
