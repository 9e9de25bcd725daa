"""What a file may mean in two ways: which image, which flag, which encoding, which size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from labelled import BOXES, LABELS, write_labels, write_pictures

from unidet.data.own_data import read_own, reader_of
from unidet.errors import UserError
from unidet.formats.labels.records import Box, Labelled, Labels, RecordFault
from unidet.formats.names import CLEANED


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "photos")


def edited(folder: Path, format_name: str, name: str, *edits: tuple[str, str]) -> Path:
    """The labels of a format with these replacements in one file."""
    place = write_labels(folder / "labels", format_name)
    text = (place / name).read_text()
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    (place / name).write_text(text)
    return place


def annotations(place: Path, photos: Path, format_name: str) -> list[dict[str, Any]]:
    (document,) = read_own(place, photos, format_name).documents.values()
    return document["annotations"]


# --- which image -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("format_name", "name", "edit"),
    [
        ("voc", "b.xml", ("b.png", "a.png")),
        ("labelme", "b.json", ('"b.png"', '"a.png"')),
    ],
)
def test_a_stale_name_of_the_picture_is_refused(
    tmp_path: Path, photos: Path, format_name: str, name: str, edit: tuple[str, str]
) -> None:
    place = edited(tmp_path, format_name, name, edit)
    with pytest.raises(UserError, match=r"must mean one image.*got a\.png and in/b\.png"):
        read_own(place, photos)


@pytest.mark.parametrize(
    ("format_name", "name", "edit"),
    [
        ("voc", "c.xml", ("b.png", "a.png")),
        ("labelme", "c.json", ('"b.png"', '"a.png"')),
        ("cvat", "annotations.xml", ("in/b.png", "a.png")),
        ("labelstudio", "export.json", ("photos/in/b.png", "a.png")),
    ],
)
def test_two_records_of_one_picture_are_refused(
    tmp_path: Path, photos: Path, format_name: str, name: str, edit: tuple[str, str]
) -> None:
    place = write_labels(tmp_path / "labels", format_name)
    if name.startswith("c."):
        (place / name.replace("c.", "b.")).rename(place / name)
    text = (place / name).read_text()
    (place / name).write_text(text.replace(*edit))
    with pytest.raises(UserError, match=r"only labels of its image.*a\.png, which .* labels too"):
        read_own(place, photos)


def test_a_picture_of_two_parts_is_refused(tmp_path: Path, photos: Path) -> None:
    place = write_labels(tmp_path / "labels", "openimages")
    table = (place / "annotations-bbox.csv").read_text()
    (place / "annotations-bbox.csv").rename(place / "train-annotations-bbox.csv")
    (place / "validation-annotations-bbox.csv").write_text(table)
    with pytest.raises(
        UserError, match=r"line 2: .*one part alone, got a\.png in train and in val"
    ):
        read_own(place, photos)


@pytest.mark.parametrize("format_name", ["yolo", "voc", "labelme", "openimages"])
def test_two_pictures_of_one_file_are_not_written(tmp_path: Path, format_name: str) -> None:
    images = [Labelled(name, 10, 10, (Box("cat", (1, 1, 2, 2)),)) for name in ("a.jpg", "a.png")]
    with pytest.raises(UserError, match=r"a\.jpg and a\.png: would both be a in this format"):
        reader_of(format_name).write(Labels(("cat",), tuple(images)), tmp_path, tmp_path)
    assert not [*tmp_path.iterdir()]


def test_folders_in_names_of_voc_are_told_apart(tmp_path: Path) -> None:
    images = [Labelled(name, 10, 10, ()) for name in ("s/b.jpg", "s__b.jpg")]
    with pytest.raises(UserError, match=r"s/b\.jpg and s__b\.jpg: would both be s__b in"):
        reader_of("voc").write(Labels(("cat",), tuple(images)), tmp_path, tmp_path)


# --- which flag --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "is_crowd"),
    [("True", 1), ("true", 1), ("1.0", 1), ("1", 1), ("yes", 1), ("0", 0), ("False", 0), ("", 0)],
)
def test_flags_are_read_in_every_spelling(
    tmp_path: Path, photos: Path, word: str, is_crowd: int
) -> None:
    edit = ("<difficult>0<", f"<difficult>{word}<")
    boxes = annotations(edited(tmp_path / "v", "voc", "a.xml", edit), photos, "voc")
    assert [box["iscrowd"] for box in boxes] == [0, is_crowd, 0]
    edit = ("0.25,0.75,0", f"0.25,0.75,{word}")
    place = edited(tmp_path / "o", "openimages", "annotations-bbox.csv", edit)
    boxes = annotations(place, photos, "openimages")
    assert [box["iscrowd"] for box in boxes] == [is_crowd, 0, 0]


def test_a_difficult_shape_of_x_anylabeling_is_a_crowd(tmp_path: Path, photos: Path) -> None:
    edit = ('"label": "cat"', '"difficult": true, "label": "cat"')
    boxes = annotations(edited(tmp_path, "labelme", "a.json", edit), photos, "labelme")
    assert [box["iscrowd"] for box in boxes] == [1, 0, 0]


@pytest.mark.parametrize(
    ("format_name", "name", "edit"),
    [
        ("voc", "a.xml", ("<difficult>0<", "<difficult>maybe<")),
        ("openimages", "annotations-bbox.csv", ("0.25,0.75,0", "0.25,0.75,maybe")),
    ],
)
def test_other_flags_are_refused(
    tmp_path: Path, photos: Path, format_name: str, name: str, edit: tuple[str, str]
) -> None:
    place = edited(tmp_path, format_name, name, edit)
    with pytest.raises(UserError, match="must be 1 or 0, true or false, yes or no, got 'maybe'"):
        read_own(place, photos)


# --- turned ellipses ---------------------------------------------------------------------------


def test_a_turned_ellipse_has_the_upright_box_around_it(tmp_path: Path, photos: Path) -> None:
    """CVAT: radii 10 and 5 around (15, 15), turned by 90 degrees. Label Studio: 10 and 5 pixels."""
    edit = ('ry="10"', 'ry="5" rotation="90"')
    place = edited(tmp_path / "c", "cvat", "annotations.xml", edit)
    assert annotations(place, photos, "cvat")[2]["bbox"] == pytest.approx([10, 5, 10, 20])
    edit = ('"radiusY": 25', '"radiusY": 12.5, "rotation": 90')
    place = edited(tmp_path / "l", "labelstudio", "export.json", edit)
    assert annotations(place, photos, "labelstudio")[2]["bbox"] == pytest.approx([10, 5, 10, 20])


# --- encodings and sizes -----------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["GB2312", "shift_jis"])
def test_xml_is_read_in_the_encoding_it_declares(
    tmp_path: Path, photos: Path, encoding: str
) -> None:
    place = write_labels(tmp_path / "labels", "voc")
    text = (place / "a.xml").read_text().replace("cat", "\u732b")
    content = f'<?xml version="1.0" encoding="{encoding}"?>\n{text}'.encode(encoding)
    (place / "a.xml").write_bytes(content)
    (document,) = read_own(place, photos).documents.values()
    assert "\u732b" in [entry["name"] for entry in document["categories"]]


@pytest.mark.parametrize(("format_name", "name"), [("voc", "a.xml"), ("cvat", "annotations.xml")])
def test_an_unknown_encoding_is_one_line(
    tmp_path: Path, photos: Path, format_name: str, name: str
) -> None:
    place = write_labels(tmp_path / "labels", format_name)
    bare = (place / name).read_text().removeprefix('<?xml version="1.0" encoding="utf-8"?>')
    (place / name).write_text(f'<?xml version="1.0" encoding="foo"?>{bare}')
    with pytest.raises(UserError, match=r"in the encoding it declares .unknown encoding: foo"):
        read_own(place, photos)


@pytest.mark.parametrize(
    ("format_name", "name", "edits"),
    [
        ("voc", "a.xml", (("<width>100</width><height>80</height><depth>3</depth>", ""),)),
        ("voc", "a.xml", (("<width>100<", "<width>0<"), ("<height>80<", "<height>0<"))),
        ("labelme", "a.json", (('"imageHeight": 80, "imageWidth": 100', '"imageHeight": null'),)),
    ],
)
def test_a_size_that_is_left_out_is_the_pictures(
    tmp_path: Path, photos: Path, format_name: str, name: str, edits: tuple[tuple[str, str], ...]
) -> None:
    place = edited(tmp_path, format_name, name, *edits)
    (document,) = read_own(place, photos).documents.values()
    assert (document["images"][0]["width"], document["images"][0]["height"]) == (100, 80)


def test_tables_with_a_byte_order_mark_are_read(tmp_path: Path, photos: Path) -> None:
    place = write_labels(tmp_path / "labels", "openimages")
    for name, content in LABELS["openimages"].items():
        (place / name).write_text(f"\ufeff{content}")
    (document,) = read_own(place, photos).documents.values()
    assert [entry["name"] for entry in document["categories"]] == ["cat", "dog"]
    assert len(document["annotations"]) == sum(map(len, BOXES.values()))


def test_a_code_has_one_name_in_all_descriptions(tmp_path: Path, photos: Path) -> None:
    place = write_labels(tmp_path / "labels", "openimages")
    first = (place / "class-descriptions-boxable.csv").read_text()
    (place / "class-descriptions.csv").write_text(f"{first}\n/m/0unused,a\n/m/0unused,b\n")
    assert len(read_own(place, photos).documents) == 1
    (place / "class-descriptions.csv").write_text(first.replace(",cat", ",lynx"))
    with pytest.raises(UserError, match=r"must have one name in all .*got \['cat', 'lynx'\]"):
        read_own(place, photos)


def test_the_names_of_a_challenge_are_read(tmp_path: Path, photos: Path) -> None:
    """Its tables have no Source and Confidence, its list of names has a number in each line."""
    place = write_labels(tmp_path / "labels", "openimages")
    boxes = (place / "annotations-bbox.csv").read_text().splitlines()
    fields = [line.split(",") for line in boxes]
    (place / "annotations-bbox.csv").unlink()
    (place / "challenge-2019-validation-detection-bbox.csv").write_text(
        "".join(",".join([line[0], line[2], *line[4:]]) + "\n" for line in fields)
    )
    (place / "class-descriptions-boxable.csv").unlink()
    (place / "challenge-2019-classes-description-500.csv").write_text(
        "/m/01yrx,cat,1\n/m/0bt9lr,dog,2\n"
    )
    data = read_own(place, photos)
    (document,) = data.documents.values()
    assert [entry["name"] for entry in document["categories"]] == ["cat", "dog"]
    assert len(document["annotations"]) == sum(map(len, BOXES.values()))
    assert not data.notes


def test_descriptions_in_another_encoding_are_one_line(tmp_path: Path, photos: Path) -> None:
    place = write_labels(tmp_path / "labels", "openimages")
    (place / "class-descriptions-boxable.csv").write_bytes("a,b".encode("utf-16"))
    with pytest.raises(UserError, match="must be a text file in UTF-8"):
        read_own(place, photos)


def test_a_broken_file_of_labelme_is_the_fault_of_a_record(tmp_path: Path, photos: Path) -> None:
    """So `data check` reads the others."""
    place = write_labels(tmp_path / "labels", "labelme")
    (place / "b.json").write_text("{")
    faults: list[RecordFault] = []
    (document,) = read_own(place, photos, "labelme", faults.append).documents.values()
    assert [image["file_name"] for image in document["images"]] == ["a.png"]
    assert [fault.where for fault in faults] == [str(place / "b.json")]


# --- COCO's records as they are read -----------------------------------------------------------


def coco(folder: Path, **changes: Any) -> Path:
    """COCO's labels with changes of the first annotation."""
    place = write_labels(folder / "labels", "coco") / "labels.json"
    content = json.loads(place.read_text())
    content["annotations"][0] |= changes
    place.write_text(json.dumps(content))
    return place


