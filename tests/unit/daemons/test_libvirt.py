"""What a private libvirtd leaves of itself."""

from __future__ import annotations

import shlex
import subprocess
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from isobench import daemons
from isobench.core.errors import Unavailable
from isobench.daemons import libvirt

if TYPE_CHECKING:
    from pathlib import Path

    from isobench.daemons import Daemon


def test_what_one_that_was_ended_while_it_starts_leaves(tmp_path: Path) -> None:
    """The file with its pid, and sockets nobody answers: gone with it. Logs stay, for whoever asks why."""
    for name in ("sockets/libvirtd.pid", "sockets/libvirt-sock", "run/libvirt/x", "var/log/libvirt/qemu.log"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    libvirt.clean(tmp_path)
    assert [str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file()] == [
        "var/log/libvirt/qemu.log"
    ]


@pytest.mark.tool("libvirtd")
def test_a_state_with_a_name_of_any_letters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The address, the shell and the configuration each have it whole."""
    commands: list[list[str]] = []

    def start(name: str, command: list[str], **how: object) -> Daemon:
        commands.append(command)
        raise Unavailable("not started here")

    monkeypatch.setattr(daemons, "start", start)
    state = tmp_path / "a  b'c\"d%20&;#?$HOME`x`\\ü:,"
    with pytest.raises(Unavailable, match="not started here"):
        libvirt.start(state)
    script = commands[0][-1]
    assert subprocess.run(["sh", "-n", "-c", script], check=False).returncode == 0
    words = shlex.split(script)
    assert words[-1] == f"{state}/sockets/libvirtd.pid" and f"{state}/etc/libvirt" in words
    assert f'unix_sock_dir = """{state}/sockets"""' in (state / "etc/libvirt/libvirtd.conf").read_text()
    assert parse_qs(urlsplit(libvirt.address(state)).query)["socket"] == [f"{state}/sockets/libvirt-sock"]
