"""Options that several commands have."""

from __future__ import annotations

import argparse

from isobench.core.errors import UsageError
from isobench.core.quantities import timeout


class Given(argparse.Action):
    """An option that is recorded as given, because a resumed run keeps its own plan. A list (`NAME,..`) may be given
    several times; the parts are joined."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        given = getattr(namespace, "given", [])
        if str(self.metavar).endswith(",..") and set(given).intersection(self.option_strings):
            values = f"{getattr(namespace, self.dest)},{values}"
        setattr(namespace, self.dest, values)
        namespace.given = [*given, option_string]


def add_keep(parser: argparse.ArgumentParser, text: str) -> None:
    """How many runs of a machine keep their values when others are pruned."""
    parser.add_argument("--keep", type=_count, metavar="N", help=text)


def _count(text: str) -> int:
    """At least one: the newest run always keeps its values."""
    if not text.isdecimal() or not 0 < int(text[:10]) < 10**9:
        raise UsageError(f"{text[:40]!r} is not a number of runs", remedy="1 or more, as in --keep 90")
    return int(text)


def add_timeout(parser: argparse.ArgumentParser) -> None:
    """The one option for every deadline, the same in every command that launches instances."""
    text = "deadline of an instance to become ready; all others scale with it (default: learned, at least 60s)"
    parser.add_argument("--timeout", type=timeout, metavar="5m", help=text)
