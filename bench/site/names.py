"""Names of pages and anchors: safe as a file name, in an address and as an id, for any name of a host or an
environment.

A name depends only on what it denotes, so that links stay valid. Plain names are kept; others are reduced to their
plain characters and made unique by a digest after a tilde, which no plain name contains.
"""

from __future__ import annotations

import hashlib
import re

_PLAIN = re.compile(r"[a-z0-9][a-z0-9_-]*(?:\.[a-z0-9_-]+)*")
_NOT_PLAIN = re.compile(r"[^a-z0-9_]+")
_LONGEST = 60
_RESERVED = frozenset({"index"})


def slug(name: str) -> str:
    """A name of lower-case letters, digits and `-_.~`, unique for each input."""
    if _PLAIN.fullmatch(name) and len(name) <= _LONGEST and name not in _RESERVED:
        return name
    return _told_apart(name, name)


def host_folder(host_id: str, machine: str) -> str:
    """The folder of a machine's pages: the host's name, made unique by the hardware."""
    return slug(host_id) if machine == host_id else _told_apart(host_id, machine)


def place(environment: str, again: int = 0) -> str:
    """The id of an environment's figure on a page; `again` counts its further series there."""
    return f"in-{slug(environment)}" + (f"~{again + 1}" if again else "")


def _told_apart(words: str, whole: str) -> str:
    plain = _NOT_PLAIN.sub("-", words.lower()).strip("-")[: _LONGEST - 20] or "x"
    return f"{plain}~{hashlib.sha256(whole.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"
