"""YOLO: which image a file is for, what a line may be, what `data.yaml` says."""

from __future__ import annotations

from pathlib import Path

import pytest
from labelled import write_labels, write_pictures
from PIL import Image

from unidet.data.own_data import OwnData, read_own
from unidet.errors import UserError

BOX = "0 0.5 0.5 0.2 0.4\n"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "photos")


def written(folder: Path, settings: str, **labels: str) -> Path:
    """A set of images of 10 x 10, by path (`__` parts folders), and the lines of each."""
    for name, lines in labels.items():
        path = name.replace("__", "/")
        for kind, ending in (("images", ".png"), ("labels", ".txt")):
            (folder / kind / path).parent.mkdir(parents=True, exist_ok=True)
            if kind == "labels":
                (folder / kind / f"{path}{ending}").write_text(lines)
            else:
                Image.new("RGB", (10, 10)).save(folder / kind / f"{path}{ending}")
    (folder / "data.yaml").write_text(settings)
    return folder


def boxes(data: OwnData) -> list[list[float]]:
    return [record["bbox"] for own in data.documents.values() for record in own["annotations"]]


def refused(place: Path, says: str) -> None:
    with pytest.raises(UserError, match=says) as caught:
        read_own(place, place / "images")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("inner", ["labels", "labels/train"])
@pytest.mark.parametrize("as_format", ["", "yolo"])
def test_text_files_below_their_settings_are_refused(
    tmp_path: Path, inner: str, as_format: str
) -> None:
    folder = written(tmp_path / "set", "names: [cat]", train__a=BOX)
    with pytest.raises(UserError, match=r"are in .*set/data\.yaml, in a folder above: give .*set$"):
        read_own(folder / inner, folder / "images", as_format)


# --- which image -----------------------------------------------------------------------------


@pytest.mark.parametrize("other", ["val__c", "a"])
def test_a_file_whose_picture_is_missing_labels_no_other(tmp_path: Path, other: str) -> None:
    """labels/val/b.txt is not for images/train/b.png, be there images for val or none."""
    place = written(tmp_path, "names: [cat]", train__b=BOX, **{other: BOX})
    (place / "labels/train/b.txt").unlink()
    (place / "labels/val").mkdir(exist_ok=True)
    (place / "labels/val/b.txt").write_text(BOX)
    refused(place, r"val/b\.txt: must have one image of its name below")


@pytest.mark.parametrize("folder", ["runs/detect/exp/labels", "labels_old"])
def test_two_files_for_one_picture_are_refused(tmp_path: Path, folder: str) -> None:
    place = written(tmp_path, "names: [cat]", a=BOX)
    (place / folder).mkdir(parents=True)
    (place / folder / "a.txt").write_text(BOX)
    refused(place, r"must be the only labels of its image, .*got a\.png, which .*labels too")


def test_a_text_that_holds_no_labels_is_passed_over(tmp_path: Path) -> None:
    place = written(tmp_path, "names: [cat]", a=BOX)
    (place / "notes.txt").write_text("from the zoo\n")
    (note,) = read_own(place, place / "images").notes
    assert "text file without lines of labels: passed over" in note


def test_few_files_without_a_picture_are_passed_over(tmp_path: Path) -> None:
    """COCO128 as it is published has two for 126."""
    place = written(tmp_path, "names: [cat]", **dict.fromkeys("abcdefghij", BOX))
    (place / "labels/gone.txt").write_text(BOX)
    data = read_own(place, place / "images")
    assert len(boxes(data)) == 10
    assert "1 × text file whose name no image has: passed over, as by YOLO" in data.notes[0]
    (place / "labels/gone2.txt").write_text(BOX)
    refused(place, r"gone\.txt: must have one image of its name below")


