"""An empty drawing in this report's style, and its SVG: the same bytes for the same data.

Text stays text in the SVG. Each drawing is made once; its dark variant only has other colours.
"""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Callable
from functools import cache, wraps
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ParamSpec, TypeAlias

from isobench.layout.blocks import Picture
from isobench.layout.palette import DARK, FAINT, GRID, INK, PAPER
from isobench.report.charts.svg import compact

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH = 7.6
"""Inches; a hundred points of SVG to the inch and a bit, as wide as the page's text."""

_Wanted = ParamSpec("_Wanted")
Drawn: TypeAlias = tuple[str, str]
"""An SVG for a light page and one for a dark page."""


def on_demand(draw: Callable[_Wanted, Drawn]) -> Callable[_Wanted, Picture]:
    """A drawing that is made when its picture is looked at."""

    @wraps(draw)
    def picture(*args: _Wanted.args, **kwargs: _Wanted.kwargs) -> Picture:
        return Picture(lambda: draw(*args, **kwargs))

    return picture


def empty(height: float) -> tuple[Figure, Axes]:
    """A drawing of one part, so many inches high."""
    figure = empty_figure(height)
    axes = figure.add_subplot()
    tidy(axes)
    return figure, axes


def empty_figure(height: float) -> Figure:
    """A drawing of several parts."""
    _set_up()
    from matplotlib.figure import Figure as MplFigure

    return MplFigure(figsize=(_WIDTH, min(height, 40.0)), layout="constrained")


def tidy(axes: Axes) -> None:
    """Without a frame, and with a grid across."""
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)


@cache
def _set_up() -> None:
    """matplotlib with its own defaults and our style, whatever a matplotlibrc or a notebook's MPLBACKEND says.

    It first reads the folder that it is imported in, so that it is imported in the one that has its defaults.
    """
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # no warning about a home folder that is not writable
    set_by_user = {name: os.environ.pop(name) for name in ("MPLBACKEND", "MATPLOTLIBRC") if name in os.environ}
    spec = find_spec("matplotlib")
    places = [f"{folder}/mpl-data" for folder in (spec.submodule_search_locations or () if spec else ())]
    here = os.open(".", os.O_PATH | os.O_DIRECTORY)
    try:
        os.chdir(next(filter(os.path.isdir, places), "/"))
        import matplotlib as mpl
    finally:
        os.fchdir(here)
        os.close(here)
        os.environ.update(set_by_user)
    mpl.rcdefaults()
    mpl.rcParams.update(_STYLE)


_STYLE: dict[Any, Any] = {
    "svg.hashsalt": "isobench",
    "svg.fonttype": "none",
    "text.parse_math": False,
    "text.usetex": False,
    "axes.unicode_minus": True,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Liberation Sans", "Arial"],
    "font.size": 8.5,
    "hatch.linewidth": 0.6,
    "hatch.color": PAPER,
    "text.color": INK,
    "axes.labelcolor": FAINT,
    "axes.edgecolor": FAINT,
    "xtick.color": FAINT,
    "ytick.color": INK,
    "axes.linewidth": 0.7,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
}


def svg(figure: Figure) -> Drawn:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    light = buffer.getvalue()
    light = compact(light[light.index("<svg") :].replace("'DejaVu Sans'", "system-ui, 'DejaVu Sans'"))
    dark = light
    for colour, instead in DARK.items():
        dark = dark.replace(colour, instead)
    return light, dark
