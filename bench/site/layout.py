"""The layout of all pages, and their two shared files: a stylesheet (the report's and the site's) and the script that
sorts, filters and responds to the mouse. A page is complete without the script."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import jinja2

from isobench.layout import format, html

_HERE = Path(__file__).parent

STYLE, SCRIPT = "site.css", "site.js"


def page(template: str, **values: object) -> str:
    """A page from this template. Everything that comes from results is escaped."""
    return _environment().get_template(f"{template}.html.j2").render(values)


def files() -> dict[str, str]:
    """The files that all pages share, by name."""
    return {STYLE: html.style() + _text(STYLE), SCRIPT: html.shared_script() + _text(SCRIPT)}


def _text(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


@cache
def _environment() -> jinja2.Environment:
    loader = jinja2.FileSystemLoader(_HERE / "templates")
    made = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.globals.update(count=format.count, style=STYLE, script=SCRIPT)
    return made