@pytest.mark.parametrize("pair", [("x__a", "y__a"), ("k.webp", "k")], ids=["folders", "ending"])
def test_a_file_that_may_be_of_two_pictures_is_not_passed_over(
    tmp_path: Path, pair: tuple[str, str]
) -> None:
    """As Label Studio exports images of one name from several folders: however few these are."""
    place = written(tmp_path, "names: [cat]", **dict.fromkeys("abcdefghijlmnopqrstu", BOX))
    first, second = ((place / "images" / name.replace("__", "/")) for name in pair)
    for path in (first, second):
        path.parent.mkdir(exist_ok=True)
    endings = (".png", ".png") if first.parent != second.parent else ("", ".jpg")
    for path, ending in zip((first, second), endings, strict=True):
        Image.new("RGB", (10, 10)).save(f"{path}{ending}")
    (place / "images/a.png").unlink()
    (place / "labels/a.txt").rename(place / f"labels/{first.stem}.txt")
    refused(place, rf"labels/{first.stem}\.txt: must be of one image, but several have its name")


def test_few_files_of_a_part_without_pictures_are_passed_over(tmp_path: Path) -> None:
    """labels/val/z.txt is of none of two images called z, which are of other parts."""
    place = written(tmp_path, "names: [cat]", **dict.fromkeys("abcdefghijklmnopqrstu", BOX))
    for part in ("train", "test"):
        (place / "images" / part).mkdir()
        Image.new("RGB", (10, 10)).save(place / "images" / part / "z.png")
    (place / "labels/val").mkdir()
    (place / "labels/val/z.txt").write_text(BOX)
    assert "1 × text file whose name no image has" in read_own(place, place / "images").notes[0]


@pytest.mark.parametrize("name", ["train", "val"])
def test_a_list_is_no_labels_of_an_image_of_its_name(tmp_path: Path, name: str) -> None:
    settings = "names: [cat]\ntrain: train.txt\nval: val.txt"
    place = written(tmp_path, settings, **{name: BOX, "b": BOX, "c": BOX})
    lists = {"train": "./images/train.png\n", "val": "images/val.png \r\n"}
    lists = {part: line if part == name else "images/b.png\n" for part, line in lists.items()}
    (place / "train.txt").write_text(lists["train"] + "# more\n\nimages/gone.png\n")
    (place / "val.txt").write_text(lists["val"])
    data = read_own(place, place / "images")
    assert {part: len(own["annotations"]) for part, own in data.documents.items()} == {
        "train": 1,
        "val": 1,
    }
    note = "2 × line of a list that leads to no image: passed over"
    assert any(text.startswith(note) and "train.txt: line 2" in text for text in data.notes)


def test_the_mark_of_an_upload_is_no_part_of_a_name(tmp_path: Path) -> None:
    place = written(tmp_path, "names: [cat]", a=BOX)
    (place / "labels/a.txt").rename(place / "labels/0a1b2c3d-a.txt")
    assert boxes(read_own(place, place / "images")) == [pytest.approx([4, 3, 2, 4])]


# --- lines -------------------------------------------------------------------------------------


def test_key_points_follow_a_box(tmp_path: Path) -> None:
    """Four points of two values: the box is the first four values, no outline of six corners."""
    line = f"{BOX.strip()} 0.45 0.45 0.55 0.45 0.45 0.55 0.55 0.55\n"
    place = written(tmp_path, "names: [cat]\nkpt_shape: [4, 2]", a=line)
    assert boxes(read_own(place, place / "images")) == [pytest.approx([4, 3, 2, 4])]


@pytest.mark.parametrize(
    ("settings", "line", "says"),
    [
        ("", "0 0.5 0.5 0.2 0.2 0.9 1", "line 1: a whole number ends six values, as a track's id"),
        ("", "0 0.5 0.5 0.2 0.2 0.87", "line 1: a fifth value follows the box, as a prediction's"),
        ("", "0 0.5 0.5 -0.01 0.2", "width and height must not be negative"),
        ("\nkpt_shape: [4, 2]", BOX, "kpt_shape wants class x y width height and 8 values, got 4"),
        ("\nkpt_shape: [4]", BOX, r"'kpt_shape' must be \[points, 2 or 3 values of each\]"),
    ],
)
def test_other_lines_are_refused(tmp_path: Path, settings: str, line: str, says: str) -> None:
    refused(written(tmp_path, f"names: [cat]{settings}", a=line), says)


