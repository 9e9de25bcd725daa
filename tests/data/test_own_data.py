"""Own data: parts, what is completed, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from labelled import COCO, write_labels, write_pictures
from PIL import Image

from unidet.data.image_files import image_names
from unidet.data.own_data import read_own, reader_of
from unidet.data.pictures import PictureFolder
from unidet.errors import UserError
from unidet.formats.annotations import annotations_of
from unidet.formats.labels.records import Box, Labelled, Labels, strictly
from unidet.pipelines.wiring.named_data import sets_in_folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "photos")


def write_coco(folder: Path, **files: list[str]) -> None:
    """Files of COCO that list these of the two images, with their boxes."""
    content = COCO["labels.json"]
    for file, names in files.items():
        images = [image for image in content["images"] if image["file_name"] in names]
        ids = {image["id"] for image in images}
        boxes = [box for box in content["annotations"] if box["image_id"] in ids]
        document = {**content, "images": images, "annotations": boxes}
        (folder / f"{file}.json").write_text(json.dumps(document))


def write_renamed(file: Path, name: str) -> None:
    """A file of COCO that lists the smaller image alone, called `name`."""
    write_coco(file.parent, **{file.stem: ["in/b.png"]})
    file.write_text(file.read_text().replace("in/b.png", name))


@pytest.mark.parametrize(("format_name", "told"), [("yolo", 1), ("openimages", 1), ("voc", 0)])
def test_pictures_that_exif_turns_are_noted_where_labels_do_not_say_their_size(
    tmp_path: Path, photos: Path, format_name: str, told: int
) -> None:
    place = write_labels(tmp_path / "labels", format_name)
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    stored = Image.new("RGB", (80, 100))
    stored.save(photos / "a.png", exif=exif)
    data = read_own(place, photos)
    note = "1 × image turned upright by its EXIF orientation: its labels are read as of the upright"
    assert [text.startswith(note) for text in data.notes].count(True) == told
    assert data.documents[""]["images"][0]["width"] == 100


# --- COCO's files ------------------------------------------------------------------------------


def test_what_coco_leaves_out_is_completed(tmp_path: Path, photos: Path) -> None:
    """Size by the image's header, area by the box, the name as it lies on disk."""
    content = json.loads(json.dumps(COCO["labels.json"]))
    del content["images"][1]["width"], content["images"][1]["height"]
    content["images"][1]["file_name"] = "elsewhere/b.png"
    content["annotations"][0] |= {"area": 7.5, "iscrowd": 1}
    (photos / "in/b.png").rename(photos / "b.png")
    (tmp_path / "labels.json").write_text(json.dumps(content))
    document = read_own(tmp_path / "labels.json", photos).documents[""]
    assert document["images"][1] == {"id": 2, "file_name": "b.png", "width": 60, "height": 40}
    assert [box["area"] for box in document["annotations"]] == [7.5, 200, 400]


