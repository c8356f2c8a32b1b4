"""The lab's short form: Debian 13 with systemd and cgroup version 2 is booted, and Docker and KVM are measured in it.

Half an hour and 9 GB of memory, so it is left out unless it is asked for: `pytest -m lab`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from isobench.analysis.frames import samples
from isobench.host.machine import EMULATED
from isobench.results import store
from verification.hosts import checks, host, image, machine


@pytest.mark.lab
@pytest.mark.root
@pytest.mark.tool("mmdebstrap")
def test_docker_and_kvm_are_measured_on_a_booted_host(tmp_path: Path) -> None:
    """The doctor finds them, startup and memory have values, and their order is that of what they do."""
    one = host.known()["debian-13"]
    with machine.booted(one, image.build(one), image.emulator(one.architecture), tmp_path) as booted:
        booted.lay_in(image.tree()[1])
        short = checks.carry_out(checks.CHECKS[0], booted)
        booted.fetch("results reports out")
        assert short.passed, f"{short.note}: {(tmp_path / 'Docker-and-KVM.txt').read_text()}"
        assert booted.off()
    (run,) = store.find_runs(tmp_path / "results")
    loaded = store.load(run)
    assert loaded.session.host["virtual"].startswith(EMULATED) and loaded.session.failures == []
    frame = samples(loaded)
    kept = frame[~frame.warmup & ~frame.control & frame.metric.isin(["ready", "pss"])]
    medians = kept.groupby(["metric", "environment"]).value.median()
    for metric in ("ready", "pss"):
        assert medians[metric, "process"] < medians[metric, "docker"] < medians[metric, "kvm"]
    assert medians["ready", "kvm-null"] < medians["ready", "kvm"]