@pytest.mark.parametrize(
    ("line", "got"),
    [
        ("0 0.5 0.5 0.2 1.03", "1.03"),
        ("0 -0.04 0.5 0.2 0.2", "-0.04"),
        ("0 0.5 0.5 0.2 0.2 0.1 0.1 2 0.2 0.2 2", "2 2"),  # key points without kpt_shape
        ("0 10 20 30 40 50 60 70 80", "10 20 30 40"),
    ],
)
def test_what_is_no_fraction_is_shown(tmp_path: Path, line: str, got: str) -> None:
    place = written(tmp_path, "names: [cat]", a=line)
    refused(place, f"must be fractions of the image, 0 to 1, got {got}$")


def test_a_line_that_came_before_is_left_out(tmp_path: Path) -> None:
    other = "1 0.5 0.5 0.2 0.4\n"
    lines = BOX + other + BOX.replace("0.50", "0.5") + "0 .5 5e-1 0.20 0.4\n"
    data = read_own(written(tmp_path, "names: [cat, dog]", a=lines), tmp_path / "images")
    assert len(boxes(data)) == 2
    assert data.notes[0].startswith("2 × line that came before: left out, as by YOLO, first")
    assert data.notes[0].endswith("a.txt: line 3")


def test_corners_are_refused(tmp_path: Path) -> None:
    """As centre and sides (0.7, 0.7, 0.9, 0.9) would reach to 1.15."""
    lines = "0 0.15 0.15 0.3 0.3\n0 0.2 0.2 0.4 0.4\n0 0.1 0.2 0.2 0.3\n"
    place = written(tmp_path, "names: [cat]", a=lines + "0 0.7 0.7 0.9 0.9\n")
    refused(place, "1 of the 4 boxes reach over their image as x y width height")
    (place / "labels/a.txt").write_text(lines + "0 0.7 0.7 0.4 0.9\n")
    assert len(boxes(read_own(place, place / "images"))) == 4


def test_a_byte_order_mark_is_no_part_of_a_line(tmp_path: Path) -> None:
    place = written(tmp_path, "names: [cat]", a="\ufeff" + BOX)
    assert boxes(read_own(place, place / "images")) == [pytest.approx([4, 3, 2, 4])]


# --- data.yaml and lists of names --------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ("names: [yes, no]", ["yes", "no"]),
        ("names: [007, 12:30]", ["007", "12:30"]),
        ("names: [null, 1.10]", ["null", "1.10"]),
        ("names: {0: on, 1: off}", ["on", "off"]),
    ],
)
def test_names_are_what_is_written(tmp_path: Path, settings: str, names: list[str]) -> None:
    place = written(tmp_path, settings, a=BOX)
    (document,) = read_own(place, place / "images").documents.values()
    assert [entry["name"] for entry in document["categories"]] == names


@pytest.mark.parametrize(
    ("settings", "images"),
    [
        ("path: {}", "set/images"),  # an absolute path
        ("path: ../set", "set/images"),
        ("path: elsewhere", "set/images"),  # beside the images
        ("train: images/train", "set/images/train"),
    ],
)
def test_labels_lie_where_yolo_looks_for_them(tmp_path: Path, settings: str, images: str) -> None:
    """`data.yaml` may lie with the code."""
    place = written(tmp_path / "set", "", train__a=BOX)
    (place / "data.yaml").unlink()
    (tmp_path / "code").mkdir()
    file = tmp_path / "code" / "birds.yaml"
    file.write_text("names: [cat]\n" + settings.format(place))
    for given in (file, file.parent):
        assert boxes(read_own(given, tmp_path / images)) == [pytest.approx([4, 3, 2, 4])]


def test_settings_without_labels_are_told(tmp_path: Path) -> None:
    place = written(tmp_path, "names: [cat]\ntrain: train.txt", a=BOX)
    (place / "labels/a.txt").unlink()
    (place / "train.txt").write_text("images/a.png\n")
    refused(place, "no text file below it holds labels; give the folder that has them")


