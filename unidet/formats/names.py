"""Names of categories and files, as they read."""

from __future__ import annotations

import re
import unicodedata

CLEANED = "control characters or outer spaces taken out of a category's name"
"""The remark on names that `plain` changes."""

_UPLOADED = re.compile(r"^[0-9a-f]{8}-")


def without_upload_mark(name: str) -> str:
    """A file name without what Label Studio puts before the names of uploaded files."""
    return _UPLOADED.sub("", name)


def composed(name: str) -> str:
    """With its accents composed (NFC), as only some systems write them."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def plain(name: str) -> str:
    """Line breaks and the like become spaces: they end lines in messages, tables and figures.

    Spaces at either end go, which nobody sees. Empty where nothing else is left.
    """
    if name.isprintable():
        return name.strip()
    kinds = {"Cc", "Cs", "Zl", "Zp"}
    return "".join(" " if unicodedata.category(c) in kinds else c for c in name).strip()
