"""What `touch` writes: no page like another, in one instance or in two, so that KSM has nothing to merge."""

from __future__ import annotations

import subprocess
from contextlib import ExitStack
from pathlib import Path

from isobench.probe.build import probe_path

PAGES = 600
"""More than a byte can tell apart."""
PAGE = 4096


def _written(pid: int) -> list[bytes]:
    """The pages of the process that hold something, in mappings about as large as was asked for, as its data is not."""
    pages = []
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            words = line.split()
            low, high = (int(end, 16) for end in words[0].split("-"))
            if words[1] == "rw-p" and words[4] == "0" and PAGES <= (high - low) // PAGE < PAGES + 16:
                memory.seek(low)
                found = memory.read(high - low)
                pages += [found[at : at + PAGE] for at in range(0, len(found), PAGE)]
    return [page for page in pages if any(page)]


def test_no_two_pages_are_alike() -> None:
    """Two instances, 600 pages each: 1200 contents."""
    with ExitStack() as stack:
        pages = []
        for _ in range(2):
            words = [str(probe_path()), "touch", str(PAGES * PAGE)]
            probe = stack.enter_context(subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
            stack.callback(probe.kill)
            assert probe.stdin is not None and probe.stdout is not None
            assert probe.stdout.readline() == b"ready\n" and b"total" in probe.stdout.readline()
            probe.stdin.write(b"\n")
            probe.stdin.flush()
            assert b"touched" in probe.stdout.readline()
            pages += _written(probe.pid)
    assert len(pages) >= 2 * PAGES - 2
    assert len(set(pages)) == len(pages)
