"""Alerts over nights: the one that must come, and none else."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import jsonschema
import msgspec
import numpy as np
import pytest
from asv import step_detect
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from isobench.nights import history
from isobench.nights.history import INDEX, History, Night, Point
from isobench.nights.trend import Seen, Told, changes, evaluate
from tests.unit.analysis.made import night, write_run

SCHEMA = Path(__file__).parents[3] / "docs" / "trend.schema.json"


def synthetic(nights: int, *, step: int = 60, host_change: int = 80, quiet: int = 60, seed: int = 1) -> History:
    """The history of the issue: one series steps up by 5 %, the host changes, the others are quiet."""
    random = np.random.default_rng(seed)
    made = []
    for index in range(nights):
        noisy = np.exp(random.normal(0, 0.02, quiet + 1))
        noisy[0] *= 1.05 if index >= step else 1.0
        points = [Point("startup", "ready", "process", 1e-3 * math.exp(random.normal(0, 0.02)), math.nan)]
        points += [Point("startup", "ready", f"env{n}", 1.0, float(ratio)) for n, ratio in enumerate(noisy)]
        kernel = "6.1" if index < host_change else "6.2"
        made.append(Night(f"h/{index}", f"r{index}", "h", night(index), "process", {"kernel": kernel}, points))
    return History(made, [])


def test_one_step_and_one_new_kernel() -> None:
    """One alert near night 60, one notice at night 80, nothing else."""
    trend = evaluate(synthetic(120))
    assert [(alert.kind, alert.what) for alert in trend.alerts] == [
        ("environment", ["startup.ready/env0"]),
        ("fingerprint", ["kernel"]),
    ]
    step, notice = trend.alerts
    assert night(57) <= step.near <= night(63)
    assert step.change is not None and 1.02 < step.change < 1.08
    assert notice.near == night(80)
    assert {step.state, notice.state} == {"known"} and not step.news and not notice.news


def test_a_change_is_news_on_one_night_only() -> None:
    """Asked every night, the step is new once; before it there is nothing, after it it is known."""
    told = [[alert.state for alert in evaluate(synthetic(count)).alerts if alert.news] for count in range(58, 80)]
    assert sum(len(states) for states in told) == 1
    assert evaluate(synthetic(79)).alerts[0].state == "known"


def test_nights_without_a_trend_are_caught_up() -> None:
    """What was confirmed since the trend was last asked is news, however many nights ago that is."""
    whole = synthetic(79)
    assert not any(alert.news for alert in evaluate(whole).alerts)
    assert [alert.state for alert in evaluate(whole, {"h": Seen(night(59))}).alerts] == ["new"]


def test_a_return_is_a_recovery_and_no_second_alert() -> None:
    """Up by 10 % at night 40, back at night 60."""
    random = np.random.default_rng(2)
    logs = random.normal(0, 0.01, 80)
    logs[40:60] += 0.1
    made = [
        Night(f"h/{i}", "r", "h", night(i), "process", {}, [Point("s", "m", "env", 1.0, math.exp(value))])
        for i, value in enumerate(logs)
    ]
    trend = evaluate(History(made, []))
    assert [alert.state for alert in trend.alerts] == ["recovered"]
    assert "back at the old level" in trend.alerts[0].text


def test_a_level_that_comes_again_after_its_return_is_told_again() -> None:
    """Up by 30 % for ten nights, back, and up again: nobody may read that it is back at the old level, and no more. On
    the night that confirms it, it is news; when it goes, it has recovered, too."""
    random = np.random.default_rng(3)
    logs = random.normal(0, 0.02, 100)
    logs[30:40] += math.log(1.3)
    logs[55:75] += math.log(1.3)

    def alerts(nights: int, told_before: int = 10**6) -> list[tuple[str, str, bool]]:
        points = [[Point("s", "m", "env", 1.0, math.exp(value))] for value in logs[:nights]]
        made = [Night(f"h/{i}", "r", "h", night(i), "process", {}, point) for i, point in enumerate(points)]
        seen = {"h": Seen(night(told_before))} if told_before < nights else None
        return [(alert.state, alert.near, alert.news) for alert in evaluate(History(made, []), seen).alerts]

    assert alerts(54)[0][:2] == ("recovered", night(30)) and len(alerts(54)) == 1
    again = alerts(60, 56)
    assert [state for state, _, _ in again] == ["recovered", "new"] and again[1][1] == night(55) and again[1][2]
    assert [state for state, _, _ in alerts(70)] == ["recovered", "known"]
    assert [state for state, _, _ in alerts(100)] == ["recovered", "recovered"]


def test_what_has_not_been_measured_for_ten_nights_is_not_watched() -> None:
    """An environment is gone from night 30 on: that nothing is new is said of those that are left."""
    whole = synthetic(40, quiet=3)
    gone = [
        one if index < 30 else msgspec.structs.replace(one, points=[p for p in one.points if p.environment != "env1"])
        for index, one in enumerate(whole.nights)
    ]
    assert [evaluate(History(gone[:nights], [])).series for nights in (30, 39, 40)] == [5, 5, 4]


@pytest.mark.parametrize("seed", range(5))
def test_changes_agree_with_asv(seed: int) -> None:
    """On a step of five standard deviations asv's step detection (an L1 fit) finds the same change, to a night."""
    random = np.random.default_rng(seed)
    logs = random.normal(0, 0.01, 80)
    logs[50:] += 0.05
    ours = [level.at for level in changes(logs)]
    places, *_ = step_detect.solve_potts_autogamma(list(logs), w=[1.0] * len(logs))
    theirs = places[:-1]
    assert len(ours) == len(theirs) == 1
    assert abs(ours[0] - theirs[0]) <= 1


