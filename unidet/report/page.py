"""One self-contained HTML page: tables and pictures inside, nothing beside it."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import pandas as pd
from PIL import Image

from unidet.records import UNDEFINED

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
       color: #1c1c1c; }
h1 { font-size: 1.7rem; } h2 { margin-top: 2.2rem; border-bottom: 1px solid #ddd; }
table { border-collapse: collapse; margin: 0.8rem 0; font-size: 0.9rem; }
th, td { padding: 0.2rem 0.8rem; text-align: right; border-bottom: 1px solid #eee; }
th:first-child, td:first-child { text-align: left; }
img { max-width: 100%; } figure { margin: 1rem 0; } figcaption { color: #555; font-size: 0.9rem; }
code { background: #f4f4f4; padding: 0 0.2rem; }
"""


def _decimals(value: float) -> str:
    return "–" if value == UNDEFINED else f"{value:.3f}"


@dataclass
class Page:
    """Collects sections in order; `html()` gives the whole page."""

    title: str
    _parts: list[str] = field(default_factory=list)

    def heading(self, text: str) -> None:
        self._parts.append(f"<h2>{escape(text)}</h2>")

    def paragraph(self, text: str) -> None:
        self._parts.append(f"<p>{escape(text)}</p>")

    def table(self, table: pd.DataFrame) -> None:
        """Numbers with three decimals; missing and undefined ones as a dash."""
        html = table.to_html(index=False, border=0, float_format=_decimals, na_rep="–")
        self._parts.append(html)

    def picture(self, picture: Image.Image | Path, caption: str) -> None:
        """A PIL picture (stored as JPEG) or a PNG file."""
        if isinstance(picture, Path):
            data, kind = picture.read_bytes(), "png"
        else:
            buffer = io.BytesIO()
            picture.convert("RGB").save(buffer, "JPEG", quality=88)
            data, kind = buffer.getvalue(), "jpeg"
        source = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
        text = escape(caption)
        self._parts.append(
            f'<figure><img src="{source}" alt="{text}"><figcaption>{text}</figcaption></figure>'
        )

    def html(self) -> str:
        title = escape(self.title)
        body = "\n".join(self._parts)
        return (
            f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
            f"<style>{_STYLE}</style></head>\n<body><h1>{title}</h1>\n{body}\n</body></html>\n"
        )
