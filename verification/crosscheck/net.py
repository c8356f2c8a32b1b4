"""`nox -s crosscheck`: isobench's loopback figures against references that share none of its code.

Request and response, and connections, against plain C loops (syscalls.c); bulk against iperf3. The two sides take turns
on one CPU, as in `verification.crosscheck.syscalls`. Exits with 1 if an interval lies entirely outside the band. iperf3
does more per MiB than isobench (a pselect before each read and write of 64 KiB), so its band is wider.
"""

from __future__ import annotations

import argparse
import json
import socket
import statistics
import subprocess
import time
from functools import partial
from typing import TYPE_CHECKING

from isobench.contracts.answers import answers
from isobench.contracts.launch import working
from isobench.processes.programs import find
from verification.crosscheck.syscalls import compare, prepared, reference, show

if TYPE_CHECKING:
    from collections.abc import Callable

    from isobench.contracts.environment import Sandbox

OPERATIONS = ("tcp", "udp", "connect")
IPERF_BAND = 0.15


def ours(sandbox: Sandbox, operation: str) -> float:
    """Nanoseconds as the scenario takes them: the median of a fresh instance's batches."""
    with sandbox.launch(working("net", "loopback", timeout=60)) as instance:
        found = {answer["name"]: answer for answer in answers(instance)}
    return float(statistics.median(found[operation]["ns"]))


def iperf3() -> float:
    """Nanoseconds per MiB according to a second of iperf3, with writes of 64 KiB like ours."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    with subprocess.Popen(["iperf3", "-s", "-1", "-B", "127.0.0.1", "-p", port], stdout=subprocess.DEVNULL) as server:
        try:
            time.sleep(0.2)  # it prints nothing when it begins to listen if its output is not a terminal
            command = ["iperf3", "-c", "127.0.0.1", "-p", port, "-t", "1", "-l", "64K", "-N", "-J"]
            ended = subprocess.run(command, capture_output=True, check=True, timeout=30)
        finally:
            server.kill()
    return 8 * (1 << 20) / float(json.loads(ended.stdout)["end"]["sum_received"]["bits_per_second"]) * 1e9


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with prepared() as (sandbox, binary):
        pairs: dict[str, tuple[Callable[[], float], Callable[[], float]]] = {
            name: (partial(ours, sandbox, name), partial(reference, binary, name)) for name in OPERATIONS
        }
        apart = show(compare(pairs, arguments.rounds, arguments.seed), arguments.rounds)
        if find("iperf3"):
            bulk = {"mib (iperf3)": (partial(ours, sandbox, "mib"), iperf3)}
            apart += show(compare(bulk, arguments.rounds, arguments.seed), arguments.rounds, IPERF_BAND)
        else:
            print("iperf3 is not installed: apt-get install iperf3")
    return 1 if apart else 0


if __name__ == "__main__":
    raise SystemExit(main())
