"""Every contract test has this host's deadlines, also one that opens no environment before it waits."""

from __future__ import annotations

import pytest

from tests.contract.opening import learn_this_host


@pytest.fixture(scope="session", autouse=True)
def deadlines_of_this_host() -> None:
    """Learned once; `opened` learns them again."""
    learn_this_host()
