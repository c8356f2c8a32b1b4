"""Escaping of untrusted text: control characters made visible, lengths bounded, one line where required."""

from __future__ import annotations

import re

NOT_UTF8 = "[\udc80-\udcff]"
"""Matches the bytes of a path that are not UTF-8, as Python represents them (PEP 383)."""
_BREAKS = r"[\r\n\t\v\f\x85\u2028\u2029]+"
"""Compiled on first use, because that takes a fifth of Python's start-up time."""


def clean(text: str, limit: int = 300) -> str:
    """Text from results on one line: at most `limit` characters, control and direction marks made visible."""
    return visible(re.sub(_BREAKS, " ", clip(text, limit)))


def visible(text: str) -> str:
    """Control characters and invisible direction marks become ⟨U+202E⟩; line ends and tabs stay."""
    if text.isascii() and (text.isprintable() or text.replace("\n", "").replace("\t", "").isprintable()):
        return text
    return "".join(c if c in "\n\t" or not _is_invisible(c) else f"⟨U+{ord(c):04X}⟩" for c in text)


def clip(text: str, limit: int) -> str:
    """At most `limit` characters, with a note of how many were cut."""
    return text if len(text) <= limit * 1.1 else f"{text[:limit]}… ({len(text) - limit} more characters)"


def _is_invisible(character: str) -> bool:
    import unicodedata

    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn")
