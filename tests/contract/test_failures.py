"""What really goes wrong inside an instance is told as what it is: no memory, no space, no fio."""

from __future__ import annotations

from typing import Any

import pytest

from bench import catalog
from bench.answers import answers
from bench.environments.docker import Docker
from bench.errors import MeasurementError, OutOfMemory, ProbeError
from tests.contract.opening import opened

pytestmark = [pytest.mark.root, pytest.mark.docker]

JOB = ("--name=x", "--size=4m", "--rw=write", "--bs=64k", "--filename=x", "--thread")


@pytest.mark.parametrize(
    ("configuration", "error", "words"),
    [
        (
            {"mem_limit": "6m", "memswap_limit": "6m"},
            OutOfMemory,
            ("killed for want of memory (the container's limit is 6 MiB)", "fio was killed by signal 9"),
        ),
        ({"tmpfs": {"/data": "size=1m"}}, ProbeError, ("No space left on device",)),
        ({"binds": ["/dev/null:/usr/bin/fio:ro"]}, ProbeError, ("there is no fio in the root file system",)),
    ],
    ids=["memory", "space", "fio"],
)
def test_fio_fails_for_a_reason_that_is_told(
    monkeypatch: pytest.MonkeyPatch,
    configuration: dict[str, Any],
    error: type[MeasurementError],
    words: tuple[str, ...],
) -> None:
    """The failure names its cause, and the next instance of the same sandbox is measured as if nothing had been."""
    tight = Docker("docker-tight", "", "", "docker-nonet", {"network_mode": "none", **configuration})
    monkeypatch.setattr(catalog, "environments", lambda: {tight.name: tight})
    with opened(tight.name) as sandbox:
        with pytest.raises(error) as failed, sandbox.launch("fio", *JOB, timeout=60) as instance:
            answers(instance)
        assert [word for word in words if word not in failed.value.reason] == []
        with sandbox.launch("ready") as instance:
            assert instance.wait() == 0
