"""The layout of all pages, and the files that they share: a stylesheet (the report's and the site's), the script that
sorts and filters, and for pages with figures uPlot with what draws them. A page is complete without the scripts."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import jinja2

from isobench.layout import format, html

_HERE = Path(__file__).parent

STYLE, SCRIPT = "site.css", "site.js"
CHARTS_STYLE, CHARTS_SCRIPT = "charts.css", "charts.js"


def page(template: str, **values: object) -> str:
    """A page from this template. Everything that comes from results is escaped."""
    return _environment().get_template(f"{template}.html.j2").render(values)


def files() -> dict[str, str]:
    """The files that pages share, by name."""
    return {
        STYLE: html.style() + _text(STYLE),
        SCRIPT: html.shared_script() + _text(SCRIPT),
        CHARTS_STYLE: _uplot("uPlot.min.css") + _text(CHARTS_STYLE),
        CHARTS_SCRIPT: _uplot("uPlot.iife.min.js") + _text(CHARTS_SCRIPT),
    }


def _uplot(name: str) -> str:
    """A file of uPlot with its licence, which every copy has to contain."""
    return f"/*\n{_text('uplot/LICENSE')}*/\n{_text(f'uplot/{name}')}\n"


def _text(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


@cache
def _environment() -> jinja2.Environment:
    loader = jinja2.FileSystemLoader(_HERE / "templates")
    made = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.globals.update(
        count=format.count, style=STYLE, script=SCRIPT, charts_style=CHARTS_STYLE, charts_script=CHARTS_SCRIPT
    )
    return made
