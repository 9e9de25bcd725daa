"""Pascal VOC's lists of parts: where they lie, how they name a file, what they must not say."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from unidet.data.own_data import OwnData, read_own
from unidet.errors import UserError
from unidet.formats.labels.records import Box, Labelled
from unidet.formats.labels.voc import content_of


def year(root: Path, **lists: bytes) -> Path:
    """A year of the devkit: images a to d, a box in each, and lists."""
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    for name in "abcd":
        Image.new("RGB", (20, 10)).save(root / "JPEGImages" / f"{name}.png")
        image = Labelled(f"{name}.png", 20, 10, (Box("cat", (1, 1, 9, 9)),))
        (root / "Annotations" / f"{name}.xml").write_bytes(content_of(image, image.file_name))
    for name, content in lists.items():
        (root / "ImageSets/Main" / f"{name}.txt").write_bytes(content)
    return root


def parts(data: OwnData) -> dict[str, list[str]]:
    return {
        part: [image["file_name"].replace("/JPEGImages/", "/") for image in document["images"]]
        for part, document in sorted(data.documents.items())
    }


def stems(root: Path) -> dict[str, str]:
    named = parts(read_own(root, root)).items()
    return {part: "".join(Path(name).stem for name in names) for part, names in named}


@pytest.mark.parametrize(
    "train",
    [
        b"a\nb\n",
        b"\xef\xbb\xbfa\r\nb",
        b"a  1\nb -1\n",
        b"a.png\nb.png\n",
        b"JPEGImages\\a.png\nVOC/JPEGImages/b.png 0\n",
    ],
    ids=["stems", "mark", "class", "endings", "paths"],
)
def test_a_line_names_its_file_in_every_way(tmp_path: Path, train: bytes) -> None:
    assert stems(year(tmp_path / "VOC", train=train, val=b"c\nd\n")) == {"train": "ab", "val": "cd"}


def test_every_year_of_a_devkit_has_its_own_lists(tmp_path: Path) -> None:
    year(tmp_path / "VOC2007", train=b"a\nb\n", val=b"c\nd\n")
    year(tmp_path / "VOC2012", train=b"d\n", val=b"a\nb\nc\n")
    assert parts(read_own(tmp_path, tmp_path)) == {
        "train": ["VOC2007/a.png", "VOC2007/b.png", "VOC2012/d.png"],
        "val": [
            "VOC2007/c.png",
            "VOC2007/d.png",
            "VOC2012/a.png",
            "VOC2012/b.png",
            "VOC2012/c.png",
        ],
    }


def test_trainval_is_trained_on_where_it_is_not_divided(tmp_path: Path) -> None:
    first = year(tmp_path / "first", trainval=b"a\nb\nc\n", test=b"d\n")
    assert stems(first) == {"train": "abc", "val": "d"}
    second = year(tmp_path / "second", trainval=b"a\nb\nc\n", train=b"a\n", val=b"b\nc\n")
    assert stems(second) == {"train": "a", "val": "bc"}


def test_a_name_without_a_file_is_noted(tmp_path: Path) -> None:
    data = read_own(year(tmp_path / "VOC", train=b"a\nb\ne\n", val=b"c\nd\n"), tmp_path)
    assert "without an XML file: passed over, first" in data.notes[0]
    assert data.notes[0].endswith("train.txt: line 3")


def test_lists_that_share_pictures_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"share images \(1\), first .*Annotations/b\.xml"):
        read_own(year(tmp_path / "VOC", train=b"a\nb\n", val=b"b\nc\n"), tmp_path)


def test_a_list_in_another_encoding_is_one_line(tmp_path: Path) -> None:
    root = year(tmp_path / "VOC", train="a\n".encode("utf-16"), val=b"c\n")
    with pytest.raises(UserError, match=r"train\.txt: must be a text file in UTF-8"):
        read_own(root, root)


def test_an_object_with_several_boxes_is_as_many_objects(tmp_path: Path) -> None:
    """As ybat writes all objects of a name; parts of an object (`<part>`) have boxes of their own.

    Left and top are counted from 1: xmin 3 is x 2.
    """
    Image.new("RGB", (20, 10)).save(tmp_path / "a.png")
    corners = "<xmin>{}</xmin><ymin>2</ymin><xmax>{}</xmax><ymax>9</ymax>"
    boxes = "".join(f"<bndbox>{corners.format(*ends)}</bndbox>" for ends in ((3, 8), (11, 19)))
    part = f"<part><name>head</name><bndbox>{corners.format(4, 5)}</bndbox></part>"
    (tmp_path / "a.xml").write_text(
        f"<annotation><object><name>cat</name>{boxes}{part}</object></annotation>"
    )
    data = read_own(tmp_path, tmp_path)
    (document,) = data.documents.values()
    assert [entry["bbox"] for entry in document["annotations"]] == [[2, 1, 6, 8], [10, 1, 9, 8]]
    (note,) = (note for note in data.notes if "<bndbox>" in note)
    assert note.startswith("1 × <object> with several <bndbox>: each is read as an object, first ")