@pytest.mark.parametrize(
    ("changes", "flags"),
    [
        ({"iscrowd": "0"}, {"iscrowd": 0}),
        ({"crowd": 1}, {"iscrowd": 1}),
        ({"iscrowd": True}, {"iscrowd": 1}),
        ({"ignore": "1"}, {"ignore": 1}),
    ],
)
def test_flags_of_coco_are_what_is_read(
    tmp_path: Path, photos: Path, changes: dict[str, Any], flags: dict[str, int]
) -> None:
    record = annotations(coco(tmp_path, **changes), photos, "coco")[0]
    assert {key: record[key] for key in ("iscrowd", "ignore") if key in record} == flags


def test_names_of_coco_are_what_is_read(tmp_path: Path, photos: Path) -> None:
    place = coco(tmp_path)
    place.write_text(place.read_text().replace('"cat"', '"c\\u0007at"'))
    (document,) = read_own(place, photos).documents.values()
    assert document["categories"][0]["name"] == "c at"


# --- which name --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("format_name", "name", "edits"),
    [
        ("yolo", "data.yaml", [("[cat, dog]", '["c\\n\\x07at", dog]')]),
        ("voc", "a.xml", [("<name>cat", "<name>c\n&#9;at")]),
        ("labelme", "a.json", [('"cat"', '"c\\n\\u0007at"')]),
        ("labelstudio", "export.json", [('"cat"', '"c\\n\\u0007at"')]),
    ],
)
def test_control_characters_in_names_become_spaces(
    tmp_path: Path, photos: Path, format_name: str, name: str, edits: list[tuple[str, str]]
) -> None:
    """As in files of COCO: what is read in one line of a table stays there."""
    place = edited(tmp_path, format_name, name, *edits)
    data = read_own(place, photos, format_name)
    (document,) = data.documents.values()
    assert "c  at" in {category["name"] for category in document["categories"]}
    assert any(CLEANED in note for note in data.notes)