def test_two_files_of_coco_are_the_parts_that_their_names_say(tmp_path: Path, photos: Path) -> None:
    place = tmp_path / "labels"
    place.mkdir()
    write_coco(place, instances_train2017=["a.png"], instances_val2017=["in/b.png"])
    assert set(read_own(place, photos).documents) == {"train", "val"}
    content = json.loads((place / "instances_val2017.json").read_text())
    content["categories"][1]["name"] = "fox"
    (place / "instances_val2017.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="train and val have different categories"):
        read_own(place, photos)
    (place / "other.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="holds 3 annotation files"):
        read_own(place, photos)


@pytest.mark.parametrize(("first", "second"), [("0.png", "1.png"), ("0.png", "0.png")])
def test_pictures_in_a_folder_of_each_part_are_found_by_name(
    tmp_path: Path, first: str, second: str
) -> None:
    """`images/train` and `images/val`, whose files may have the same names."""
    for place in (f"train/{first}", f"val/{second}"):
        (tmp_path / "images" / place).parent.mkdir(parents=True)
        Image.new("RGB", (60, 40)).save(tmp_path / "images" / place)
    labels = tmp_path / "labels"
    labels.mkdir()
    write_renamed(labels / "instances_train.json", first)
    write_renamed(labels / "instances_val.json", second)
    data = read_own(labels, tmp_path / "images")
    named = {part: own["images"][0]["file_name"] for part, own in data.documents.items()}
    assert named == {"train": f"train/{first}", "val": f"val/{second}"}
    (labels / "instances_val.json").rename(tmp_path / "boxes.json")
    if first != second:
        (only,) = read_own(tmp_path / "boxes.json", tmp_path / "images").documents.values()
        assert only["images"][0]["file_name"] == f"val/{second}"
        return
    says = r"'0.png' below .* \(1 of 1 .* there is 'train/0.png' and 'val/0.png'"
    with pytest.raises(UserError, match=says):
        read_own(tmp_path / "boxes.json", tmp_path / "images")


def test_of_a_long_path_the_end_is_told(tmp_path: Path, photos: Path) -> None:
    write_renamed(tmp_path / "labels.json", f"{'far/' * 30}lost.png")
    with pytest.raises(UserError, match=r"no image '….*/far/lost\.png' below") as refused:
        read_own(tmp_path / "labels.json", photos)
    assert "far/" * 30 not in str(refused.value)


@pytest.mark.parametrize("evaluated", ["val", "test"])
def test_pictures_for_evaluation_that_training_names_too_are_refused(
    tmp_path: Path, photos: Path, evaluated: str
) -> None:
    write_coco(tmp_path, **{"train": ["a.png", "in/b.png"], evaluated: ["in/b.png"]})
    with pytest.raises(UserError, match=r"train and val share images \(1\), first in/b\.png"):
        read_own(tmp_path, photos)


def test_the_folders_of_a_part_hold_its_file_and_its_pictures(tmp_path: Path) -> None:
    """As Roboflow exports COCO: the same names in each folder."""
    for part in ("train", "valid", "test"):
        folder = write_pictures(tmp_path / part)
        (folder / "_annotations.coco.json").write_text(json.dumps(COCO["labels.json"]))
    data = read_own(tmp_path, tmp_path)
    assert {
        part: [image["file_name"] for image in own["images"]]
        for part, own in data.documents.items()
    } == {"train": ["train/a.png", "train/in/b.png"], "val": ["valid/a.png", "valid/in/b.png"]}
    checked = {
        entry.name: image_names(annotations_of(entry.file, entry.read()).images, entry.images)[0]
        for entry in sets_in_folder(tmp_path, tmp_path, "", strictly, [].append)
    }
    assert checked == {
        name: (f"{folder}/a.png", f"{folder}/in/b.png")
        for name, folder in (("test", "test"), ("train", "train"), ("val", "valid"))
    }


def test_categories_of_parts_are_matched_by_name(tmp_path: Path, photos: Path) -> None:
    """Each part is numbered by itself, and lacks what no image of it shows."""
    write_coco(tmp_path, train=["a.png"], val=["in/b.png"])
    file = tmp_path / "val.json"
    content = json.loads(file.read_text())
    content["categories"] = [{"id": 7, "name": "cat"}]
    for box in content["annotations"]:
        box["category_id"] = 7
    file.write_text(json.dumps(content))
    data = read_own(tmp_path, photos)
    assert data.documents["val"]["categories"] == data.documents["train"]["categories"]
    assert [box["category_id"] for box in data.documents["val"]["annotations"]] == [1]
    (note,) = data.notes
    assert note.startswith("2 × category that val numbers otherwise than train, or lacks")
    content["categories"] = [{"id": 7, "name": "cat"}, {"id": 8, "name": "cat"}]
    file.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"different categories \(2 and 2, by name\), first"):
        read_own(tmp_path, photos)


def test_other_files_of_coco_beside_its_boxes_are_passed_over(tmp_path: Path, photos: Path) -> None:
    """`annotations` as it is published."""
    write_coco(tmp_path, instances_train2017=["a.png"], instances_val2017=["in/b.png"])
    for part in ("train2017", "val2017"):
        text = (tmp_path / f"instances_{part}.json").read_text()
        (tmp_path / f"person_keypoints_{part}.json").write_text(text)
        (tmp_path / f"captions_{part}.json").write_text('{"images": [], "annotations": []}')
    assert set(read_own(tmp_path, photos).documents) == {"train", "val"}


@pytest.mark.parametrize("format_name", ["yolo", "voc", "labelme", "cvat"])
@pytest.mark.parametrize(
    ("folders", "parts"),
    [
        (("train", "valid"), {"train": ["train/a.png"], "val": ["valid/b.png"]}),
        (("Train", "test"), {"train": ["Train/a.png"], "val": ["test/b.png"]}),
        (("train/cats", "val/dogs"), {"train": ["train/cats/a.png"], "val": ["val/dogs/b.png"]}),
        (("train", "more"), {"": ["more/b.png", "train/a.png"]}),
        (("val", "test"), {"": ["test/b.png", "val/a.png"]}),
    ],
)
def test_folders_of_images_that_name_parts_are_the_parts(
    tmp_path: Path, format_name: str, folders: tuple[str, str], parts: dict[str, list[str]]
) -> None:
    """As Roboflow exports Pascal VOC: else copies of one image would be in both parts."""
    images = []
    for folder, name in zip(folders, "ab", strict=True):
        (tmp_path / "photos" / folder).mkdir(parents=True)
        Image.new("RGB", (20, 10), name == "a").save(tmp_path / "photos" / folder / f"{name}.png")
        images.append(Labelled(f"{folder}/{name}.png", 20, 10, (Box("cat", (1, 1, 9, 9)),)))
    place = tmp_path / "labels"
    place.mkdir()
    reader_of(format_name).write(Labels(("cat",), tuple(images)), place, tmp_path / "photos")
    if format_name == "yolo":
        (place / "data.yaml").write_text("names: [cat]\n")
    data = read_own(place, tmp_path / "photos", format_name)
    found = {
        part: sorted(image["file_name"] for image in own["images"])
        for part, own in data.documents.items()
    }
    assert found == parts
    told = any("2 × image in a folder that is called like a part" in note for note in data.notes)
    assert told == ("train" in parts)


def test_a_picture_in_no_such_folder_leaves_all_undivided(tmp_path: Path) -> None:
    images = []
    for name in ("train/a.png", "val/b.png", "c.png"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 10), len(images)).save(tmp_path / "photos" / name)
        images.append(Labelled(name, 20, 10, (Box("cat", (1, 1, 9, 9)),)))
    (tmp_path / "labels").mkdir()
    labels = Labels(("cat",), tuple(images))
    reader_of("cvat").write(labels, tmp_path / "labels", tmp_path / "photos")
    assert set(read_own(tmp_path / "labels", tmp_path / "photos").documents) == {""}


