"""The table of docs/convert.md lists what there is."""

from __future__ import annotations

import re
from pathlib import Path

from unidet.weights.layouts.registry import LAYOUTS

PAGE = Path(__file__).resolve().parents[3] / "docs/convert.md"


def test_every_layout_stands_in_the_table_and_no_other() -> None:
    section = PAGE.read_text().split("## Layouts")[1].split("\n## ")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    listed = [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]
    assert sorted(listed) == sorted(layout.name for layout in LAYOUTS)