def test_a_name_of_control_characters_alone_is_refused(tmp_path: Path, photos: Path) -> None:
    place = edited(tmp_path, "labelme", "a.json", ('"cat"', '"\\u0007"'))
    with pytest.raises(UserError, match="the name of a category must be a non-empty text"):
        read_own(place, photos)


# --- which column ------------------------------------------------------------------------------


@pytest.mark.parametrize(("mark", "what"), [(";", "semicolons"), ("\t", "tabs")])
def test_a_table_with_other_separators_is_told(
    tmp_path: Path, photos: Path, mark: str, what: str
) -> None:
    place = edited(tmp_path, "openimages", "annotations-bbox.csv", (",", mark))
    for where in (place, place / "annotations-bbox.csv"):
        with pytest.raises(UserError, match=f"has {what} between its columns; .* save it so"):
            read_own(where, photos)


# --- hidden files ------------------------------------------------------------------------------

APPLE_DOUBLE = b"\0\5\26\7\0\2\0\0Mac OS X        " + bytes(64)


@pytest.mark.parametrize("format_name", [*LABELS])
def test_hidden_files_among_labels_are_passed_over(
    tmp_path: Path, photos: Path, format_name: str
) -> None:
    """As macOS leaves them on drives of other systems, and Jupyter where a file was opened."""
    place = write_labels(tmp_path / "labels", format_name)
    alone = read_own(place, photos, format_name)
    for file in [file for file in place.rglob("*") if file.is_file()]:
        file.with_name(f"._{file.name}").write_bytes(APPLE_DOUBLE)
        copies = file.parent / ".ipynb_checkpoints"
        copies.mkdir(exist_ok=True)
        (copies / f"{file.stem}-checkpoint{file.suffix}").write_bytes(file.read_bytes())
    assert read_own(place, photos) == alone


@pytest.mark.parametrize("format_name", [*LABELS])
def test_folders_with_names_of_labels_are_passed_over(
    tmp_path: Path, photos: Path, format_name: str
) -> None:
    place = write_labels(tmp_path / "labels", format_name)
    alone = read_own(place, photos, format_name)
    for file in [file for file in place.rglob("*") if file.is_file()]:
        file.with_name(f"0{file.name}").mkdir()
    assert read_own(place, photos) == alone
