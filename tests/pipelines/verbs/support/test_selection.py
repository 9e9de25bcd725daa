"""WHAT: how an artefact is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from studies import built

from unidet.config.study import Config

Make = Callable[..., Config]
Command = Callable[..., tuple[int, str]]
Answer = Callable[..., Any]


def test_an_artefact_is_named_by_stage_path_or_digest(
    tiny: Make, tmp_path: Path, answer: Answer
) -> None:
    roi = built(tiny("stage=roi"))["roi"]
    copy = tmp_path / "copy.txt"
    copy.write_bytes((roi.folder / "value").read_bytes())
    (file,) = roi.action.files.values()
    names = ["roi", str(roi.folder), str(roi.folder / "value"), str(copy)]
    digests = [roi.action.output, roi.action.output[:8], roi.action.key[:8], file.sha256[:10]]
    for name in names + digests:
        assert answer("lineage", name)[0]["key"] == roi.action.key, name


def test_a_store_behind_a_link_is_named_by_either_path(tiny: Make, answer: Answer) -> None:
    """Two artefacts hold the same file: only its place tells which one is meant."""
    first = built(tiny("stage=rpn", "rpn.training.steps=4"))["rpn"]
    built(tiny("stage=rpn", "rpn.training.steps=5"))
    (first.folder.parents[1]).rename(place := first.folder.parents[1].with_name("elsewhere"))
    first.folder.parents[1].symlink_to(place)
    moved = place / first.folder.relative_to(first.folder.parents[1])
    for name in (first.folder, moved, moved / "value"):
        assert answer("lineage", str(name))[0]["key"] == first.action.key, name


def test_what_names_nothing_is_one_line(tiny: Make, command: Command, tmp_path: Path) -> None:
    built(tiny("stage=data"))
    for name in ("0123456789", "nonsense", str(tmp_path)):
        status, text = command("lineage", name)
        assert status == 2
        assert "names no artefact" in text
    assert command("lineage", "roi") == (
        2,
        "unidet: roi is not built as configured now; run stage=roi of this study\n",
    )


def test_where_nothing_is_stored_it_is_said(tiny: Make, command: Command, tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text("{}")
    for name in ("0123456789", str(tmp_path / "m.json")):
        status, text = command("lineage", name)
        assert status == 2
        assert f"names no artefact: nothing is stored in {tiny().store.root}; give the" in text
    assert "did you mean 'roi'? give the folder of a store" in command("lineage", "rio")[1]


def test_values_that_were_others_are_named(tiny: Make, command: Command) -> None:
    built(tiny("stage=roi", "rpn.training.steps=8"))
    assert command("lineage", "roi") == (
        2,
        "unidet: roi is not built as configured now (rpn.training.steps was 8, is 3); "
        "run stage=roi of this study\n",
    )