@pytest.mark.parametrize("is_root", [True, False])
def test_a_category_that_stands_for_all_others_is_left_out(tmp_path: Path, is_root: bool) -> None:
    """As Roboflow writes the project; one with boxes, or beside others, is a category."""
    write_pictures(tmp_path / "photos")
    file = write_labels(tmp_path / "labels", "coco") / "labels.json"
    content = json.loads(file.read_text())
    above = "pets" if is_root else "other"
    content["categories"] = [entry | {"supercategory": above} for entry in content["categories"]]
    content["categories"].append({"id": 0, "name": "pets", "supercategory": "none"})
    file.write_text(json.dumps(content))
    data = read_own(file, tmp_path / "photos")
    names = [entry["name"] for entry in data.documents[""]["categories"]]
    assert ("pets" in names) != is_root
    left_out = (
        "1 × category that stands for all others, or none, and has no box: left out, first pets"
    )
    assert (left_out in data.notes) == is_root


def test_test_images_are_for_evaluation_where_no_others_are(tmp_path: Path, photos: Path) -> None:
    write_coco(tmp_path, train=["a.png"], test=["in/b.png"])
    assert set(read_own(tmp_path, photos).documents) == {"train", "val"}
    write_coco(tmp_path, val=["in/b.png"])
    data = read_own(tmp_path, photos)
    assert set(data.documents) == {"train", "val"}
    (note,) = data.notes
    assert note == "1 × image of the part test: left out, val is for evaluation, first in/b.png"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda photos: None, "no such folder; --images names the folder of the images"),
        (lambda photos: photos.mkdir(), "holds no image"),
        (lambda photos: photos.write_bytes(b"PK\3\4" + bytes(60)), r"is packed \(zip\): unpack it"),
        (lambda photos: photos.write_text("a.jpg"), "none: is a file; --images names the folder"),
    ],
)
def test_a_folder_without_pictures_is_refused(tmp_path: Path, make: Any, says: str) -> None:
    make(tmp_path / "none")
    place = write_labels(tmp_path / "labels", "yolo")
    with pytest.raises(UserError, match=says):
        read_own(place, tmp_path / "none")


