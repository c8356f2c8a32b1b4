"""A unit test begins as a fresh process does: what real environments taught an earlier test is forgotten."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from isobench.core import deadlines
from isobench.environments.docker import _client
from isobench.environments.libvirt import _connection, _sandbox
from isobench.host import serving


@pytest.fixture(autouse=True)
def nothing_learned(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Deadlines are the usual ones, no engine has hung, no kind of guest has failed, no daemon was found."""
    deadlines.begin(None)
    monkeypatch.setattr(_sandbox, "_heard", {})
    monkeypatch.setattr(_client, "_hung", {})
    monkeypatch.setattr(_connection, "_hung", {})
    monkeypatch.setattr(serving, "_known", {})
    yield
    deadlines.begin(None)
