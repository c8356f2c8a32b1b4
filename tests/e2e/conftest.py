"""What the tests of pages in a real browser share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.example import chrome

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selenium.webdriver import Chrome


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """A headless Chromium with a profile of its own, which logs what it asks the network for."""
    started = chrome(tmp_path_factory.mktemp("profile"), loggingPrefs={"browser": "ALL", "performance": "ALL"})
    yield started
    started.quit()