@pytest.mark.parametrize("seed", range(5))
def test_changes_agree_with_ruptures_run_directly(seed: int) -> None:
    """Pelt with a least-squares cost on the bare series, told the true scale, places the change within a night."""
    import ruptures

    random = np.random.default_rng(100 + seed)
    logs = random.normal(0, 0.02, 90)
    logs[60:] += 0.08
    theirs = ruptures.Pelt(model="l2", min_size=3, jump=1).fit((logs / 0.02).reshape(-1, 1)).predict(pen=13)[:-1]
    ours = [level.at for level in changes(logs)]
    assert len(ours) == len(theirs) == 1
    assert abs(ours[0] - theirs[0]) <= 1


@given(arrays(np.float64, st.integers(0, 60), elements=st.floats(-3, 3, width=32)), st.floats(-5, 5))
def test_any_series_is_answered_alike_at_any_level(logs: np.ndarray, level: float) -> None:
    """No series raises; another unit (a constant added to the logarithms) changes nothing but the levels."""
    found = changes(logs)
    assert all(0 < one.at <= one.confirmed < len(logs) for one in found)
    assert [one.at for one in changes(logs * 1.0)] == [one.at for one in found]


def test_the_document_is_as_documented() -> None:
    """What is printed obeys docs/trend.schema.json, notices included."""
    documented = json.loads(SCHEMA.read_text())
    document = json.loads(msgspec.json.encode(evaluate(synthetic(90))))
    assert {alert["kind"] for alert in document["alerts"]} == {"environment", "fingerprint"}
    jsonschema.validate(document, documented)


def test_a_fact_that_a_night_did_not_record_has_not_changed() -> None:
    """Without QEMU, with it, without, and with another: one notice, of QEMU's two versions."""
    versions = [{}, {"qemu": "7.2"}, {}, {"qemu": "8.0"}, {}]
    nights = [
        Night(f"h/{n}", f"r{n}", "h", night(n), "process", {"kernel": "6.1", **found}, [])
        for n, found in enumerate(versions)
    ]
    (notice,) = evaluate(History(nights, [])).alerts
    assert (notice.kind, notice.near, notice.what) == ("fingerprint", night(3), ["qemu"])
    assert "qemu: 7.2 → 8.0" in notice.text


