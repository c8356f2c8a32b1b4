"""Images in containerd: which failure of its client is an accident."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from isobench.contracts.images import MessageLost
from isobench.core.errors import MeasurementError
from isobench.environments.runtimes._ctr_images import CtrImages


@pytest.mark.parametrize(
    ("said", "is_lost"),
    [
        ("ctr: failed to copy: rpc error: code = Internal desc = unexpected EOF", True),
        ("ctr: failed commit on ref: commit failed: unexpected EOF", False),
        ("ctr: rpc error: code = Internal desc = no space left on device", False),
    ],
)
@pytest.mark.parametrize("step", ["pull", "push", "load"])
def test_only_a_message_that_ended_too_early_is_lost(tmp_path: Path, step: str, said: str, is_lost: bool) -> None:
    """A connection to the registry that ends too early is no accident of the client, nor is a full disk."""
    ctr = tmp_path / "ctr"
    ctr.write_text(f"#!/bin/sh\necho '{said}' >&2\nexit 1\n")
    ctr.chmod(0o755)
    images = CtrImages(tmp_path, [str(ctr)], tmp_path)
    steps: dict[str, Callable[[], object]] = {
        "pull": lambda: images.pull("here/x:latest"),
        "push": lambda: images.push("here/x:latest", "there/x:latest"),
        "load": lambda: images.load(tmp_path / "x.tar"),
    }
    with pytest.raises(MeasurementError, match=f"^ctr images .*: {said.removeprefix('ctr: ')}$") as found:
        steps[step]()
    assert isinstance(found.value, MessageLost) == is_lost
