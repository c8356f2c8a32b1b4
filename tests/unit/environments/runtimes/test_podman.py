"""Podman as root: what it tells of itself."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from isobench.contracts.images import MessageLost
from isobench.core.errors import MeasurementError
from isobench.environments.runtimes._podman import PodmanDriver
from isobench.processes.programs import output


@pytest.mark.parametrize("place", ["work/tmp", "state/podman-abcdef/libpod/tmp", ""], ids=["4.3", "5", "none"])
def test_a_root_without_a_capability_is_in_a_user_namespace(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which is seen by the process that keeps it, wherever this version of Podman notes that."""

    def fails(*words: str, **options: Any) -> str:
        raise MeasurementError("there is no Podman")

    monkeypatch.setenv("ISOBENCH_STATE", str(tmp_path / "state"))
    if place:
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "pause.pid").write_text("7")
    sandbox: Any = SimpleNamespace(workdir=tmp_path / "work", run="isobench-20260101T000000Z-abcdef", tool=fails)
    assert ("user" in PodmanDriver().facts(sandbox)) == bool(place)


def test_a_policy_that_refuses_what_isobench_makes_is_named(tmp_path: Path) -> None:
    """Every command that copies an image follows the host's policy, also one that imports files of this host."""

    def fails(*words: str, **options: Any) -> str:
        raise MeasurementError("podman --root: Error: Source image rejected: tarball:x is rejected by policy.")

    (tmp_path / "files.tar").touch()
    sandbox: Any = SimpleNamespace(workdir=tmp_path, run="isobench-1-abcdef", tool=fails, image="", given=None)
    with pytest.raises(MeasurementError, match="podman import: Error: Source image rejected") as refused:
        PodmanDriver()._import(sandbox, tmp_path / "files.tar")
    assert refused.value.remedy == "/etc/containers/policy.json has to accept what nobody has signed"


@pytest.mark.parametrize("doing", ["pull", "push"])
def test_what_podman_tried_again_has_no_cost(doing: str, tmp_path: Path) -> None:
    """It waits for seconds before that, and says so in a warning. A push is measured again."""

    def tool(*words: str, refused: str = "", **options: Any) -> str:
        return output(["sh", "-c", r"""echo 'level=warning msg="Failed, retrying in 1s"' >&2"""], 10, refused=refused)

    sandbox: Any = SimpleNamespace(workdir=tmp_path, run="isobench-1-abcdef", tool=tool)
    with pytest.raises(MeasurementError, match=f"^podman {doing}: .*Failed, retrying in 1s") as found:
        PodmanDriver()._copied(sandbox, doing, "here/image")
    assert isinstance(found.value, MessageLost) == (doing == "push")
