"""Foreign text in tables that spreadsheets open."""

from __future__ import annotations

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def no_formula(text: str) -> str:
    """The text as a cell of a table: with an apostrophe in front where a spreadsheet would take it
    for a formula (CSV injection, CWE-1236)."""
    return f"'{text}" if text.startswith(_FORMULA) else text