@pytest.mark.parametrize("usual", ["data.yaml", "data.yml", "dataset.yaml", "Data.yaml"])
def test_the_usual_settings_are_read_before_others(tmp_path: Path, usual: str) -> None:
    place = written(tmp_path, "names: [cat]", a=BOX)
    (place / "data.yaml").rename(place / usual)
    (place / "coco.yaml").write_text("names: [person]")
    (place / "args.yaml").write_text("mode: [")  # malformed, and none of the data
    data = read_own(place, place / "images")
    assert [entry["name"] for entry in data.documents[""]["categories"]] == ["cat"]
    assert any("coco.yaml: class 0 is 'person' there" in note for note in data.notes)


def test_settings_that_disagree_are_refused(tmp_path: Path) -> None:
    place = written(tmp_path, "names: [cat]", a=BOX)
    (place / "data.yaml").rename(place / "birds.yaml")
    (place / "coco.yaml").write_text("names: [person]")
    refused(place, "birds.yaml and coco.yaml list different names of classes; give the one that")
    data = read_own(place / "coco.yaml", place / "images")
    assert [entry["name"] for entry in data.documents[""]["categories"]] == ["person"]
    (place / "coco.yaml").write_text("names: [cat]")
    assert len(boxes(read_own(place, place / "images"))) == 1


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ("names:\t[cat]", r"at line 1, column 7: found character '\\t'"),
        ('names: [cat]\npath: "C:\\data"', "at line 2, column 11: found unknown escape character"),
        ("names: [cat", r"at line 1, column \d+: expected ',' or '\]'"),
        ("names: [c\7at]", "special characters are not allowed"),
    ],
)
def test_malformed_settings_are_told_by_their_line(
    tmp_path: Path, settings: str, says: str
) -> None:
    refused(written(tmp_path, settings, a=BOX), f"malformed YAML.*{says}")


@pytest.mark.parametrize("name", ["coco.names", "_darknet.labels", "obj.names"])
@pytest.mark.parametrize("below", ["", "labels", "labels/train"])
def test_lists_of_names_are_found(tmp_path: Path, name: str, below: str) -> None:
    place = written(tmp_path, "", train__a=BOX)
    (place / "data.yaml").rename(place / below / name)
    (place / below / name).write_text("cat\n")
    data = read_own(place, place / "images")
    assert [entry["name"] for entry in data.documents[""]["categories"]] == ["cat"]


def test_lists_below_that_disagree_are_refused(tmp_path: Path) -> None:
    """As labelImg leaves one in every folder, in the order in which names were met."""
    place = written(tmp_path, "", **PARTS)
    (place / "data.yaml").unlink()
    (place / "labels/train/classes.txt").write_text("cat\ndog\n")
    (place / "labels/val/classes.txt").write_text("cat\ndog\n\n")
    assert len(boxes(read_own(place, place / "images"))) == 2
    (place / "labels/val/classes.txt").write_text("dog\ncat\n")
    refused(place, r"labels/train/classes\.txt and labels/val/classes\.txt list different names")


def test_settings_further_below_are_named(tmp_path: Path) -> None:
    place = written(tmp_path / "birds" / "set", "names: [cat]", a=BOX)
    with pytest.raises(UserError, match=r"are in .*set/data\.yaml; give .*birds/set$"):
        read_own(tmp_path / "birds", place / "images")


PARTS = {"train__a": BOX, "val__b": BOX}


def test_a_part_that_leads_nowhere_is_refused(tmp_path: Path) -> None:
    """Its images would be mixed into training."""
    place = written(tmp_path, "names: [cat]\ntrain: images/train\nval: /data/dev", **PARTS)
    refused(place, "'val: /data/dev' leads to no image below")


@pytest.mark.parametrize(
    ("settings", "divided"),
    [
        ("train: images/train\nval: images/val\ntest: images/test", True),
        ("path: 5\ntrain: 5", True),  # the folders' names say it
    ],
)
def test_parts_that_nothing_depends_on_are_noted(
    tmp_path: Path, settings: str, divided: bool
) -> None:
    place = written(tmp_path, f"names: [cat]\n{settings}", **PARTS)
    data = read_own(place, place / "images")
    assert data.is_divided is divided
    assert "leads to no image: passed over" in data.notes[0]


