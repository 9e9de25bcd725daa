"""Jinja's environment: templates, style and script of the page, and filters for numbers.

All values are escaped except `Markup`: the SVG of our charts, which escape their inputs.
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
"""Heading of a study's page; in copies the study's name follows it."""
PROVENANCE = "<!-- unidet: provenance -->"
"""Placeholder for the provenance in copies of the page; escaped text cannot contain it."""


def render(template: str, **context: Any) -> str:
    """Renders a template as one page, which loads nothing else."""
    return _environment().get_template(template).render(**context)


@cache
def _environment() -> Environment:
    # Imported here: a run whose artefacts are all cached renders nothing.
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
        # Nothing is fetched, and only the page's own script runs, whatever names contain.
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
    """Replaces control characters in text, which HTML does not allow."""
    return plain(value) if type(value) is str else value


def number(value: Number) -> str:
    """A number with three decimals; a dash if undefined."""
    return DASH if value is None else f"{value:.3f}"


def signed(value: Number) -> str:
    """A difference with its sign; a dash if undefined."""
    return DASH if value is None else f"{value:+.3f}".replace("-", "−")


def count(value: int | None) -> str:
    """A count with thousands separators; a dash if undefined."""
    return DASH if value is None else f"{value:,}"


def percent(value: Number) -> str:
    """A fraction as a percentage without decimals; a dash if undefined."""
    return DASH if value is None else f"{100 * value:.0f} %"
