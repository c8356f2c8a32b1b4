"""isobench measures what isolation costs, from a raw process to a virtual machine."""

from __future__ import annotations

import os
import sys

__version__ = "0.1.0"


def _leave_current_folder() -> None:
    """Import nothing more from the current folder, which `python -m` puts first: anybody may put a module into /tmp.

    A checkout is left alone: the package itself comes from there.
    """
    try:
        here = os.getcwd()  # noqa: PTH109 (every start would have to import pathlib)
    except OSError:  # it has been removed
        return
    checkout = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120
    if sys.path[:1] == [here] and checkout != here:
        del sys.path[0]


if sys.argv[:1] == ["-m"] and not sys.flags.safe_path:  # so while Python is still looking for the module
    _leave_current_folder()
