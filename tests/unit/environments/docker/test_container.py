"""How a container is removed, whatever the engine says of it meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from isobench.core.errors import IsobenchError
from isobench.environments.docker._container import DockerInstance
from isobench.environments.docker._sdk import docker


class Client:
    """An engine that refuses to remove a container as often as it has words for it."""

    def __init__(self, *refusals: str) -> None:
        self.asked = 0
        self._refusals = list(refusals)

    def remove_container(self, name: str, *, force: bool, v: bool) -> None:
        self.asked += 1
        if self._refusals:
            raise docker.errors.APIError(self._refusals.pop(0))


def _instance(client: Client) -> DockerInstance:
    instance = DockerInstance(client, "one", 1.0, watch_end=False)
    instance._id, instance._status = "1dce96", 0
    return instance


def test_a_container_that_ends_while_it_is_killed_is_removed() -> None:
    client = Client("Could not kill running container 1dce96, cannot remove - Container 1dce96 is not running")
    instance = _instance(client)
    instance.destroy()
    assert client.asked == 2 and "removed" in instance.events


@pytest.mark.parametrize("refusals", [("no such image",), ("x is not running", "x is not running")])
def test_another_refusal_is_told(refusals: tuple[str, ...]) -> None:
    client = Client(*refusals)
    with pytest.raises(IsobenchError, match=refusals[-1]):
        _instance(client).destroy()
    assert client.asked == len(refusals)


class Looking(Client):
    """An engine that says this of the container."""

    def __init__(self, told: dict[str, Any]) -> None:
        super().__init__()
        self._told = told

    def inspect_container(self, name: str) -> dict[str, Any]:
        return self._told


def test_what_a_container_takes_is_its_own_layer_and_the_files_about_it(tmp_path: Path) -> None:
    """Not what it shares with others of its image."""
    for name in ("upper", "work", "init", "shared", "about"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(b"x" * 100_000)
    data = {
        "UpperDir": f"{tmp_path}/upper",
        "WorkDir": f"{tmp_path}/work",
        "LowerDir": f"{tmp_path}/init:{tmp_path}/shared",
    }
    told = {"GraphDriver": {"Data": data}, "HostsPath": f"{tmp_path}/about/hosts"}
    found = _instance(Looking(told)).disk_bytes()
    assert found is not None and 400_000 <= found < 500_000
    for lacking in ({}, {"GraphDriver": None}, {**told, "HostsPath": ""}, {**told, "HostsPath": "/none/hosts"}):
        assert _instance(Looking(lacking)).disk_bytes() is None
