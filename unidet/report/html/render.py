"""Jinja's environment: templates, style and script of the page, numbers as text.

Everything is escaped but what is `Markup`: SVG of our own charts, which escape what they are given.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from unidet.report.charts.svg import plain
from unidet.report.study import Number

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parents[1] / "templates"
DASH = "–"
TITLE = "Detection study"
"""Heading of the page of one study, whose copies have the study's name behind it."""
PROVENANCE = "<!-- unidet: provenance -->"
"""Where a copy of the page says who made its artefacts; no text that is escaped holds it."""


def render(template: str, **context: Any) -> str:
    """The page that a template makes: one file, which asks for nothing else."""
    return _environment().get_template(template).render(**context)


@cache
def _environment() -> Environment:
    # Imported here: a run of what is cached renders nothing.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_on_one_line,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = (TEMPLATES / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment.globals |= {
        "style": Markup((TEMPLATES / "page.css").read_text(encoding="utf-8")),
        "script": Markup(script),
        # Nothing is fetched, and no script runs but the page's own, whatever a name contains.
        "policy": "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'",
    }
    environment.filters |= {
        "number": number,
        "count": count,
        "signed": signed,
        "percent": percent,
        "markup": Markup,
    }
    return environment


def _on_one_line(value: Any) -> Any:
    """Text of others without control characters, which HTML does not know."""
    return plain(value) if type(value) is str else value


def number(value: Number) -> str:
    """With three decimals; a dash where it is undefined."""
    return DASH if value is None else f"{value:.3f}"


def signed(value: Number) -> str:
    """A difference with its sign; a dash where it is undefined."""
    return DASH if value is None else f"{value:+.3f}".replace("-", "−")


def count(value: int | None) -> str:
    """With commas; a dash where it is undefined."""
    return DASH if value is None else f"{value:,}"


def percent(value: Number) -> str:
    """A fraction as percent without decimals."""
    return DASH if value is None else f"{100 * value:.0f} %"
