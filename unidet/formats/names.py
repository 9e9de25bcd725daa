"""Names of categories and files, as they read."""

from __future__ import annotations

import re
import unicodedata

CLEANED = "control characters or outer spaces taken out of a category's name"
"""The remark on names that `plain` changes."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_UPLOADED = re.compile(r"^[0-9a-f]{8}-")


def without_upload_mark(name: str) -> str:
    """A file name without what Label Studio puts before the names of uploaded files."""
    return _UPLOADED.sub("", name)


def composed(name: str) -> str:
    """With its accents composed (NFC), as only some systems write them."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def no_formula(text: str) -> str:
    """The text as a cell of a table: with an apostrophe in front where a spreadsheet would take it
    for a formula (CSV injection, CWE-1236)."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def plain(name: str) -> str:
    """Line breaks and the like become spaces: they end lines in messages, tables and figures.

    Spaces at either end go, which nobody sees. Empty where nothing else is left.
    """
    if name.isprintable():
        return name.strip()
    kinds = {"Cc", "Cs", "Zl", "Zp"}
    return "".join(" " if unicodedata.category(c) in kinds else c for c in name).strip()
