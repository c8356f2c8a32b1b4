"""Elements of drawings: colours, markers, hatches, labels and their legend.

Whatever has a colour of its own (`palette`) has a marker, or a hatch and a letter, of its own too.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from isobench.layout import format
from isobench.layout.palette import CYCLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def colour_of(style: int) -> str:
    return CYCLE[style % len(CYCLE)]


def marker_of(style: int) -> str:
    return _MARKERS[style % len(_MARKERS)]


_MARKERS = "osD^vPXph<>d8*"
HATCHES = ("", "////", "\\\\\\\\", "xxxx", "----", "||||", "++++", "//")
"""Lines only: a hatch of circles makes an SVG of a megabyte."""


_LABEL = 34
"""Characters of a label that a drawing shows."""


def short(label: str, limit: int = _LABEL) -> str:
    words = format.clean(label, 400)
    return words if len(words) <= limit else words[: limit - 1] + "…"


def wrapped(label: str) -> str:
    """A label on two lines at most."""
    lines = textwrap.wrap(short(label, 3 * _LABEL), _LABEL + 4)
    return "\n".join([*lines[:1], short(" ".join(lines[1:]), _LABEL + 4)]) if len(lines) > 1 else "".join(lines)


def legend(axes: Axes, order: Sequence[str] = ()) -> None:
    """Everything with a label, each once, beneath the drawing."""
    handles, labels = axes.get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))
    names = [name for name in order if name in once] or list(once)
    if names:
        columns = min(len(names), 4 if max(map(len, names)) < 22 else 2)
        axes.figure.legend(
            [once[name] for name in names],
            names,
            loc="outside lower center",
            ncols=columns,
            frameon=False,
            handlelength=1.6,
        )
