"""What exports of real tools hold besides boxes: outlines, turned boxes, groups, other files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from labelled import CVAT, LABELSTUDIO, write_labels, write_pictures

from unidet.data.own_data import OwnData, read_own
from unidet.errors import UserError
from unidet.formats.labels.recognize import recognize

Quad = tuple[float, float, float, float]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "photos")


def boxes(data: OwnData, row: int = 0) -> list[tuple[str, Quad]]:
    """Names and boxes, xyxy to a thousandth, of an image."""
    (document,) = data.documents.values()
    names = {entry["id"]: entry["name"] for entry in document["categories"]}
    found = []
    for record in document["annotations"]:
        if record["image_id"] == document["images"][row]["id"]:
            x, y, w, h = record["bbox"]
            corners = (x, y, x + w, y + h)
            found.append((names[record["category_id"]], tuple(round(c, 3) for c in corners)))
    return found  # type: ignore[return-value]


def noted(data: OwnData, what: str) -> list[str]:
    return [note for note in data.notes if what in note]


# --- Pascal VOC ----------------------------------------------------------------------------------

BOUNDS = "<bndbox><xmin>11</xmin><ymin>21</ymin><xmax>50</xmax><ymax>40</ymax></bndbox>"


def voc(folder: Path, *objects: str) -> Path:
    place = folder / "labels"
    place.mkdir()
    inner = "".join(f"<object><name>cat</name>{text}</object>" for text in objects)
    (place / "a.xml").write_text(f"<annotation><filename>a.png</filename>{inner}</annotation>")
    return place


@pytest.mark.parametrize(
    ("text", "box", "note"),
    [
        (
            "<polygon><x1>10</x1><y1>20</y1><x2>50.5</x2><y2>20</y2><x3>50</x3><y3>60</y3></polygon>",
            (10, 20, 50.5, 60),
            "<polygon> alone",
        ),
        (
            "<deleted>0</deleted><polygon><username>me</username><pt><x>10</x><y>20</y></pt>"
            "<pt><x>50</x><y>20</y></pt><pt><x>50</x><y>60</y></pt></polygon>",
            (10, 20, 50, 60),
            "<polygon> alone",
        ),
        (
            "<robndbox><cx>30</cx><cy>40</cy><w>40</w><h>20</h><angle>1.57079632679</angle></robndbox>",
            (20, 20, 40, 60),
            "<robndbox>",
        ),
        (BOUNDS + "<polygon><x1>1</x1></polygon>", (10, 20, 50, 40), ""),
        # 40 x 20 around (30, 30), turned by a quarter
        (
            f"{BOUNDS}<attributes><attribute><name>rotation</name><value>90.0</value></attribute>"
            "</attributes>",
            (20, 10, 40, 50),
            "",
        ),
        (f"<difficult>Unspecified</difficult>{BOUNDS}", (10, 20, 50, 40), ""),
        (BOUNDS.replace("11", "0"), (-1, 20, 50, 40), "begins before pixel 1"),
        (BOUNDS.replace("11", "1").replace("21", "0.5"), (0, -0.5, 50, 40), "before pixel 1"),
    ],
)
def test_objects_of_voc(tmp_path: Path, photos: Path, text: str, box: Quad, note: str) -> None:
    data = read_own(voc(tmp_path, text), photos)
    assert boxes(data) == [("cat", box)]
    assert len(noted(data, "object[0]")) == bool(note)
    assert not note or noted(data, note)


def test_deleted_objects_are_left_out(tmp_path: Path, photos: Path) -> None:
    data = read_own(voc(tmp_path, BOUNDS, f"<deleted>1</deleted>{BOUNDS}"), photos)
    assert len(boxes(data)) == 1
    assert noted(data, "1 × <object> that is marked <deleted>: left out")


@pytest.mark.parametrize("text", ["", "<polygon/>", "<polygon><x1>1</x1><y1>2</y1></polygon>"])
def test_an_object_without_a_place_is_refused(tmp_path: Path, photos: Path, text: str) -> None:
    with pytest.raises(UserError, match="must have a <bndbox>, or a <polygon> of three or more"):
        read_own(voc(tmp_path, text), photos)


def test_other_xml_is_passed_over(tmp_path: Path, photos: Path) -> None:
    place = voc(tmp_path, BOUNDS)
    (place / "pom.xml").write_text("<project/>")
    assert noted(read_own(place, photos), "1 × XML file without <annotation>: passed over")
    (place / "b.xml").write_text("<project/>")  # named like an image
    with pytest.raises(UserError, match=r"b\.xml: must be an <annotation> of Pascal VOC"):
        read_own(place, photos)


# --- LabelMe -------------------------------------------------------------------------------------


def labelme(folder: Path, *shapes: dict[str, Any]) -> Path:
    place = folder / "labels"
    place.mkdir()
    (place / "a.json").write_text(json.dumps({"shapes": shapes, "imagePath": "a.png"}))
    return place


def shape(*points: list[float], label: str = "cat", kind: str = "polygon", **more: Any) -> Any:
    return {"label": label, "points": points, "shape_type": kind, **more}


ONE, TWO = ([10, 20], [20, 20], [20, 30]), ([40, 50], [50, 50], [50, 60])


@pytest.mark.parametrize(
    ("shapes", "found"),
    [
        ([shape(*ONE, group_id=1), shape(*TWO, group_id=1)], [("cat", (10, 20, 50, 60))]),
        (
            [shape(*ONE, group_id=0), shape([0, 0], [5, 0], [5, 5]), shape(*TWO, group_id=0)],
            [("cat", (10, 20, 50, 60)), ("cat", (0, 0, 5, 5))],
        ),
        (
            [shape(*ONE, group_id=1), shape(*TWO, group_id=1, label="dog")],
            [("cat", (10, 20, 20, 30)), ("dog", (40, 50, 50, 60))],
        ),
        (
            [shape(*ONE, group_id=None), shape(*TWO, group_id=None)],
            [("cat", (10, 20, 20, 30)), ("cat", (40, 50, 50, 60))],
        ),
        (
            [shape(*ends[::2], kind="rectangle", group_id=1) for ends in (ONE, TWO)],
            [("cat", (10, 20, 20, 30)), ("cat", (40, 50, 50, 60))],
        ),
    ],
)
def test_parts_of_one_object_are_one_box(
    tmp_path: Path, photos: Path, shapes: list[Any], found: list[Any]
) -> None:
    """As labelme2coco joins shapes of one label and group."""
    data = read_own(labelme(tmp_path, *shapes), photos)
    assert boxes(data) == found
    joined = len(shapes) - len(found)
    assert len(noted(data, "read as one object")) == joined


@pytest.mark.parametrize(
    ("odd", "note"),
    [
        (shape(*ONE, label="__ignore__"), "1 × shape labelled __ignore__: left out"),
        (shape(*ONE, label="_background_"), "1 × shape labelled _background_: left out"),
        (shape(), "1 × shape without a point: left out"),
        (shape(*ONE, kind="cuboid"), "1 × shape 'cuboid' has no box"),
    ],
)
def test_shapes_that_are_no_objects_are_noted(
    tmp_path: Path, photos: Path, odd: Any, note: str
) -> None:
    data = read_own(labelme(tmp_path, odd, shape(*TWO)), photos)
    assert boxes(data) == [("cat", (40, 50, 50, 60))]
    assert noted(data, note)


def test_other_json_is_passed_over(tmp_path: Path, photos: Path) -> None:
    place = labelme(tmp_path, shape(*ONE), shape(*ONE, [10, 30], kind="quadrilateral"))
    (place / "package.json").write_text('{"name": "x"}')
    data = read_own(place, photos)
    assert len(boxes(data)) == 2
    assert noted(data, "1 × JSON file without shapes: passed over")
    (place / "b.json").write_text("{}")  # named like an image
    with pytest.raises(UserError, match=r"b\.json: must have a list 'shapes', got None"):
        read_own(place, photos)


# --- CVAT ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (' width="100" height="80"', ""),
        ('width="100" height="80"', 'width="0" height="0"'),
        ("0,0;20,0;20,10", " 0,0; 20,0 ;20,10; "),
        (
            "<label><name>dog</name></label>",
            "<label><name>dog</name></label><label><name>ear</name><type>points</type>"
            "<parent>cat</parent></label>",
        ),
    ],
)
def test_exports_of_cvat(tmp_path: Path, photos: Path, old: str, new: str) -> None:
    text = CVAT["annotations.xml"]
    assert old in text
    place = write_labels(tmp_path / "labels", "cvat")
    plain = read_own(place, photos)
    (place / "annotations.xml").write_text(text.replace(old, new))
    assert read_own(place, photos).documents == plain.documents


def test_an_export_of_cvat_without_images_is_told(tmp_path: Path, photos: Path) -> None:
    (tmp_path / "annotations.xml").write_text("<annotations><version>1.1</version></annotations>")
    with pytest.raises(UserError, match="holds no <image>; export the task as 'CVAT for images"):
        read_own(tmp_path / "annotations.xml", photos)


# --- Label Studio --------------------------------------------------------------------------------


@pytest.mark.parametrize("mark", ["", "\ufeff \n"])
def test_a_file_of_one_task_is_read(tmp_path: Path, photos: Path, mark: str) -> None:
    (tmp_path / "task.json").write_text(mark + json.dumps(LABELSTUDIO["export.json"][0]))
    data = read_own(tmp_path / "task.json", photos)
    assert data.format == "labelstudio"
    assert boxes(data) == [("cat", (10, 20, 50, 60)), ("dog", (0, 0, 20, 10))]


def test_a_region_without_a_name_is_called_so(tmp_path: Path, photos: Path) -> None:
    tasks = json.loads(json.dumps(LABELSTUDIO["export.json"]))
    del tasks[0]["annotations"][1]["result"][0]["value"]["rectanglelabels"]
    (tmp_path / "export.json").write_text(json.dumps(tasks))
    data = read_own(tmp_path / "export.json", photos)
    assert boxes(data) == [("dog", (0, 0, 20, 10))]
    assert noted(data, "1 × region without a name (rectanglelabels, ")


# --- which format --------------------------------------------------------------------------------


def test_lists_of_other_tools_are_no_tasks(tmp_path: Path) -> None:
    """CreateML's."""
    box = {"label": "cat", "coordinates": {"x": 30, "y": 40, "width": 40, "height": 40}}
    (tmp_path / "a.json").write_text(json.dumps([{"image": "a.png", "annotations": [box]}]))
    with pytest.raises(UserError, match="holds no labels of a format that is read"):
        recognize(tmp_path)


@pytest.mark.parametrize("name", ["labels.json", "in/a.xml", "boxes.csv"])
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty: fetch or write it again"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "is a Git LFS pointer"),
        (b"<!DOCTYPE html><html></html>", "is a web page, not the file itself"),
    ],
)
def test_a_folder_of_what_was_not_fetched_is_told(
    tmp_path: Path, name: str, content: bytes, says: str
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=f"{name}: {says}"):
        recognize(tmp_path)
