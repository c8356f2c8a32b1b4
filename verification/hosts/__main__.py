"""`python -m verification.hosts [HOST…] [--keep | --shell]`: boots whole hosts, runs isobench in them, writes HOSTS.md.

Needs root, mmdebstrap, 10 GB of disk and 9 GB of memory; takes hours per host. One host at a time.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from isobench.core.errors import IsobenchError
from verification.hosts import checks, host, image, machine, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from verification.hosts.host import Host

KEPT = image.ROOT / "build/hosts"
"""One folder per host: console, the output of each check, results, reports."""
RECORD = host.FOLDER / "record"
"""One file per host with its part of HOSTS.md. A check that is run on its own is added to the earlier ones."""


def main(words: Sequence[str]) -> int:
    known = host.known()
    parser = argparse.ArgumentParser(prog="python -m verification.hosts", description=__doc__)
    parser.add_argument("hosts", nargs="*", metavar="HOST", help=f"which ({', '.join(known)})")
    parser.add_argument(
        "--only",
        action="append",
        metavar="CHECK",
        help="only this check, whose line is added to the earlier ones; several are run in the order given",
    )
    parser.add_argument("--keep", action="store_true", help="leave the host on after its checks, until Ctrl-C")
    parser.add_argument("--shell", action="store_true", help="a shell in the host instead of the checks")
    arguments = parser.parse_args(words)
    wrong = [name for name in arguments.hosts if name not in known]
    by_name = {check.name: check for check in checks.CHECKS}
    asked = arguments.only or list(by_name)
    chosen = [by_name[name] for name in asked if name in by_name]
    if wrong or len(chosen) < len(asked):
        parser.error(f"the hosts are {', '.join(known)}; the checks {', '.join(one.name for one in checks.CHECKS)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        fine = [_one(known[name], chosen, arguments) for name in arguments.hosts or known]
    except IsobenchError as error:
        print(f"hosts: {error.reason}" + (f" ({error.remedy})" if error.remedy else ""), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0 if all(fine) else 1


def _one(one: Host, chosen: Sequence[checks.Check], arguments: argparse.Namespace) -> bool:
    """Build, boot, install, check, power off; returns whether nothing failed. The page is written after each check."""
    folder, record = KEPT / one.name, RECORD / f"{one.name}.json"
    if not arguments.shell and arguments.only is None:
        shutil.rmtree(folder, ignore_errors=True)
        record.unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    mine = [check for check in chosen if (check.is_for if arguments.only else check.is_asked_of)(one)]
    commit, tree = image.tree()
    print(f"{one.name}: {one.about}", flush=True)
    fine = True
    needs_trees = not (arguments.shell or one.is_foreign) and any(check.workloads or check.trees for check in mine)
    trees = image.trees((*checks.WORKLOADS, *checks.SLOW_WORKLOADS)) if needs_trees else []
    with machine.booted(one, image.build(one), image.emulator(one.architecture), folder, trees) as booted:
        booted.lay_in(tree, is_fresh=one.is_fresh)
        if trees:
            booted.lay_in_cache()
        if arguments.shell:
            subprocess.run(booted.ssh("-t"), check=False)
            return booted.off()
        about = f"{one.about}. {booted.facts()}"
        for check in mine:
            outcome = checks.carry_out(check, booted)
            booted.run(checks.DENIED, 300)
            booted.fetch("results reports out")
            seen = table.seen(record, about, f"{commit}, {table.today()}", {check.name: outcome}, folder)
            table.write(image.ROOT / "HOSTS.md", RECORD)
            mark = "PASS" if outcome.passed else "FAIL"
            print(f"  {mark}  {check.name:20} {outcome.minutes:5.1f} min  {outcome.note}", flush=True)
            fine = fine and outcome.passed and not any(table.FAIL in str(cell) for cell in seen.environments.values())
        if arguments.keep:
            print(f"{one.name} stays on until Ctrl-C: {' '.join(booted.ssh())}", flush=True)
            signal.pause()
        if not booted.off():
            print(f"  {one.name} did not power off by itself", flush=True)
            fine = False
    return fine


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
