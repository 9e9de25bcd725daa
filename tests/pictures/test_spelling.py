"""No output replaces another where a disk takes their names for one."""

from __future__ import annotations

from pathlib import Path

import pytest

from unidet.errors import UserError
from unidet.pictures import spelling
from unidet.pictures.spelling import require_told_apart, tells_apart


@pytest.mark.parametrize(
    ("one", "other"), [("a.png", "A.png"), ("x/a", "X/A"), ("e\u0301.txt", "\u00e9.txt")]
)
def test_names_that_are_one_on_this_disk_are_refused(
    one: str, other: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spelling, "tells_apart", lambda folder: False)
    require_told_apart(tmp_path / "new", ["b.png", one])
    with pytest.raises(UserError, match=r"takes .* for one name"):
        require_told_apart(tmp_path / "new", ["b.png", one, other])
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_tells_them_apart_takes_them(tmp_path: Path) -> None:
    if not tells_apart(tmp_path):
        pytest.skip("this disk does not")
    require_told_apart(tmp_path, ["a.png", "A.png"])
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_does_not_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As seen on one: what is opened under another spelling is the same file."""
    touch = Path.touch
    monkeypatch.setattr(Path, "touch", lambda self: touch(self.with_name(self.name.lower())))
    assert not tells_apart(tmp_path)
