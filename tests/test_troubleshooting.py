"""docs/troubleshooting.md: the messages on it are those that the code says."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/troubleshooting.md"


def literals() -> str:
    """All text of the sources, with literals that go on in the next line joined."""
    sources = [*(ROOT / "unidet").rglob("*.py"), *(ROOT / "pipelines").rglob("*.py")]
    text = "\n".join(path.read_text() for path in sources)
    return re.sub(r"[\"']\s*\n\s*f?[\"']", "", text)


def test_every_message_is_one_that_the_code_says() -> None:
    rows = re.findall(r"^\| (.+?) \|", PAGE.read_text(), re.MULTILINE)
    quoted = [text for row in rows for text in re.findall(r"`([^`]+)`", row)]
    said = literals()
    absent = [text for text in quoted if text not in said and " " in text]
    assert len(quoted) > 30
    assert absent == []
