"""Blocks as one self-contained HTML page, without external resources. The only script is the page's own, which its
content security policy names by its digest."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2
from markupsafe import Markup

from isobench.layout import blocks, format
from isobench.layout.palette import CYCLE, DARK

if TYPE_CHECKING:
    from isobench.layout.page import Page

_HERE = Path(__file__).parent


def style() -> str:
    """The stylesheet that the report and the site share."""
    dots = f":root {{ --dots: {CYCLE[0]}; }}\n@media screen and (prefers-color-scheme: dark) {{ :root {{ --dots: "
    dots += f"{DARK[CYCLE[0]]}; }} }}\n"
    return _text("style.css") + dots + _text("figures.css")


def shared_script() -> str:
    """The beginning of the report's script and the site's: drawing, numbers as text, the address."""
    return _text("shared.js")


def _script() -> str:
    return shared_script() + _text("explore.js")


def _text(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def lay_out(page: Page) -> str:
    """The whole page as text."""
    script = _script() if page.explorer else ""
    return _template().render(
        title=page.title,
        subtitle=page.subtitle,
        footer=page.footer,
        sections=page.sections,
        explorer=page.explorer,
        css=Markup(style()),
        script=Markup(script),
        digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


@cache
def _template() -> jinja2.Template:
    loader = jinja2.FileSystemLoader(_HERE / "templates")
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters.update(
        spans=blocks.spans, visible=format.visible, data_uri=_data_uri, size=_size, joined=_joined
    )
    return environment.get_template("page.html.j2")


_QUANTITY = re.compile(r"(?<=\d) (?=(?:[nµm]?s|min|h|[KMGT]iB|B|%)(?!\w))")
_INTERVAL = re.compile(r"\[[^\[\] ]+, [^\[\] ]+\]")


def _joined(text: str) -> str:
    """Visible text in which no line ends between a number and its unit, or within an interval."""
    text = _QUANTITY.sub("\N{NO-BREAK SPACE}", format.visible(text))
    return _INTERVAL.sub(lambda found: found[0].replace(" ", "\N{NO-BREAK SPACE}"), text)


def _data_uri(data: bytes, media_type: str) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def _size(length: int) -> str:
    return format.quantity(length, "byte")
