"""What a sweep says of domains that do not go."""

from __future__ import annotations

import pytest

from bench.environments import _libvirt
from bench.errors import MeasurementError

libvirt = pytest.importorskip("libvirt")


class Domain:
    """One that goes when it has been destroyed often enough; what libvirt says before."""

    def __init__(self, name: str, refusals: int) -> None:
        self._name = name
        self.refusals = refusals

    def name(self) -> str:
        return self._name

    def destroy(self) -> None:
        self.refusals -= 1
        if self.refusals >= 0:
            raise libvirt.libvirtError("no")


class Connection:
    def __init__(self, *domains: Domain) -> None:
        self.domains = domains

    def listAllDomains(self) -> list[Domain]:
        return [domain for domain in self.domains if domain.refusals >= 0]

    def close(self) -> None:
        pass


def test_a_domain_that_remains_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what libvirt said; one of a similar name is not looked at."""
    monkeypatch.setattr(_libvirt, "_SWEEP_SECONDS", 0.1)
    connection = Connection(Domain("isobench-x-tcg-1", 0), Domain("isobench-x-tcg-2", 1000), Domain("isobench-xy-1", 0))
    monkeypatch.setattr(_libvirt, "connect", lambda: connection)
    with pytest.raises(MeasurementError, match=r"cleaning up domains: isobench-x-tcg-2 \(no\)"):
        _libvirt.sweep("isobench-x")
    assert [domain.name() for domain in connection.listAllDomains()] == ["isobench-x-tcg-2", "isobench-xy-1"]


def test_a_domain_that_goes_late_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked again."""
    connection = Connection(Domain("isobench-x-tcg-1", 2))
    monkeypatch.setattr(_libvirt, "connect", lambda: connection)
    assert _libvirt.sweep("isobench-x") == ["domain isobench-x-tcg-1"]
