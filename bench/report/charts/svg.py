"""Shrinks drawings by half: removes invisible parts of matplotlib's SVG."""

from __future__ import annotations

import re

_NOT_SEEN = re.compile(r"<metadata>.*?</metadata>|<!--.*?-->|(?<=>)\s+(?=<)", re.DOTALL)
_TAG = re.compile(r"<[a-zA-Z][^>]*>")
_NUMBER = re.compile(r"-?\d+\.\d{3,}(?!\d*e)")
_FONT = re.compile(r"font-family: ([^;\"]*);? ?")


def compact(svg: str) -> str:
    """The same drawing with hundredths of a point instead of millionths, the font named once, and no names of
    groups."""
    fonts = _FONT.search(svg)
    svg = _TAG.sub(lambda tag: _shorter(tag[0]), _NOT_SEEN.sub("", svg))
    return svg.replace("</style>", f"text{{font-family:{fonts[1]}}}</style>", 1) if fonts else svg


def _shorter(tag: str) -> str:
    """Shorten one opening tag. Only attributes change, never the text of the drawing."""
    tag = _NUMBER.sub(lambda number: f"{float(number[0]):.2f}".rstrip("0").rstrip("."), " ".join(tag.split()))
    tag = re.sub(r' transform="rotate\(-0 [^)]*\)"|(?<=<g) id="[^"]*"', "", _FONT.sub("", tag))
    return tag.replace("; ", ";").replace(": ", ":")
