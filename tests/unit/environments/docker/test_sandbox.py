"""A sandbox of Docker's whose images somebody removes meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from isobench.core.errors import MeasurementError
from isobench.environments.docker import _sandbox
from isobench.environments.docker._client import engine_errors
from isobench.environments.docker._sandbox import DockerSandbox
from isobench.environments.docker._sdk import docker

RUN = "isobench-20260101t000000z-abcdef"


class Client:
    """An engine with these images."""

    def __init__(self, *there: str) -> None:
        self.there = there

    def images(self, filters: dict[str, str]) -> list[dict[str, Any]]:
        assert filters == {"label": f"isobench.run={RUN}"}
        return [{"RepoTags": [tag]} for tag in self.there] + [{"RepoTags": None}]


@pytest.fixture
def imported(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The images that are imported."""
    names: list[str] = []
    monkeypatch.setattr(_sandbox, "rootfs_tar", lambda: Path("root.tar"))
    monkeypatch.setattr(DockerSandbox, "_import", lambda self, archive, image: names.append(image))
    return names


def _sandbox_with(*there: str) -> DockerSandbox:
    made = DockerSandbox.__new__(DockerSandbox)
    made._client, made._run = Client(*there), RUN
    made._image, made._with_lower = f"{RUN}:own", f"{RUN}:own-lower"
    made._given = {Path("a"): f"{RUN}:own-1", Path("b"): f"{RUN}:own-2"}
    return made


def _start(sandbox: DockerSandbox, error: Exception) -> None:
    with sandbox._restoring(), engine_errors("starting the container"):
        raise error


def test_what_was_pruned_is_there_for_the_next_launch(imported: list[str]) -> None:
    """This one fails. What is made when it is needed is made anew then, and what is still there is used."""
    sandbox = _sandbox_with(f"{RUN}:own-2")
    with pytest.raises(MeasurementError, match="starting the container: No such image") as failed:
        _start(sandbox, docker.errors.ImageNotFound("No such image: x"))
    assert failed.value.remedy == "prune no images while isobench measures"
    assert imported == [f"{RUN}:own"] and sandbox._with_lower == ""
    assert sandbox._given == {Path("b"): f"{RUN}:own-2"}


def test_another_failure_restores_nothing(imported: list[str]) -> None:
    sandbox = _sandbox_with()
    with pytest.raises(MeasurementError, match="starting the container: no room"):
        _start(sandbox, docker.errors.APIError("no room"))
    assert imported == [] and sandbox._with_lower != ""


def test_an_image_of_a_scenarios_own_is_not_the_sandboxs(imported: list[str]) -> None:
    """All of its own are there."""
    sandbox = _sandbox_with(*(f"{RUN}:own{end}" for end in ("", "-lower", "-1", "-2")))
    with pytest.raises(MeasurementError, match="No such image"):
        _start(sandbox, docker.errors.ImageNotFound("No such image: registry/x"))
    assert imported == [] and sandbox._with_lower and len(sandbox._given) == 2