def _nights(ratios: np.ndarray) -> list[Night]:
    """Nights of one environment's ratio to the baseline, whose own value never moves."""
    return [
        Night(f"h/{i}", f"r{i}", "h", night(i), "process", {"kernel": "6.1"}, [
            Point("s", "m", "process", 1e-3 * math.exp(0.02 * math.sin(1e3 * i)), math.nan),
            Point("s", "m", "env", 2e-3, float(ratio)),
        ])
        for i, ratio in enumerate(ratios)
    ]  # fmt: skip


def test_seconds_and_ratios_are_series_of_their_own() -> None:
    """Three nights without the baseline leave 2 ms where ratios of 2 were: that is no change of 99.9 %."""
    nights = _nights(2 * np.exp(np.random.default_rng(1).normal(0, 0.02, 60)))
    for i in (30, 31, 32):
        nights[i] = msgspec.structs.replace(nights[i], points=[Point("s", "m", "env", 2e-3, math.nan)])
    assert evaluate(History(nights, [])).alerts == []


def test_ratios_to_two_baselines_are_two_series() -> None:
    """From night 30 on against chroot, which is half as fast."""
    nights = _nights(2 * np.exp(np.random.default_rng(1).normal(0, 0.02, 60)))
    for i in range(30, 60):
        points = [
            Point("s", "m", "chroot", 2e-3, math.nan),
            Point("s", "m", "env", 2e-3, nights[i].points[1].ratio / 2),
        ]
        nights[i] = msgspec.structs.replace(nights[i], baseline="chroot", points=points)
    assert evaluate(History(nights[:39], [])).series == 2, "those of the new baseline have nine nights"
    trend = evaluate(History(nights, []))
    assert (trend.alerts, trend.series) == ([], 2), "the two of the first thirty nights are watched no more"


def test_a_change_that_comes_with_a_kernel_names_it() -> None:
    """The series runs on where the kernel changes; the alert says what it came with."""
    ratios = np.exp(np.random.default_rng(2).normal(0, 0.02, 60))
    ratios[40:] *= 1.2
    nights = _nights(ratios)
    nights[40:] = [msgspec.structs.replace(one, fingerprint={"kernel": "6.12"}) for one in nights[40:]]
    alerts = evaluate(History(nights, [])).alerts
    assert [alert.kind for alert in alerts] == ["environment", "fingerprint"]
    assert alerts[0].cause == ["kernel: 6.1 → 6.12"]
    assert "likely because of kernel: 6.1 → 6.12" in alerts[0].text


@pytest.mark.parametrize(("kernel", "named"), [(38, False), (40, True), (42, False)])
def test_a_cause_is_named_where_the_step_could_have_begun_with_it(kernel: int, named: bool) -> None:
    """+30 % on night 40. A kernel two nights later is no cause, nor one two nights earlier that had no effect."""
    ratios = np.exp(np.random.default_rng(2).normal(0, 0.02, 60))
    ratios[40:] *= 1.3
    nights = _nights(ratios)
    nights[kernel:] = [msgspec.structs.replace(one, fingerprint={"kernel": "6.12"}) for one in nights[kernel:]]
    (step,) = [alert for alert in evaluate(History(nights, [])).alerts if alert.kind == "environment"]
    assert bool(step.cause) == ("likely because of" in step.text) == named


def test_a_host_whose_costs_part_is_told_as_it_is() -> None:
    """On night 40 two of the baseline's costs rise by a tenth and one falls; on night 55 one of the two is back."""
    random = np.random.default_rng(7)
    logs = random.normal(0, 0.01, (3, 80))
    logs[:2, 40:] += 0.1
    logs[1, 55:] -= 0.1
    logs[2, 40:] -= 0.3
    nights = [
        Night(f"h/{i}", f"r{i}", "h", night(i), "process", {}, [
            Point("s", f"m{n}", "process", 1e-3 * math.exp(value), math.nan) for n, value in enumerate(column)
        ])
        for i, column in enumerate(logs.T)
    ]  # fmt: skip
    found = {tuple(alert.what): alert for alert in evaluate(History(nights, [])).alerts}
    assert found.keys() == {("s.m0/process",), ("s.m1/process",), ("s.m2/process",)}
    assert [found[f"s.m{n}/process",].state for n in range(3)] == ["known", "recovered", "known"]
    assert "the host itself: s.m2/process moved by -2" in found["s.m2/process",].text


