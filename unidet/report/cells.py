"""Foreign text in tables that spreadsheets open and terminals print."""

from __future__ import annotations

import re

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def harmless(text: str) -> str:
    """The text as a cell of a table: with an apostrophe in front where a spreadsheet would take it
    for a formula (CSV injection, CWE-1236), and without a terminal's control codes."""
    text = _CONTROL.sub("?", text)
    return f"'{text}" if text.startswith(_FORMULA) else text