@pytest.mark.parametrize(
    ("train", "val"),
    [
        ("train/images", "../valid/images"),  # written where capitals are all one
        ("birds-1/Train/Images", "birds-1/Valid/Images"),  # unpacked elsewhere
        ("C:\\\\birds\\\\train\\\\images", "C:\\\\birds\\\\valid\\\\images"),
    ],
)
def test_parts_are_found_where_a_data_set_was_moved(tmp_path: Path, train: str, val: str) -> None:
    for part, name in (("Train", "a"), ("Valid", "b")):
        for kind in ("Images", "Labels"):
            (tmp_path / part / kind).mkdir(parents=True)
        Image.new("RGB", (20, 10)).save(tmp_path / part / "Images" / f"{name}.png")
        (tmp_path / part / "Labels" / f"{name}.txt").write_text("0 .5 .5 .4 .4\n")
    settings = tmp_path / "data.yaml"
    settings.write_text(f'names: [cat]\ntrain: "{train}"\nval: "{val}"\n')
    data = read_own(tmp_path, tmp_path)
    assert {part: len(own["images"]) for part, own in data.documents.items()} == {
        "train": 1,
        "val": 1,
    }
    assert "is read as Train/Images" in data.notes[0]
    settings.write_text("names: [cat]\ntrain: Train/Images\nval: dev/images\n")
    with pytest.raises(UserError, match="'val: dev/images' leads to no image below"):
        read_own(tmp_path, tmp_path)


@pytest.mark.parametrize("home", ["/home/kim/birds", "C:\\\\data\\\\birds"])
def test_lists_are_found_where_a_data_set_was_moved(tmp_path: Path, home: str) -> None:
    """With the images of all parts in one folder, nothing else says which is for what."""
    settings = f'names: [cat]\ntrain: "{home}/lists/train.txt"\nval: "{home}/lists/val.txt"\n'
    place = written(tmp_path, settings, a=BOX, b=BOX, c=BOX)
    (place / "lists").mkdir()
    (place / "train.txt").write_text(f"{home}/images/b.png\n")  # the longest end counts
    (place / "lists" / "train.txt").write_text(f"{home}/images/a.png\n{home}/images/c.png\n")
    (place / "lists" / "val.txt").write_text(f"{home}/images/b.png\n")
    data = read_own(place, place / "images")
    assert {
        part: [image["file_name"] for image in own["images"]]
        for part, own in data.documents.items()
    } == {"train": ["a.png", "c.png"], "val": ["b.png"]}
    assert "lists/train.txt' is read as lists/train.txt" in data.notes[0]


@pytest.mark.parametrize("settings", [r'train: "a\0b"', "train: {a: b}", "train: [[a]]"])
def test_parts_that_are_no_paths_are_refused(tmp_path: Path, settings: str) -> None:
    refused(written(tmp_path, f"names: [cat]\n{settings}", **PARTS), "'train' must be a path")


@pytest.mark.parametrize("valid", ["valid = data/val.txt", "valid=C:\\data\\val.txt"])
def test_darknets_lists_are_the_parts(tmp_path: Path, valid: str) -> None:
    """As CVAT exports YOLO 1.1, with paths on the machine of the training."""
    place = written(tmp_path, "", a=BOX, b=BOX)
    (place / "data.yaml").rename(place / "obj.names")
    (place / "obj.names").write_text("cat\n")
    lines = f"classes = 1\ntrain = data/train.txt\n{valid}\nnames = data/obj.names\n"
    (place / "obj.data").write_text(f"{lines}backup = backup/\n")
    (place / "train.txt").write_text("data/obj_train_data/a.png\n")
    (place / "val.txt").write_text("data/obj_train_data/b.png\n")
    data = read_own(place, place / "images")
    assert {part: own["images"][0]["file_name"] for part, own in data.documents.items()} == {
        "train": "a.png",
        "val": "b.png",
    }


