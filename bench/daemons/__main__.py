"""`python -m bench.daemons COMMAND…`: run a command with private Docker and libvirt daemons where none run."""

from __future__ import annotations

import signal
import subprocess
import sys

from bench.daemons.private import private_daemons
from bench.launcher import learn_deadlines


def main() -> int:
    """Start what is missing, run the command, stop it again; gives the command's exit code."""
    learn_deadlines()
    with private_daemons():
        process = subprocess.Popen(sys.argv[1:])
        for number in (signal.SIGTERM, signal.SIGHUP):  # the daemons are stopped when the command has ended
            signal.signal(number, lambda number, frame: process.send_signal(number))
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:  # the terminal has told the command as well: let it end in order
                continue


if __name__ == "__main__":
    raise SystemExit(main())
