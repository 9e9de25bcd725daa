"""Every label format: hand-written files, back and forth, broken forms."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from labelled import BOXES, LABELS, SIZES, write_labels, write_pictures
from PIL import Image

from unidet.data.own_data import read_own, reader_of
from unidet.data.pictures import PictureFolder
from unidet.errors import UserError
from unidet.formats.labels.coco import Document, labels_of
from unidet.formats.labels.recognize import FORMATS, recognize
from unidet.formats.labels.records import Box, Labelled, Labels
from unidet.pipelines.verbs.support import own_data as arguments

CROWDED = Labels(
    ("cat", "dog"),
    (
        Labelled("a.png", 100, 80, (Box("dog", (1.0, 2.0, 30.5, 40.25), is_crowd=True),), "train"),
        Labelled("in/b.png", 60, 40, (Box("cat", (0.0, 0.0, 60.0, 40.0)),), "val"),
    ),
)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "photos")


def boxes_of(document: Document) -> dict[str, list[tuple[str, tuple[float, ...]]]]:
    """Name of the image -> names and corners of its boxes."""
    names = {entry["id"]: entry["name"] for entry in document["categories"]}
    pictures = {image["id"]: image["file_name"] for image in document["images"]}
    boxes: dict[str, list[tuple[str, tuple[float, ...]]]] = {name: [] for name in pictures.values()}
    for record in document["annotations"]:
        left, top, width, height = record["bbox"]
        corners = (left, top, left + width, top + height)
        corners = tuple(round(value, 6) for value in corners)
        boxes[pictures[record["image_id"]]].append((names[record["category_id"]], corners))
    return boxes


def test_all_formats_are_offered_and_tested() -> None:
    assert arguments.FORMATS == tuple(FORMATS) == tuple(LABELS)


@pytest.mark.parametrize("format_name", FORMATS)
def test_a_format_is_recognised_and_read(tmp_path: Path, photos: Path, format_name: str) -> None:
    labels = write_labels(tmp_path / "labels", format_name)
    data = read_own(labels, photos)
    assert data.format == format_name
    assert not data.is_divided
    document = data.documents[""]
    assert boxes_of(document) == BOXES
    sizes = {i["file_name"]: (i["width"], i["height"]) for i in document["images"]}
    assert sizes == SIZES
    assert [entry["name"] for entry in document["categories"]] == ["cat", "dog"]
    assert [record["area"] for record in document["annotations"]] == pytest.approx([1600, 200, 400])


@pytest.mark.parametrize("format_name", FORMATS)
def test_what_is_written_is_read_again(tmp_path: Path, photos: Path, format_name: str) -> None:
    labels = labels_of(
        tmp_path, read_own(write_labels(tmp_path / "labels", "coco"), photos).documents
    )
    out = tmp_path / "out"
    out.mkdir()
    reader_of(format_name).write(labels, out, photos)
    data = read_own(out, photos)
    assert data.format == format_name
    assert boxes_of(data.documents[""]) == BOXES


@pytest.mark.parametrize("format_name", ["coco", "yolo", "voc", "openimages", "cvat"])
def test_parts_are_kept(tmp_path: Path, photos: Path, format_name: str) -> None:
    reader_of(format_name).write(CROWDED, tmp_path, photos)
    documents = read_own(tmp_path, photos, format_name).documents
    pictures = {part: [i["file_name"] for i in d["images"]] for part, d in documents.items()}
    assert pictures == {"train": ["a.png"], "val": ["in/b.png"]}


@pytest.mark.parametrize("format_name", ["coco", "voc", "openimages"])
def test_crowds_are_kept(tmp_path: Path, photos: Path, format_name: str) -> None:
    reader_of(format_name).write(CROWDED, tmp_path, photos)
    train = read_own(tmp_path, photos, format_name).documents["train"]
    assert boxes_of(train) == {"a.png": [("dog", (1.0, 2.0, 30.5, 40.25))]}
    assert [record["iscrowd"] for record in train["annotations"]] == [1]


@pytest.mark.parametrize("format_name", ["yolo", "labelme", "cvat", "labelstudio"])
def test_crowds_are_left_out_where_there_are_none(
    tmp_path: Path, photos: Path, format_name: str
) -> None:
    reader_of(format_name).write(CROWDED, tmp_path, photos)
    documents = read_own(tmp_path, photos, format_name).documents
    assert sum(len(document["annotations"]) for document in documents.values()) == 1


# --- values by hand ----------------------------------------------------------------------------


def box_read(folder: Path, photos: Path, format_name: str, **files: str) -> tuple[float, ...]:
    """The only box of a data set in which these files replace those of `LABELS`."""
    place = write_labels(folder / "labels", format_name)
    for name, content in files.items():
        (place / name.replace("__", "/").replace("_dot_", ".")).write_text(content)
    return boxes_of(read_own(place, photos, format_name).documents[""])["a.png"][0][1]


def cvat_of(shape: str) -> str:
    image = f'<image name="a.png" width="100" height="80">{shape}</image>'
    return f"<annotations>{image}</annotations>"


def test_an_outline_of_yolo_has_the_box_around_it(tmp_path: Path, photos: Path) -> None:
    box = box_read(tmp_path, photos, "yolo", labels__a_dot_txt="1 0.5 0.25 0.75 0.5 0.5 0.75\n")
    assert box == (50, 20, 75, 60)


def test_a_turned_box_of_cvat_has_the_upright_box_around_it(tmp_path: Path, photos: Path) -> None:
    """20 x 10 around (30, 25), turned by 90 degrees: 10 x 20."""
    shape = '<box label="cat" xtl="20" ytl="20" xbr="40" ybr="30" rotation="90"/>'
    text = (
        '<annotations><image name="a.png" width="100" height="80">'
        + shape
        + "</image></annotations>"
    )
    assert box_read(tmp_path, photos, "cvat", annotations_dot_xml=text) == (25, 15, 35, 35)


def test_a_mask_of_cvat_is_its_frame(tmp_path: Path, photos: Path) -> None:
    shape = '<mask label="cat" rle="0" left="3" top="4" width="10" height="20"/>'
    text = (
        '<annotations><image name="a.png" width="100" height="80">'
        + shape
        + "</image></annotations>"
    )
    assert box_read(tmp_path, photos, "cvat", annotations_dot_xml=text) == (3, 4, 13, 24)


def test_a_turned_region_of_label_studio_turns_around_its_first_corner(
    tmp_path: Path, photos: Path
) -> None:
    """20 x 8 pixels from (50, 40), turned by 90 degrees clockwise: to the left, 8 wide, 20 high."""
    region = {"x": 50, "y": 50, "width": 20, "height": 10, "rotation": 90}
    tasks = [{"image": "a.png", "label": [{**region, "rectanglelabels": ["cat"]}]}]
    box = box_read(tmp_path, photos, "labelstudio", export_dot_json=json.dumps(tasks))
    assert box == (42, 40, 50, 60)


def test_a_picture_of_yolo_without_a_file_has_no_boxes(tmp_path: Path, photos: Path) -> None:
    place = write_labels(tmp_path / "labels", "yolo")
    (place / "labels/in/b.txt").unlink()
    assert boxes_of(read_own(place, photos).documents[""])["in/b.png"] == []


@pytest.mark.parametrize("name", ["classes.txt", "obj.names"])
def test_yolo_takes_its_names_from_a_list(tmp_path: Path, photos: Path, name: str) -> None:
    place = write_labels(tmp_path / "labels", "yolo")
    (place / "data.yaml").rename(place / name)
    (place / name).write_text("cat\ndog\n")
    assert boxes_of(read_own(place, photos).documents[""]) == BOXES


def test_yolo_takes_its_parts_from_folders(tmp_path: Path) -> None:
    """As Roboflow writes them: relative to a folder beside that of the file."""
    for part, name in (("train", "a"), ("valid", "b")):
        for kind in ("images", "labels"):
            (tmp_path / part / kind).mkdir(parents=True)
        Image.new("RGB", (10, 10)).save(tmp_path / part / "images" / f"{name}.png")
        (tmp_path / part / "labels" / f"{name}.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    (tmp_path / "data.yaml").write_text(
        "names: [cat]\ntrain: ../train/images\nval: ../valid/images\ntest: ../test/images\n"
    )
    documents = read_own(tmp_path, tmp_path).documents
    assert {part: boxes_of(document) for part, document in documents.items()} == {
        "train": {"train/images/a.png": [("cat", (4, 4, 6, 6))]},
        "val": {"valid/images/b.png": [("cat", (4, 4, 6, 6))]},
    }


def test_a_shape_without_a_box_is_noted(tmp_path: Path, photos: Path) -> None:
    place = write_labels(tmp_path / "labels", "labelme")
    content = json.loads((place / "a.json").read_text())
    content["shapes"].append({"label": "cat", "points": [[1, 2]], "shape_type": "point"})
    (place / "a.json").write_text(json.dumps(content))
    data = read_own(place, photos)
    assert boxes_of(data.documents[""]) == BOXES
    assert len(data.notes) == 1
    assert "shape 'point' has no box" in data.notes[0]
    assert "shapes[2]" in data.notes[0]


def test_shapes_that_are_no_boxes_are_the_reason_told_where_no_box_is_left(
    tmp_path: Path, photos: Path
) -> None:
    place = write_labels(tmp_path / "labels", "labelme")
    for file in place.rglob("*.json"):
        content = json.loads(file.read_text())
        content["shapes"] = [{"label": "cat", "points": [[1, 2], [3, 4]], "shape_type": "line"}] * 2
        file.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"none of its 2 images has a labelled box; 4 × shape 'li"):
        read_own(place, photos)


def test_a_turned_rectangle_of_x_anylabeling_is_the_box_around_it(
    tmp_path: Path, photos: Path
) -> None:
    place = write_labels(tmp_path / "labels", "labelme")
    content = json.loads((place / "a.json").read_text())
    corners = [[30, 10], [50, 30], [30, 50], [10, 30]]
    content["shapes"] = [{"label": "cat", "points": corners, "shape_type": "rotation"}]
    (place / "a.json").write_text(json.dumps(content))
    data = read_own(place, photos)
    assert boxes_of(data.documents[""])["a.png"] == [("cat", (10, 10, 50, 50))]


# --- broken forms ------------------------------------------------------------------------------

BROKEN = [
    (
        "yolo",
        "labels/a.txt",
        "2 0.3 0.5 0.4 0.5",
        r"line 1: the class must be 0 to 1, got 2",
    ),
    ("yolo", "labels/a.txt", "0 30 40 40 40", "must be fractions of the image, 0 to 1, got 30"),
    ("yolo", "labels/a.txt", "0 0.3 0.5 0.4", "line 1: must be class x y width height"),
    ("yolo", "labels/a.txt", "0 0.3 0.5 0.4 x", "a coordinate must be a number, got 'x'"),
    ("yolo", "labels/a.txt", "0 0.3 nan 0.4 0.5", "a coordinate must be a number, got 'nan'"),
    ("yolo", "data.yaml", "nc: 2", "need the names of their classes: a data.yaml"),
    ("yolo", "data.yaml", "names: [cat, cat]", "'names' must be a list of different names"),
    ("yolo", "data.yaml", "names:\n0: cat\n1: dog\n", "'names' is empty in its YAML file; indent"),
    ("yolo", "data.yaml", "names: {1: cat, 3: dog}", "'names' must be numbered 0, 1"),
    ("yolo", "data.yaml", "names: [cat", "data.yaml: malformed YAML"),
    ("yolo", "labels/c.txt", "0 0.3 0.5 0.4 0.5", "c.txt: must have one image of its name below"),
    ("voc", "a.xml", "<annotation>", "a.xml: must be whole XML"),
    ("voc", "c.xml", "<annotation><filename>c.png</filename></annotation>", "'c.png'"),
    ("labelme", "a.json", "{", "a.json: malformed JSON"),
    (
        "labelme",
        "a.json",
        '{"shapes": 3, "imagePath": "a.png"}',
        "a list 'shapes', got 3",
    ),
    ("labelme", "c.json", '{"shapes": [], "imagePath": "c.png"}', "'imagePath' must be an image"),
    ("openimages", "annotations-bbox.csv", "ImageID,LabelName\n", "has no column XMin; it takes"),
    ("cvat", "annotations.xml", "<annotations><track/></annotations>", "holds tracks of a video"),
    ("cvat", "annotations.xml", "<annotations>", "annotations.xml: must be whole XML"),
    (
        "labelstudio",
        "export.json",
        '[{"data": {"image": "c.png"}}]',
        r"task\[0\]: must name",
    ),
    ("labelstudio", "export.json", '[{"data": 1}, ', "malformed JSON"),
]


@pytest.mark.parametrize(("format_name", "name", "content", "says"), BROKEN)
def test_a_broken_file_is_one_line(
    tmp_path: Path, photos: Path, format_name: str, name: str, content: str, says: str
) -> None:
    place = write_labels(tmp_path / "labels", format_name)
    (place / name).write_text(content)
    with pytest.raises(UserError, match=says) as caught:
        read_own(place, photos, format_name)
    assert "\n" not in str(caught.value)


def change(old: str, new: str) -> Callable[[str], str]:
    return lambda text: text.replace(old, new, 1)


CHANGED = [
    ("voc", "a.xml", change("<xmax>50</xmax>", "<xmax>x</xmax>"), r"object\[0\]: <xmax> must be a"),
    ("voc", "a.xml", change("<xmax>50</xmax>", "<xmax>5</xmax>"), "must not lie before"),
    ("voc", "a.xml", change("<name>cat</name>", "<name/>"), "the name of a category must be"),
    ("voc", "a.xml", change("<width>100</width>", "<width>0</width>"), "at least 1, got 0x80"),
    ("openimages", "annotations-bbox.csv", change("0.1,0.5", "0.5,0.1"), "ascending fractions"),
    ("openimages", "annotations-bbox.csv", change("0.1,0.5", "10,50"), "fractions of the image"),
    ("openimages", "annotations-bbox.csv", change("\nb,", "\nc,"), "line 4: must name an image"),
    ("labelme", "a.json", change("[50, 60]", "[50]"), "'points' of a rectangle must be 2 or more"),
    ("labelme", "a.json", change('"imageWidth": 100', '"imageWidth": "x"'), "width must be a num"),
    ("labelme", "a.json", change('"label": "cat"', '"label": 3'), "name of a category must be"),
    ("cvat", "annotations.xml", change('xtl="10"', 'xtl="x"'), r"box\[0\]: xtl must be a number"),
    ("cvat", "annotations.xml", change('label="cat"', 'label=""'), "the name of a category must"),
    ("cvat", "annotations.xml", change("0,0;20,0;20,10", "0,0;20"), "points must be three or more"),
    ("cvat", "annotations.xml", change('name="a.png"', 'name="c.png"'), r"image\[0\]: must name a"),
    ("labelstudio", "export.json", change('"x": 10', '"x": "y"'), r"region\[0\]: 'x' must be a nu"),
    (
        "labelstudio",
        "export.json",
        change("[0, 0], [20, 0], ", ""),
        "'points' must be three or more",
    ),
]


@pytest.mark.parametrize(("format_name", "name", "edit", "says"), CHANGED)
def test_a_fault_names_its_record(
    tmp_path: Path,
    photos: Path,
    format_name: str,
    name: str,
    edit: Callable[[str], str],
    says: str,
) -> None:
    place = write_labels(tmp_path / "labels", format_name)
    before = (place / name).read_text()
    (place / name).write_text(edit(before))
    assert (place / name).read_text() != before
    with pytest.raises(UserError, match=says) as caught:
        read_own(place, photos)
    assert str(caught.value).startswith(str(place / name))
    assert "\n" not in str(caught.value)


# --- what is recognised ------------------------------------------------------------------------


def test_what_is_no_data_set_is_refused_with_what_is_read(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(UserError, match="holds no labels of a format that is read: coco"):
        recognize(tmp_path)
    with pytest.raises(UserError, match="no such file or folder"):
        recognize(tmp_path / "nowhere")


def test_several_formats_want_one_to_be_named(tmp_path: Path, photos: Path) -> None:
    place = write_labels(write_labels(tmp_path / "labels", "voc"), "yolo")
    with pytest.raises(UserError, match="holds labels as yolo and as voc; say which: --form"):
        recognize(place)
    assert boxes_of(read_own(place, photos, "voc").documents[""]) == BOXES
    with pytest.raises(UserError, match="looks like yolo and voc, not labelme"):
        recognize(place, "labelme")


def test_pictures_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        write_pictures(tmp_path / folder)
    pictures = PictureFolder(tmp_path)
    assert pictures.find("x/two/a.png") == "two/a.png"
    assert pictures.find("a.png") is None
    assert pictures.beside(Path("/srv/labels/one/a.txt"), Path("/srv/labels")) == "one/a.png"


@pytest.mark.parametrize(
    ("stored", "written"),
    [
        (unicodedata.normalize("NFD", "vidéo/café 1.png"), "vidéo/café 1.png"),
        ("vidéo/café 1.png", unicodedata.normalize("NFD", "vidéo/café 1.png")),
        ("vidéo/café 1.png", "vid%C3%A9o/caf%C3%A9%201.png"),  # as Label Studio exports
        ("a%20b.png", "a%20b.png"),
    ],
)
def test_a_name_is_found_however_it_is_composed_or_encoded(
    tmp_path: Path, stored: str, written: str
) -> None:
    (tmp_path / stored).parent.mkdir(exist_ok=True)
    for place in (tmp_path / stored, tmp_path / "a b.png"):
        place.touch()
    pictures = PictureFolder(tmp_path)
    assert pictures.find(written) == stored
    assert pictures.find(written.removesuffix(".png")) == stored
    assert pictures.beside(Path(f"/srv/{written}").with_suffix(".txt"), Path("/srv")) == stored
