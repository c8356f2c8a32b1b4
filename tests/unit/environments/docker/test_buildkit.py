"""BuildKit: which docker command can use it, by programs that answer as real ones do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from isobench.core.errors import MeasurementError
from isobench.environments.docker import _buildkit


@pytest.fixture(autouse=True)
def _anew() -> Iterator[None]:
    _buildkit.docker_command.cache_clear()
    yield
    _buildkit.docker_command.cache_clear()


def _docker(folder: Path, version: str, body: str = "exit 1") -> str:
    """A docker command of a version, which does this with any other words."""
    folder.mkdir()
    program = folder / "docker"
    program.write_text(f'#!/bin/sh\n[ "$1" = --version ] && {{ echo "{version}"; exit; }}\n{body}\n')
    program.chmod(0o755)
    return str(program)


def test_which_command_can_use_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An old one has it itself, a new one with its plugin; Podman in its place does not."""
    podman = _docker(tmp_path / "podman", "podman version 4.3.1")
    new = _docker(tmp_path / "new", "Docker version 28.2.2, build e6534b4")
    plugin = _docker(tmp_path / "plugin", "Docker version 28.2.2, build e6534b4", '[ "$1" = buildx ]')
    old = _docker(tmp_path / "old", "Docker version 20.10.24+dfsg1, build 297e128")
    for programs, chosen in (([podman, new], ""), ([new, old], old), ([new, plugin, old], plugin), ([], "")):
        monkeypatch.setattr(_buildkit, "find_all", lambda name, programs=programs: programs)
        _buildkit.docker_command.cache_clear()
        assert _buildkit.docker_command() == chosen
        assert _buildkit.docker_command(plugin=True) == ("" if chosen == old else chosen)


def test_a_plugin_of_the_user_alone_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A build has a configuration folder of its own, where that is not found: it would fail in each block."""
    looks = '[ "$1" = buildx ] && [ -e "$DOCKER_CONFIG/plugin" -o -e "$HOME/.docker/plugin" ]'
    program = _docker(tmp_path / "new", "Docker version 28.2.2, build e6534b4", looks)
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker/plugin").touch()
    monkeypatch.setattr(_buildkit, "find_all", lambda name: [program])
    for name, folder in (("HOME", tmp_path), ("DOCKER_CONFIG", tmp_path / ".docker")):
        monkeypatch.setenv(name, str(folder))
    assert _buildkit.docker_command() == ""


def test_its_reason_is_told(tmp_path: Path) -> None:
    """It gets the context on its standard input, the engine's address and a folder for its own files."""
    told = tmp_path / "told"
    program = _docker(
        tmp_path / "old",
        "Docker version 20.10.24",
        f'echo "$@" $DOCKER_HOST $DOCKER_CONFIG $DOCKER_BUILDKIT $(cat) > {told}\necho "no room" >&2; exit 1',
    )
    (tmp_path / "context").write_text("CONTEXT")
    with pytest.raises(MeasurementError, match="building the image with BuildKit: no room"):
        _buildkit.build(program, "unix:///x", tmp_path, tmp_path / "context", "a:1", cached=False)
    assert told.read_text() == f"build --quiet --no-cache --tag=a:1 - unix:///x {tmp_path} 1 CONTEXT\n"
