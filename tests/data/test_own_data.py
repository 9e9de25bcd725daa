"""Own data: parts, their division, what is completed, what is refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from labelled import COCO, write_labels, write_pictures

from unidet.data.image_files import image_names
from unidet.data.own_data import divide, read_own
from unidet.data.pictures import PictureFolder
from unidet.errors import UserError
from unidet.formats.annotations import annotations_of
from unidet.formats.labels.records import strictly
from unidet.pipelines.wiring.named_data import sets_in_folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "photos")


def document(categories: dict[str, list[int]]) -> dict[str, Any]:
    """Pictures by name with the categories of their boxes."""
    images = [{"id": row, "file_name": name} for row, name in enumerate(categories)]
    boxes = [(row, number) for row, own in enumerate(categories.values()) for number in own]
    return {
        "images": images,
        "categories": [{"id": n, "name": str(n)} for n in sorted({n for _, n in boxes})],
        "annotations": [
            {"id": row, "image_id": image, "category_id": number}
            for row, (image, number) in enumerate(boxes)
        ],
    }


def divided(content: dict[str, list[int]], fraction: float = 0.25, seed: int = 0) -> list[str]:
    """The pictures for evaluation; a picture's content is its name up to a hyphen."""
    parts = divide(
        document(content),
        seed=seed,
        fraction=fraction,
        digest_of=lambda name: hashlib.sha256(name.partition("-")[0].encode()).hexdigest(),
    )
    train, val = ([i["file_name"] for i in parts[part]["images"]] for part in ("train", "val"))
    assert sorted(train + val) == sorted(content)
    for part in parts.values():
        known = {image["id"] for image in part["images"]}
        assert {box["image_id"] for box in part["annotations"]} <= known
    return val


TWENTY = {f"p{number}": [1] for number in range(20)}


def test_a_share_of_the_pictures_is_for_evaluation() -> None:
    assert len(divided(TWENTY)) == 5
    assert len(divided(TWENTY, 0.01)) == 1
    assert len(divided({"a": [1], "b": [1]}, 0.9)) == 1


def test_the_division_depends_on_seed_and_content_alone() -> None:
    first = divided(TWENTY)
    assert sorted(divided(dict(reversed(TWENTY.items())))) == sorted(first)
    assert divided(TWENTY, seed=1) != first


def test_copies_of_a_picture_stay_together() -> None:
    copies = {f"{name}-{copy}": [1] for name in "abcdefgh" for copy in "xy"}
    val = divided(copies)
    assert len(val) == 4
    assert len({name[0] for name in val}) == 2


def test_every_name_is_evaluated_and_trained_where_it_can_be() -> None:
    """Name 2 has two pictures, name 3 one, which is for training."""
    rare = {"q": [2], "r": [2], "s": [3]}
    for seed in range(20):
        val = divided({**TWENTY, **rare}, seed=seed)
        assert len(val) == 6
        assert len({"q", "r"} & {*val}) == 1
        assert "s" not in val


def test_the_only_picture_of_a_name_is_for_training() -> None:
    """By hand: of 4 pictures half are wanted for evaluation, but `s` and `t` are the only ones of
    their names, and `a` and `b` the only ones of name 1: one of the latter is all that can go."""
    for seed in range(10):
        val = divided({"a": [1], "b": [1], "s": [2], "t": [3]}, 0.5, seed)
        assert val in (["a"], ["b"])


def test_one_is_for_evaluation_even_if_that_costs_a_name() -> None:
    """Every picture is the only one of a name; `c` of one name, the others of two."""
    for seed in range(10):
        assert divided({"a": [1, 2], "b": [3, 4], "c": [5]}, 0.9, seed) == ["c"]


def test_pictures_without_boxes_are_for_training() -> None:
    assert divided({"a": [1], "b": [1], "empty": []}, 0.9) in (["a"], ["b"])


@pytest.mark.parametrize("content", [{}, {"a": [1]}, {"a-x": [1], "a-y": [1]}, {"a": [], "b": [1]}])
def test_too_few_pictures_are_refused(content: dict[str, list[int]]) -> None:
    with pytest.raises(UserError, match="different annotated pictures are too few to divide"):
        divided(content)


# --- COCO's files ------------------------------------------------------------------------------


def test_what_coco_leaves_out_is_completed(tmp_path: Path, photos: Path) -> None:
    """Size by the picture's header, area by the box, the name as it lies on disk."""
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
    place = write_labels(tmp_path / "labels", "coco")
    (place / "labels.json").rename(place / "instances_train2017.json")
    content = json.loads((place / "instances_train2017.json").read_text())
    (place / "instances_val2017.json").write_text(json.dumps(content))
    assert set(read_own(place, photos).documents) == {"train", "val"}
    content["categories"][1]["name"] = "fox"
    (place / "instances_val2017.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="train and val have different categories"):
        read_own(place, photos)
    (place / "other.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="holds 3 annotation files"):
        read_own(place, photos)


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


def test_test_images_are_for_evaluation_where_no_others_are(tmp_path: Path, photos: Path) -> None:
    place = write_labels(tmp_path / "labels", "coco")
    text = (place / "labels.json").read_text()
    for part in ("train", "test"):
        (place / f"{part}.json").write_text(text)
    (place / "labels.json").unlink()
    assert set(read_own(place, photos).documents) == {"train", "val"}
    (place / "val.json").write_text(text)
    data = read_own(place, photos)
    assert set(data.documents) == {"train", "val"}
    (note,) = data.notes
    assert note == "2 × picture of the part test: left out, val is for evaluation, first a.png"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda photos: None, "no such folder; --images names the folder of the pictures"),
        (lambda photos: photos.mkdir(), "holds no picture"),
    ],
)
def test_a_folder_without_pictures_is_refused(tmp_path: Path, make: Any, says: str) -> None:
    make(tmp_path / "none")
    place = write_labels(tmp_path / "labels", "yolo")
    with pytest.raises(UserError, match=says):
        read_own(place, tmp_path / "none")


def test_links_in_a_circle_are_refused(photos: Path) -> None:
    """Followed, they would show each picture 40 times over, under other names."""
    (photos / "beside").mkdir()
    (photos / "beside/link").symlink_to("../../photos/beside/../beside/..")
    with pytest.raises(UserError, match="beside/link: links go round in a circle; remove it"):
        PictureFolder(photos)


def test_labels_without_a_box_are_refused(tmp_path: Path, photos: Path) -> None:
    place = write_labels(tmp_path / "labels", "yolo")
    for file in (place / "labels").rglob("*.txt"):
        file.write_text("")
    with pytest.raises(UserError, match="none of its 2 pictures has a labelled box"):
        read_own(place, photos)


def test_pictures_without_labels_are_counted(tmp_path: Path, photos: Path) -> None:
    place = write_labels(tmp_path / "labels", "voc")
    (photos / "c.png").write_bytes((photos / "a.png").read_bytes())
    (note,) = read_own(place, photos).notes
    assert note == "1 × picture that no annotation file lists, first c.png"


def test_a_category_without_a_name_is_refused(tmp_path: Path, photos: Path) -> None:
    content = json.loads(json.dumps(COCO["labels.json"]))
    del content["categories"][1]["name"]
    (tmp_path / "labels.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"categories\[1\] \(id 2\): 'name' is missing"):
        read_own(tmp_path / "labels.json", photos)