def test_fingerprints_that_take_turns_are_watched() -> None:
    """Two kernels every other night: each is told once, the series goes through, and a step is found in it."""
    ratios = np.exp(np.random.default_rng(3).normal(0, 0.02, 80))
    ratios[60:] *= 1.15
    nights = [
        msgspec.structs.replace(one, fingerprint={"kernel": ("6.1", "6.12")[i % 2]})
        for i, one in enumerate(_nights(ratios))
    ]
    trend = evaluate(History(nights, []))
    assert trend.series == 2
    assert [alert.kind for alert in trend.alerts] == ["fingerprint", "environment"]


def test_machines_of_one_image_are_watched_apart() -> None:
    """One host id, two processors by turns, one half as fast as the other: no alert, four series."""
    nights = []
    for i, one in enumerate(_nights(np.exp(np.random.default_rng(4).normal(0, 0.02, 60)))):
        cpu, speed = (("Intel", 1.0), ("AMD", 2.0))[i % 2]
        points = [point if point.ratio > 0 else Point("s", "m", "process", speed, math.nan) for point in one.points]
        nights.append(msgspec.structs.replace(one, fingerprint={"cpu": cpu}, points=points))
    trend = evaluate(History(nights, []))
    assert trend.series == 4
    assert [(alert.kind, alert.what) for alert in trend.alerts] == [("fingerprint", ["cpu"])]


def test_what_was_told_is_no_news_though_nights_were_taken_away() -> None:
    """A note of a step near the same night, made before some nights before it were deleted."""
    whole = synthetic(79)
    (alert,) = evaluate(whole, {"h": Seen(night(59))}).alerts
    assert alert.news
    note = Told(alert.kind, alert.what, alert.near, False)
    fewer = whole._replace(nights=[n for i, n in enumerate(whole.nights) if i not in (10, 20, 61)])
    (again,) = evaluate(fewer, {"h": Seen(night(59), [note])}).alerts
    assert (again.news, again.state) == (False, "known")


def _told(results: Path) -> list[list[str]]:
    found = history.read(results)
    trend = evaluate(found, history.seen(results, found))
    history.take_note(results, found, trend)
    return [alert.what for alert in trend.alerts if alert.news]


def _stepping(results: Path, count: int) -> list[Path]:
    """Nights on disk; the kernel of night 4 is another."""
    return [
        write_run(results, started=night(n), seed=n, blocks=6, kernel="6.1" if n < 4 else "6.2") for n in range(count)
    ]


def test_what_was_told_goes_with_the_runs(tmp_path: Path) -> None:
    """Asked again the same night: the same. The next night: nothing; nor in a copy, nor without the index."""
    first = tmp_path / "first"
    _stepping(first, 5)
    assert _told(first) == _told(first) == [["kernel"]]
    write_run(first, started=night(5), seed=5, blocks=6, kernel="6.2")
    assert _told(first) == []
    shutil.copytree(first, tmp_path / "copy")
    (tmp_path / "copy" / INDEX).unlink()
    write_run(tmp_path / "copy", started=night(6), seed=6, blocks=6, kernel="6.2")
    assert _told(tmp_path / "copy") == []


def test_a_week_without_a_trend_is_caught_up(tmp_path: Path) -> None:
    """The kernel changed between two askings: told at the second, though nights lie between."""
    paths = _stepping(tmp_path, 8)
    for path in paths[3:]:
        path.rename(tmp_path / path.name)
    assert _told(tmp_path) == []
    for path in paths[3:]:
        (tmp_path / path.name).rename(path)
    assert _told(tmp_path) == [["kernel"]]
