"""README.zh-CN.md has the content of README.md: what needs no translation is the same."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ENGLISH, CHINESE = ((ROOT / name).read_text() for name in ("README.md", "README.zh-CN.md"))
OTHER = {"README.md", "README.zh-CN.md"}
"""Each links to the other."""


def blocks(text: str) -> list[str]:
    """Blocks of code, without what their comments say."""
    found = re.findall(r"^```.*?^```", text, re.MULTILINE | re.DOTALL)
    return [re.sub(r" +#.*", "", block) for block in found]


def links(text: str) -> Counter[str]:
    """Targets of links; headings of the page itself are translated and only counted."""
    targets = [re.sub(r"^#.*", "#", target) for target in re.findall(r"\]\((\S+?)\)", text)]
    return Counter(target for target in targets if target not in OTHER)


def code(text: str) -> Counter[str]:
    """Code within sentences and tables, however its lines are broken."""
    bare = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return Counter(" ".join(span.split()) for span in re.findall(r"`([^`]+)`", bare))


def figures(text: str) -> Counter[str]:
    """Numbers with a decimal point, and those of three digits and more."""
    return Counter(re.findall(r"\d*\.\d+|\d{3,}", text))


def rows(text: str) -> list[int]:
    """Rows of each table."""
    tables = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    return [table.count("\n") for table in tables]


@pytest.mark.parametrize("content", [blocks, links, code, figures, rows])
def test_both_have_the_same(content: object) -> None:
    assert callable(content)
    assert content(CHINESE) == content(ENGLISH)


def test_both_have_as_many_headings() -> None:
    levels = [re.findall(r"^#+(?= )", text, re.MULTILINE) for text in (ENGLISH, CHINESE)]
    assert levels[0] == levels[1]