def test_a_date_that_is_none_is_a_text(tmp_path: Path) -> None:
    place = written(tmp_path, "names: [cat]\nmade: 2024-99-99", a=BOX)
    assert len(boxes(read_own(place, place / "images"))) == 1


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"cat\n\ndog\n", r"classes\.txt: line 2 is blank"),
        ("caf\u00e9\ndog\n".encode("latin-1"), r"classes\.txt: must be a text file in UTF-8"),
        ("cat\ndog\n".encode("utf-16"), r"classes\.txt: must be a text file in UTF-8"),
    ],
)
def test_a_list_of_names_is_whole(tmp_path: Path, content: bytes, says: str) -> None:
    place = written(tmp_path, "", a=BOX)
    (place / "data.yaml").rename(place / "classes.txt")
    (place / "classes.txt").write_bytes(content)
    refused(place, says)


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path, photos: Path) -> None:
    place = write_labels(tmp_path / "labels", "yolo")
    (place / "data.yaml").rename(place / "classes.txt")
    (place / "classes.txt").write_text("\ufeffcat\r\ndog\r\n\n")
    (document,) = read_own(place, photos).documents.values()
    assert [entry["name"] for entry in document["categories"]] == ["cat", "dog"]


def test_train_and_val_of_one_folder_are_no_parts(tmp_path: Path) -> None:
    place = written(tmp_path, "names: [cat]\ntrain: images\nval: images", a=BOX, b=BOX)
    data = read_own(place, place / "images")
    assert not data.is_divided
    (note,) = data.notes
    assert "train and val name the same images: read as not divided" in note


def test_pictures_that_train_and_val_share_are_refused(tmp_path: Path) -> None:
    settings = "names: [cat]\ntrain: [images/a, images/b]\nval: images/b"
    place = written(tmp_path, settings, a__1=BOX, b__2=BOX)
    refused(place, r"train and val share images \(1\), first b/2\.png; evaluation images are not")


def test_pictures_of_test_that_val_names_are_evaluated(tmp_path: Path) -> None:
    settings = "names: [cat]\ntrain: images/a\nval: images/b\ntest: images/b"
    place = written(tmp_path, settings, a__1=BOX, b__2=BOX)
    data = read_own(place, place / "images")
    names = {part: own["images"][0]["file_name"] for part, own in data.documents.items()}
    assert names == {"train": "a/1.png", "val": "b/2.png"}
    assert "1 × image of test that train or val names too" in data.notes[0]


@pytest.mark.parametrize("count", ["3", "1", "80", "two"])
def test_a_number_of_classes_that_is_not_that_of_the_names_is_refused(
    tmp_path: Path, count: str
) -> None:
    """A name that is missing gives those after it to other classes."""
    place = written(tmp_path, f"nc: {count}\nnames: [cat, dog]", a=BOX)
    refused(place, f"'nc' is '{count}', but there are 2 names")


@pytest.mark.parametrize(
    ("file", "content", "differs"),
    [
        ("labels/classes.txt", "dog\ncat\n", True),  # labelImg's, of another order
        ("obj.names", "person\ncat\ndog\n", True),
        ("notes.json", '{"categories": [{"id": 1, "name": "cat"}, {"id": 0, "name": "x"}]}', True),
        ("other.yaml", "names: {1: cat, 0: dog}", True),
        ("labels/classes.txt", "Cat\ndog\nowl\n", False),
        ("classes.txt", "cat\n", False),
        (
            "notes.json",
            '{"categories": [{"id": 1, "name": "dog"}, {"id": 0, "name": "cat"}]}',
            False,
        ),
        ("notes.json", "[1", False),
        ("other.yaml", "names: {1: dog, 0: cat}", False),
        ("other.yaml", "names: 5", False),
    ],
)
def test_lists_that_name_a_class_otherwise_are_noted(
    tmp_path: Path, file: str, content: str, differs: bool
) -> None:
    place = written(tmp_path, "names: [cat, dog]", a=BOX)
    (place / file).write_text(content)
    notes = [note for note in read_own(place, place / "images").notes if "otherwise" in note]
    assert len(notes) == differs
    if differs:
        (note,) = notes
        assert f"{file}: class 0 is " in note
        assert note.endswith("there, 'cat' as read")
