"""The commands that the documentation shows, read out of its pages."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))
DOCUMENTS = [*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"]

_INLINE = re.compile(r"`(isobench [a-z][^`\n]*)`")
_BLOCK = re.compile(r"^ *((?:[A-Z_]+=\S+ )*isobench [a-z].*)$", re.MULTILINE)


class Shown(NamedTuple):
    """One command of a page: variables before it, and its words after `isobench`."""

    page: str
    environ: dict[str, str]
    words: list[str]


def commands(page: Path) -> list[Shown]:
    """Every isobench command of a page, in blocks and in the text, in their order; each once."""
    text = page.read_text(encoding="utf-8")
    blocks = "\n".join(re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    indented = "\n".join(line for line in text.splitlines() if line.startswith("    "))
    found = []
    for line in dict.fromkeys([*_BLOCK.findall(f"{blocks}\n{indented}"), *_INLINE.findall(text)]):
        words = shlex.split(line, comments=True)
        at = words.index("isobench")
        found.append(Shown(page.name, dict(word.split("=", 1) for word in words[:at]), words[at + 1 :]))
    return found
