"""The cross-check of images: arithmetic, with made-up sides; the real session is `nox -s crosscheck`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from verification.crosscheck import images
from verification.crosscheck.images import by_manifest, compare, du, same


def takes(seconds: float) -> Callable[[], float]:
    return lambda: seconds


@pytest.mark.parametrize(
    ("ours", "by_hand", "client", "differs"),
    [(1.0, 1.05, None, False), (1.0, 1.2, None, True), (1.3, 1.2, 0.2, True), (1.0, 1.2, 0.2, False)],
)
def test_the_client_is_subtracted_before_the_sides_are_compared(
    ours: float, by_hand: float, client: float | None, differs: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each side is cleared before, and the ends of both are printed."""
    cleared: list[int] = []
    more = takes(client) if client is not None else None
    found = compare("pull", lambda: cleared.append(1), takes(ours), takes(by_hand), 6, more)
    assert found == differs and len(cleared) == 7 * (2 if client is None else 3)
    said = capsys.readouterr().out
    assert f"ours {ours:.3f} s, by hand {by_hand:.3f} s" in said and ("the client" in said) == (client is not None)


def test_the_warm_up_is_not_compared() -> None:
    """It is the first round of both."""
    first = iter((100.0, *[1.0] * 6))
    assert not compare("pull", lambda: None, lambda: next(first), takes(1.0), 6)


def test_a_manifest_tells_what_is_sent() -> None:
    """Itself, the configuration and the layers."""
    manifest = json.dumps({"config": {"size": 100}, "layers": [{"size": 2000}, {"size": 30000}]}).encode()
    assert by_manifest(manifest) == len(manifest) + 32100


def test_sizes_differ_by_one_byte() -> None:
    assert same("disk", 1, 2) and not same("disk", 2, 2)


def test_du_counts_a_file_once(tmp_path: Path) -> None:
    """What an engine names besides folders is left out."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    (tmp_path / "one/file").write_bytes(b"x" * 100_000)
    alone = du([str(tmp_path / "one")])
    (tmp_path / "two/file").hardlink_to(tmp_path / "one/file")
    both = du([str(tmp_path / "one"), "<no value>", "", str(tmp_path / "two")])
    assert 100_000 <= alone <= both < 200_000


def test_an_engine_without_its_tools_is_told_and_nothing_compared_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(images, "find", lambda tool: None)
    monkeypatch.setattr("sys.argv", ["images"])
    assert images.main() == 1
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in said] == ["docker", "podman", "runc"]
    assert all("hyperfine, skopeo" in line for line in said)
