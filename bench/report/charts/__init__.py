"""The drawings: data in, SVG out. The only importer of matplotlib, which is imported when a picture is looked at."""

from isobench.report.charts.bars import Bar, Step, stacked, waterfall
from isobench.report.charts.intervals import Interval, Panel, dots, forest, panels
from isobench.report.charts.series import Change, Series, ecdf, history, points

__all__ = [
    "Bar",
    "Change",
    "Interval",
    "Panel",
    "Series",
    "Step",
    "dots",
    "ecdf",
    "forest",
    "history",
    "panels",
    "points",
    "stacked",
    "waterfall",
]
