"""Which format lies in a folder, where other tools leave files of their own beside the labels."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from labelled import write_labels, write_pictures

from unidet.data.own_data import read_own
from unidet.errors import UserError
from unidet.formats.labels.recognize import recognize


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "photos")


def test_names_alone_in_json_are_no_labels_of_coco(tmp_path: Path) -> None:
    place = write_labels(tmp_path / "labels", "yolo")
    notes = {"categories": [{"id": 0, "name": "cat"}], "info": {"contributor": "Label Studio"}}
    (place / "notes.json").write_text(json.dumps(notes, indent=2))
    assert recognize(place).format == "yolo"


def test_categories_before_a_long_file_of_coco_are_its_labels(tmp_path: Path) -> None:
    head = '{"categories": [' + " " * (1 << 20)
    (tmp_path / "long.json").write_text(head + '], "images": [], "annotations": []}')
    assert recognize(tmp_path).format == "coco"


def test_labelme_is_known_where_its_image_stands_before_the_shapes(tmp_path: Path) -> None:
    file = {"imageData": "A" * 2_000_000, "imagePath": "a.png", "shapes": []}
    (tmp_path / "a.json").write_text(json.dumps(file))
    assert recognize(tmp_path).format == "labelme"


@pytest.mark.parametrize("word", ["shapes", "result"])
def test_a_category_called_like_a_key_of_another_format_tells_nothing(
    tmp_path: Path, word: str
) -> None:
    """As Roboflow writes the name of the project; and LabelMe's labels."""
    category = {"id": 0, "name": word, "supercategory": "none"}
    (tmp_path / "a.json").write_text(json.dumps({"annotations": [], "categories": [category]}))
    assert recognize(tmp_path).format == "coco"
    (tmp_path / "a.json").write_text(json.dumps({"shapes": [{"label": "images"}, {"label": word}]}))
    assert recognize(tmp_path).format == "labelme"
    (tmp_path / "a.json").write_text(json.dumps([{"name": "data", "title": word}]))
    with pytest.raises(UserError, match="holds no labels of a format that is read"):
        recognize(tmp_path)


@pytest.mark.parametrize("format_name", ["voc", "labelme"])
def test_a_list_of_names_beside_another_format_is_not_yolo(
    tmp_path: Path, format_name: str
) -> None:
    place = write_labels(tmp_path / "labels", format_name)
    (place / "classes.txt").write_text("cat\ndog\n")
    (place / "notiz.txt").write_bytes("grün".encode("latin-1"))
    assert recognize(place).format == format_name


def test_every_format_is_offered_where_there_are_several(tmp_path: Path) -> None:
    place = write_labels(write_labels(tmp_path / "labels", "voc"), "yolo")
    with pytest.raises(UserError, match=r"say which: --format yolo or --format voc$"):
        recognize(place)


def test_text_files_without_names_are_told_what_they_lack(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    (tmp_path / "labels.txt").write_text("cat\ndog\n")
    says = r"need the names of their classes: .* classes\.txt or obj\.names with a name a line"
    with pytest.raises(UserError, match=says):
        recognize(tmp_path)


@pytest.mark.parametrize(("format_name", "suffix"), [("yolo", ".txt"), ("voc", ".xml")])
def test_labels_with_endings_in_capitals_are_read(
    tmp_path: Path, photos: Path, format_name: str, suffix: str
) -> None:
    place = write_labels(tmp_path / "labels", format_name)
    before = read_own(place, photos).documents
    for file in sorted(place.rglob(f"[ab]{suffix}")):
        file.rename(file.with_suffix(suffix.upper()))
    assert read_own(place, photos).documents == before


def test_a_name_of_several_pictures_is_called_so(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        write_pictures(tmp_path / "photos" / folder)
    place = write_labels(tmp_path / "labels", "voc")
    says = "its <filename> must say which image is meant, by its folder: several have that name"
    with pytest.raises(UserError, match=f"{says}.*as of one/a.png, two/a.png"):
        read_own(place, tmp_path / "photos")


@pytest.mark.parametrize("backwards", [False, True])
def test_the_order_in_which_a_disk_lists_files_changes_nothing(
    backwards: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = Path.rglob
    monkeypatch.setattr(
        Path,
        "rglob",
        lambda place, pattern: sorted(listed(place, pattern), reverse=backwards),
    )
    for number in range(99):
        (tmp_path / f"{number:02d}.json").write_text('{"shapes": [], "imagePath": "a.png"}')
    (tmp_path / "99.json").write_text('{"images": [], "annotations": []}')
    assert recognize(tmp_path).format == "labelme"
    assert len(recognize(tmp_path, "labelme").places) == 1
