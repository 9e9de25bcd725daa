"""Pages of somebody's own, which may be hostile."""

from __future__ import annotations

from pathlib import Path

import pytest

from unidet.config.compose import compose
from unidet.config.pages import check_aliases
from unidet.errors import UserError


def nested(levels: int) -> str:
    """Aliases of aliases: twice as many values a line."""
    lines = [f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, levels)]
    lines.insert(0, "a0: &a0 [1, 2, 3]")
    return "\n".join(lines)


@pytest.mark.parametrize("levels", [16, 30, 600])
def test_aliases_of_aliases_are_not_replaced(tmp_path: Path, levels: int) -> None:
    """A page of some twenty such lines took minutes."""
    page = tmp_path / "experiment" / "study.yaml"
    page.parent.mkdir()
    page.write_text(nested(levels))
    with pytest.raises(UserError, match=r"study\.yaml: its aliases .* more than 20000"):
        compose([f"hydra.searchpath=['{tmp_path}']", "experiment=study"])


@pytest.mark.parametrize(
    "text",
    ["", "a: &a 1\nb: *a", "a: &a [*a]", "a: *b &c", "x: '&*'", nested(3)],
    ids=["empty", "alias", "itself", "unknown", "text", "some"],
)
def test_other_pages_are_left_to_hydra(tmp_path: Path, text: str) -> None:
    (tmp_path / "page.yaml").write_text(text)
    check_aliases([tmp_path, tmp_path / "nowhere"])