@pytest.mark.parametrize("format_name", ["voc", "yolo", "labelme", "coco"])
def test_names_that_differ_in_case_alone_are_noted_in_all_formats(
    tmp_path: Path, photos: Path, format_name: str
) -> None:
    place = write_labels(tmp_path / "labels", format_name)
    for file in filter(Path.is_file, place.rglob("*")):
        file.write_text(file.read_text().replace("dog", "Cat"))
    (note,) = read_own(place, photos).notes
    assert note.startswith("1 × category with a name that another has but for case, spaces")


def test_links_in_a_circle_are_refused(photos: Path) -> None:
    """Followed, they would show each image 40 times over, under other names."""
    (photos / "beside").mkdir()
    (photos / "beside/link").symlink_to("../../photos/beside/../beside/..")
    with pytest.raises(UserError, match="beside/link: links form a cycle; remove it"):
        PictureFolder(photos)


def test_so_are_two_folders_that_link_to_each_other(photos: Path) -> None:
    for one, other in (("left", "right"), ("right", "left")):
        (photos / one).mkdir()
        (photos / one / "link").symlink_to(f"../{other}")
    with pytest.raises(UserError, match=r"/link/link: links form a cycle; remove it"):
        PictureFolder(photos)


def test_labels_without_a_box_are_refused(tmp_path: Path, photos: Path) -> None:
    place = write_labels(tmp_path / "labels", "yolo")
    for file in (place / "labels").rglob("*.txt"):
        file.write_text("")
    (tmp_path / "coco.json").write_text(json.dumps({**COCO["labels.json"], "annotations": []}))
    for labels in (place, tmp_path / "coco.json"):
        with pytest.raises(UserError, match=f"{labels}: none of its 2 images has a labelled box"):
            read_own(labels, photos)


def test_pictures_without_labels_are_counted(tmp_path: Path, photos: Path) -> None:
    place = write_labels(tmp_path / "labels", "voc")
    (photos / "c.png").write_bytes((photos / "a.png").read_bytes())
    (note,) = read_own(place, photos).notes
    assert note == "1 × image that no annotation file lists, first c.png"


@pytest.mark.parametrize("format_name", ["openimages", "labelstudio", "cvat", "voc", "labelme"])
def test_pictures_that_are_not_there_are_counted(
    tmp_path: Path, photos: Path, format_name: str
) -> None:
    place = write_labels(tmp_path / "labels", format_name)
    (photos / "a.png").unlink()
    told = f"below {photos}, got .*; 1 of the 2 images that the labels name are not there: give"
    with pytest.raises(UserError, match=told):
        read_own(place, photos)


def test_an_annotation_of_id_0_gets_another(tmp_path: Path, photos: Path) -> None:
    content = json.loads(json.dumps(COCO["labels.json"]))
    content["annotations"][0]["id"] = 0
    (tmp_path / "labels.json").write_text(json.dumps(content))
    data = read_own(tmp_path / "labels.json", photos)
    assert [box["id"] for box in data.documents[""]["annotations"]] == [4, 2, 3]
    (note,) = data.notes
    assert note.startswith("1 × annotation of id 0: given another, as official AP would count it")


def test_a_category_without_a_name_is_refused(tmp_path: Path, photos: Path) -> None:
    content = json.loads(json.dumps(COCO["labels.json"]))
    del content["categories"][1]["name"]
    (tmp_path / "labels.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"categories\[1\] \(id 2\): 'name' is missing"):
        read_own(tmp_path / "labels.json", photos)
