"""Which processes are a dead run's, and which only have to do with its folder."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from isobench.filesystem import paths
from isobench.lifecycle import processes
from tests.unit.lifecycle.made import NAME


def test_who_only_looks_is_left_alone(place: Path) -> None:
    """A process that works in a dead run's folder lives on; one that runs a program out of it does not."""
    folder = place / "work" / NAME
    folder.mkdir()
    (folder / "program").write_bytes(Path("/bin/sleep").read_bytes())
    (folder / "program").chmod(0o755)
    looking = subprocess.Popen(["sleep", "60"], cwd=folder)
    ours = subprocess.Popen([str(folder / "program"), "60"])
    try:
        time.sleep(0.1)
        assert processes.kill_processes(NAME) == [ours.pid]
        assert ours.wait(60) == -signal.SIGKILL and looking.poll() is None
    finally:
        for process in (looking, ours):
            process.kill()
            process.wait()


def test_who_only_names_the_folder_is_left_alone(place: Path) -> None:
    """The tail of a service, without a terminal, on a file of a dead run; what served the run's instances dies."""
    folder = place / "work" / NAME
    folder.mkdir()
    (folder / "console").touch()
    (place / "virtiofsd").write_bytes(Path("/bin/sleep").read_bytes())
    (place / "virtiofsd").chmod(0o755)
    service: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "start_new_session": True}
    looking = subprocess.Popen(["tail", "-f", str(folder / "console")], **service)
    served = f"{folder}/data"
    named = subprocess.Popen([f"{served}/probe", "60"], executable="/bin/sleep", **service)
    ours = subprocess.Popen([served, "60"], executable=str(place / "virtiofsd"), **service)
    try:
        time.sleep(0.1)
        assert processes.kill_processes(NAME) == [ours.pid]
        assert ours.wait(60) == -signal.SIGKILL and looking.poll() is None and named.poll() is None
    finally:
        for process in (looking, named, ours):
            process.kill()
            process.wait()


def test_what_was_started_with_the_runs_name_dies() -> None:
    """Known by nothing else: a worker of Ansible, in a session of its own. What has another run's name lives on."""
    names = (NAME, NAME.replace("abcdef", "012345"))
    started = [subprocess.Popen(["sleep", "60"], env={paths.RUN_VARIABLE: name, **os.environ}) for name in names]
    ours, other = started
    try:
        assert processes.kill_processes(NAME) == [ours.pid]
        assert ours.wait(60) == -signal.SIGKILL and other.poll() is None
    finally:
        for process in started:
            process.kill()
            process.wait()
