"""Readers: the columns they give, what they skip, what they refuse and how they say so."""

from __future__ import annotations

import math
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from splits import read_split

from unidet.data.novelty import novel_categories, plain_names
from unidet.errors import UserError

Content = dict[str, list[dict[str, Any]]]
Write = Callable[[Content], Path]

URL = "http://images.cocodataset.org/val2017/000000000139.jpg"


def test_columns(content: Content, write: Write, folder: Path) -> None:
    split, report = read_split(write(content), folder, name="tiny")
    assert len(split) == 3
    assert split.image_ids.tolist() == [30, 10, 20]
    assert split.file_names == ("c.png", "a.png", "b.png")
    assert split.widths.tolist() == [64, 40, 50]
    assert split.heights.tolist() == [48, 60, 50]
    assert [category.name for category in split.categories] == ["ant", "zebra"]
    assert split.box_image.tolist() == [0, 0, 1, 1]
    assert split.labels.tolist() == [0, 1, 1, 1]
    assert split.is_crowd.tolist() == [False, False, False, True]
    expected = [[0.5, 0, 8.5, 8], [10, 10, 30, 30], [1, 2, 11, 22], [5, 5, 9, 9]]
    assert split.boxes_xyxy.tolist() == expected
    assert split.boxes_xyxy.dtype == np.float32
    assert split.boxes_of(2)[0].shape == (0, 4)
    counts = [(category.image_count, category.instance_count) for category in split.categories]
    assert counts == [(1, 1), (2, 3)]
    assert (report.images, report.boxes, report.crowds) == (3, 4, 1)
    assert report.noted["image without boxes"].first == "images[2] (id 20)"
    assert report.lines()[0].endswith("instances.json: 3 images, 4 boxes (1 crowd)")


@pytest.mark.parametrize(
    ("boxes", "said"),
    [
        ({10: [0, 0, 40, 60], 30: [0, 0, 64, 48]}, "box that is the whole image, as all are"),
        ({10: [5, 5, 20, 30], 30: [5, 5, 20, 30]}, "box that is the same as every other, as"),
        ({10: [5, 5, 20, 30], 30: [5, 6, 20, 30]}, ""),
        ({10: [0, 0, 40, 60]}, ""),
    ],
)
def test_boxes_that_teach_no_place_are_noted(
    content: Content, write: Write, folder: Path, boxes: dict[int, list[int]], said: str
) -> None:
    content["annotations"] = [
        {"id": number, "image_id": image, "category_id": 9, "bbox": boxes[image]}
        for number, image in enumerate([*boxes] * 6, start=1)
    ]
    noted = read_split(write(content), folder, name="tiny")[1].noted
    told = [remark for remark in noted if remark.startswith("box that is the")]
    assert [remark[: len(said)] for remark in told] == ([said] if said else [])
    assert all(noted[remark].count == 12 for remark in told)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"ignore": 1}, "annotation marked 'ignore'"),
        ({"bbox": [math.nan, 0, 5, 5]}, "box or area that is not finite"),
        ({"area": math.nan}, "box or area that is not finite"),
        ({"bbox": [0, 0, math.inf, 5]}, "box or area that is not finite"),
        ({"bbox": [3, 3, 0, 9]}, "box thinner than 1 pixel"),
        ({"bbox": [3, 3, 9, -4]}, "box with a negative side"),
        ({"bbox": [0.1, 0.2, 0.5, 0.5]}, "box in 0..1, which is no pixel"),
        ({"bbox": [0, 0, 1e300, 5]}, "box or area that is not finite"),
        ({"isIgnored": True}, "annotation marked 'ignore'"),
        ({"bbox": [40, 3, 9, 9]}, "box outside its image"),
        ({"bbox": [3, -30, 9, 9]}, "box outside its image"),
        ({"area": 0}, "area that is not positive"),
    ],
)
def test_unusable_boxes_are_skipped_and_counted(
    content: Content, write: Write, change: dict[str, Any], reason: str
) -> None:
    content["annotations"][2].update(change)
    split, report = read_split(write(content), None, name="tiny")
    assert len(split.labels) == 3
    assert {key: finding.count for key, finding in report.skipped.items()} == {reason: 1}
    assert report.skipped[reason].first == "annotations[2] (id 3)"
    assert split.categories[1].instance_count == 2


def test_boxes_of_an_image_keep_the_order_of_the_file(content: Content, write: Write) -> None:
    ids = [image["id"] for image in content["images"]]
    content["annotations"] = [
        {"id": n, "image_id": ids[n % 3], "category_id": 2, "bbox": [0, 0, 1 + n / 10, 9]}
        for n in range(99)
    ]
    split, _ = read_split(write(content), None, name="tiny")
    for row in range(3):
        expected = np.float32([1 + n / 10 for n in range(row, 99, 3)])
        np.testing.assert_array_equal(split.boxes_of(row)[0][:, 2], expected)


def test_overhanging_boxes_are_clipped_and_noted(content: Content, write: Write) -> None:
    content["annotations"][0]["bbox"] = [-5, 2, 50, 20]
    content["annotations"][1]["bbox"] = [0, 0, 64.4, 8]
    split, report = read_split(write(content), None, name="tiny")
    assert split.boxes_xyxy[2].tolist() == [0, 2, 40, 22]
    assert split.boxes_xyxy[0].tolist() == [0, 0, 64, 8]
    assert report.noted["box clipped to its image"].count == 1  # 0.4 pixels are rounding


@pytest.mark.parametrize(
    ("table", "row", "change", "message"),
    [
        ("images", 1, {"id": 30}, r"images\[1\] \(id 30\): its id is already taken by images\[0\]"),
        ("images", 1, {"id": "x"}, r"images\[1\] \(id 'x'\): 'id' is 'x', must be a whole number"),
        ("images", 2, {"width": 0}, r"images\[2\] \(id 20\): 'width' is missing or 0"),
        ("images", 2, {"width": -1}, r"images\[2\] \(id 20\): 'width' is -1"),
        ("images", 2, {"height": 9.5}, r"'height' is 9.5, must be a whole number"),
        ("images", 0, {"file_name": "../images.json"}, r"no image '\.\./images\.json' below"),
        ("images", 0, {"file_name": "c.jpg"}, r"\(1 of 3 .* 'c.png' has another ending"),
        ("images", 0, {"file_name": 3}, "'file_name' is 3, must be a path"),
        ("images", 0, {"file_name": "a\nb.png"}, "must be a path, in characters that print"),
        ("images", 0, {"file_name": "a\0.png"}, "must be a path"),
        ("images", 0, {"file_name": "\udcff.png"}, "must be a path"),
        ("images", 0, {"width": None}, "'width' is missing or 0"),
        ("images", 0, {"width": "9"}, "'width' is '9', must be a whole number"),
        (
            "images",
            0,
            {"file_name": "a.png"},
            r"images\[1\] .* 'a.png' is already that of images\[0\]",
        ),
        ("images", 0, {"file_name": None}, "neither 'file_name' nor 'coco_url'"),
        ("images", 0, {"file_name": "gone.png"}, r"no image 'gone.png' .*\(1 of 3 images"),
        ("categories", 1, {"id": 9}, r"categories\[1\] \(id 9\): its id is already taken"),
        ("categories", 1, {"name": " "}, "'name' is ' ', must be a non-empty text"),
        ("categories", 0, {"frequency": "x"}, "must be 'r', 'c' or 'f'"),
        ("annotations", 3, {"id": 2}, r"annotations\[3\] \(id 2\): its id is already taken"),
        ("annotations", 1, {"category_id": 5}, "category_id 5 is not among the 2 categories"),
        ("annotations", 1, {"image_id": 99}, r"annotations\[1\] \(id 2\): image_id 99 is not"),
        ("annotations", 1, {"bbox": [1, 2, 3]}, r"'bbox' is \[1, 2, 3\], must be \[x, y, width"),
        ("annotations", 1, {"bbox": [1, 2, 3, "4"]}, r"must be \[x, y, width, height\]"),
        ("annotations", 1, {"area": None}, "'area' is None, must be a number"),
    ],
)
def test_fatal_records_are_named(
    content: Content,
    write: Write,
    folder: Path,
    table: str,
    row: int,
    change: dict[str, Any],
    message: str,
) -> None:
    content[table][row].update(change)
    with pytest.raises(UserError, match=message) as caught:
        read_split(write(content), folder, name="tiny")
    assert str(caught.value).startswith(str(folder.parent / "instances.json"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("side", ["width", "height"])
def test_a_missing_size_is_named(content: Content, write: Write, side: str) -> None:
    del content["images"][1][side]
    with pytest.raises(UserError, match=rf"images\[1\] \(id 10\): '{side}' is missing"):
        read_split(write(content), None, name="tiny")


def test_a_missing_field_is_named(content: Content, write: Write) -> None:
    del content["annotations"][2]["bbox"]
    with pytest.raises(UserError, match=r"annotations\[2\] \(id 3\): 'bbox' is missing"):
        read_split(write(content), None, name="tiny")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"images": [\n{"id": 1,}]}', "malformed JSON at line 2"),
        ('{"images": [', "malformed JSON at line 1"),
        ("[]", "holds no object; annotations are"),
        ("{}", "has no 'categories'"),
        ('{"categories": [{"id": 1, "name": "a"}], "images": []}', "'images' is empty"),
        ('{"categories": 3}', "'categories' must be a list"),
        ('{"categories": [3]}', r"categories\[0\]: is 3, must be an object"),
    ],
)
def test_broken_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "broken.json"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        read_split(path, None, name="tiny")


def test_absent_or_binary_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        read_split(tmp_path / "none.json", None, name="tiny")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not a JSON text file"):
        read_split(tmp_path / "binary.json", None, name="tiny")


def test_a_split_of_crowds_alone_is_refused(content: Content, write: Write) -> None:
    for record in content["annotations"]:
        record["iscrowd"] = 1
    with pytest.raises(UserError, match="all 4 usable boxes are crowds"):
        read_split(write(content), None, name="tiny")


def test_a_split_without_usable_boxes_is_refused(content: Content, write: Write) -> None:
    for record in content["annotations"]:
        record["bbox"] = [0, 0, 0, 0]
    with pytest.raises(UserError, match="of its 4 annotations has a usable box; 4 × box thin"):
        read_split(write(content), None, name="tiny")


def test_one_image_with_one_box(write: Write) -> None:
    document = {
        "images": [{"id": 1, "file_name": "a.png", "width": 5.0, "height": 5}],
        "categories": [{"id": 1, "name": "a"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1]}],
    }
    split, report = read_split(write(document), None, name="tiny")
    assert split.boxes_xyxy.tolist() == [[0, 0, 1, 1]]
    assert report.skipped == {}
    assert report.noted == {}


@pytest.mark.parametrize(
    ("record", "place"),
    [
        ({"file_name": "images/v1/patch8/objects365_v1_4.jpg"}, "patch8/objects365_v1_4.jpg"),
        ({"coco_url": URL}, "val2017/000000000139.jpg"),
        ({"coco_url": URL}, "000000000139.jpg"),
        ({"coco_url": f"{URL}?width=640&name=a/b.png#top"}, "val2017/000000000139.jpg"),
        ({"file_name": "a?b.jpg"}, "a?b.jpg"),
        ({"file_name": "COCO_val2014_000000000139.jpg"}, "000000000139.jpg"),
        ({"file_name": "COCO_val2014_000000000139.jpg"}, "train2017/000000000139.jpg"),
        ({"file_name": "COCO_val2014_000000000139.jpg"}, "COCO_val2014_000000000139.jpg"),
        ({"file_name": "000a1249af2bc5f0.jpg"}, "000a1249af2bc5f0.jpg"),
    ],
)
def test_official_layouts(
    tmp_path: Path, write: Write, content: Content, record: dict[str, str], place: str
) -> None:
    root = tmp_path / "layout"
    (root / place).parent.mkdir(parents=True)
    (root / place).touch()
    content["images"] = [{"id": 10, "width": 40, "height": 60, **record}]
    content["annotations"] = content["annotations"][:1]
    split, _ = read_split(write(content), root, name="tiny")
    assert split.file_names == (place,)


@pytest.mark.parametrize(
    ("written", "place"),
    [
        (unicodedata.normalize("NFC", "données/café.jpg"), "NFD"),
        (unicodedata.normalize("NFD", "données/café.jpg"), "NFC"),
        ("données\\café.jpg", "NFC"),
        (".//données/café.jpg", "NFC"),
        (unicodedata.normalize("NFD", "val\\données\\café.jpg"), "NFC"),
    ],
)
def test_names_are_matched_however_they_are_spelt(
    tmp_path: Path, write: Write, content: Content, written: str, place: Any
) -> None:
    root = tmp_path / "spelt"
    stored = unicodedata.normalize(place, "données/café.jpg")
    (root / stored).parent.mkdir(parents=True)
    (root / stored).touch()
    content["images"] = [{"id": 10, "width": 40, "height": 60, "file_name": written}]
    content["annotations"] = content["annotations"][:1]
    split, report = read_split(write(content), root, name="tiny")
    assert split.file_names == (stored,)
    assert not any("folder" in remark for remark in report.noted)


def test_a_name_on_disk_is_taken_before_one_that_reads_like_it(
    tmp_path: Path, write: Write, content: Content
) -> None:
    names = [unicodedata.normalize(form, "é.jpg") for form in ("NFC", "NFD")]
    for name in names:
        (tmp_path / name).touch()
    content["images"] = [
        {"id": number, "width": 9, "height": 9, "file_name": name}
        for number, name in zip((10, 30), names, strict=True)
    ]
    content["annotations"] = content["annotations"][:2]
    split, _ = read_split(write(content), tmp_path, name="tiny")
    assert list(split.file_names) == names


def test_capitals_do_not_matter_where_one_image_alone_is_meant(
    content: Content, write: Write, folder: Path
) -> None:
    content["images"][0]["file_name"] = "Images\\C.PNG"
    split, report = read_split(write(content), folder, name="tiny")
    assert split.file_names[0] == "c.png"
    assert report.noted["file name with other capitals than the image's"].count == 1
    assert "percent" not in str(report)
    assert "taken from" not in str(report)
    (folder / "C.png").touch()
    with pytest.raises(UserError, match=r"no image 'Images\\\\C\.PNG'"):
        read_split(write(content), folder, name="tiny")


def test_a_name_in_percent_encoding_is_read_where_no_other_is_there(
    content: Content, write: Write, folder: Path
) -> None:
    """Label Studio exports names so, the images' own ones not."""
    place = folder / "fo to" / "é #1.png"
    place.parent.mkdir()
    (folder / "c.png").rename(place)
    written = "fo%20to/%C3%A9%20%231.png"
    content["images"] = [{**content["images"][0], "file_name": written}]
    content["annotations"] = [{**content["annotations"][0], "image_id": content["images"][0]["id"]}]
    split, report = read_split(write(content), folder, name="tiny")
    assert split.file_names == ("fo to/é #1.png",)
    assert report.noted["file name in percent encoding, which the image's is not"].count == 1
    assert len(report.noted) == 1
    (folder / "fo%20to").mkdir()
    (folder / written).touch()
    assert read_split(write(content), folder, name="tiny")[0].file_names == (written,)


@pytest.mark.parametrize(
    "home",
    [
        *(
            "/home/me/set/",
            "C:\\Users\\me\\set\\",
            "..\\..\\media\\upload\\4\\",
            "../",
            "/",
            "file:///set/",
        ),
        *(
            "set/",
            ".\\set\\",
            "data/set/",
            "https://me.example/set/",
            "s3://bucket/set/",
            "/data/local-files/?d=set/",
        ),
    ],
)
def test_paths_of_another_machine_end_as_those_below_the_folder(
    content: Content, write: Write, folder: Path, home: str
) -> None:
    """Where the longest end is there, before a shorter one."""
    names = ("x/c.png", "a.png", "b.png")
    (folder / "x").mkdir()
    (folder / "c.png").rename(folder / "x" / "c.png")
    shutil.copytree(folder, folder.parent / "set")
    (folder.parent / "set").rename(folder / "set")
    for image, name in zip(content["images"], names, strict=True):
        image["file_name"] = home + name
    split, report = read_split(write(content), folder, name="tiny")
    assert split.file_names == tuple(f"set/{name}" if "set" in home else name for name in names)
    assert "taken from" not in str(report)
    shutil.rmtree(folder / "set")
    split, report = read_split(write(content), folder, name="tiny")
    assert split.file_names == names
    assert "taken from" not in str(report)


def test_paths_of_other_machines_are_told(content: Content, write: Write, folder: Path) -> None:
    """One begins otherwise: it may be another image."""
    for image, home in zip(content["images"], ("/one", "/one", "/two"), strict=True):
        image["file_name"] = f"{home}/{image['file_name']}"
    _, report = read_split(write(content), folder, name="tiny")
    remark = "image taken from another folder than the one named ('c.png')"
    assert report.noted[remark].count == 3


@pytest.mark.parametrize(
    ("written", "remark"),
    [
        ("c", "file name without the image's ending"),
        ("c.png ", ""),
        ("0a1b2c3d-c.png", "file name with the mark of an upload to Label Studio"),
        ("upload/3/0a1b2c3d-c.png", "file name with the mark of an upload to Label Studio"),
    ],
)
def test_names_that_tools_change(
    content: Content, write: Write, folder: Path, written: str, remark: str
) -> None:
    content["images"] = [{**content["images"][0], "file_name": written}]
    content["annotations"] = [content["annotations"][1]]
    split, report = read_split(write(content), folder, name="tiny")
    assert split.file_names == ("c.png",)
    assert [text.startswith(remark) for text in report.noted] == [True] * bool(remark)


def test_images_from_another_folder_are_noted(content: Content, write: Write, folder: Path) -> None:
    for image in content["images"]:
        image["file_name"] = "images\\" + image["file_name"]
    assert "taken from" not in str(read_split(write(content), folder, name="tiny")[1])
    folder = folder.rename(folder.parent / "other")  # its own name enters no key
    assert "taken from" not in str(read_split(write(content), folder, name="tiny")[1])
    content["images"][0]["file_name"] = content["images"][0]["file_name"].replace("images", "more")
    _, report = read_split(write(content), folder, name="tiny")
    remark = "image taken from another folder than the one named ('c.png')"
    assert report.noted[remark].count == 3


def test_one_image_from_another_folder_is_refused(
    content: Content, write: Write, folder: Path
) -> None:
    """Of three images two lie in `val`; the third one of that name may be another image."""
    (folder / "val").mkdir()
    for image in content["images"][:2]:
        (folder / image["file_name"]).rename(folder / "val" / image["file_name"])
    for image in content["images"]:
        image["file_name"] = f"val/{image['file_name']}"
    with pytest.raises(UserError, match=r"images\[2\] .*: no image 'val/b.png', only 'b.png'"):
        read_split(write(content), folder, name="tiny")


def test_an_absent_images_folder_is_named(content: Content, write: Write, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere: no such folder"):
        read_split(write(content), tmp_path / "nowhere", name="tiny")


def test_novel_categories(content: Content, write: Write) -> None:
    split, _ = read_split(write(content), None, name="tiny")
    novel = novel_categories(split.categories, ["Ant_(insect)", "aardvark"])
    assert list(novel.values()) == [False, True]


def test_a_category_is_not_novel_under_a_synonym(content: Content, write: Write) -> None:
    """Nor is another one of its plain name: names that differ in brackets count as one."""
    content["categories"][0]["synonyms"] = ["zebra_(animal)", "quagga"]
    content["categories"].append({"id": 11, "name": "zebra_(crossing)", "is_novel": True})
    split, _ = read_split(write(content), None, name="tiny")
    assert split.categories[1].synonyms == ("zebra_(animal)", "quagga")
    novel = novel_categories(split.categories, ["Quagga"])
    assert list(novel.values()) == [True, False, False]


def test_plain_names() -> None:
    assert plain_names("mouse_(computer_equipment)") == {"mouse"}
    assert plain_names("Traffic  Light") == plain_names("traffic_light") == {"traffic light"}
    assert plain_names("Awning/Canopy") == {"awning", "canopy"}
    assert plain_names("(x)") == {"(x)"}


@pytest.mark.parametrize(
    ("file", "images", "sizes"),
    [
        ("coco/annotations/instances_train2017.json", "coco/train2017", (264, 2284, 80)),
        ("coco/annotations/instances_val2017.json", "coco", (121, 902, 80)),
        ("coco/annotations/instances_train2017_half_a.json", "coco/train2017", (132, 1131, 80)),
        (
            "objects365/annotations/zhiyuan_objv2_train_half_b.json",
            "coco/train2017",
            (132, 1153, 365),
        ),
        ("lvis/lvis_v1_projected_val.json", "coco", (121, 898, 1203)),
        ("lvis/lvis_v0.5_val_12.json", "coco/val2017", (12, 139, 1230)),
        ("lvis/lvis_v0.5_val_100.json", None, (100, 977, 1230)),
    ],
)
def test_real_files(
    reference: Path, file: str, images: str | None, sizes: tuple[int, int, int]
) -> None:
    bench = reference / "bench"
    split, report = read_split(bench / file, images and bench / images, name="real")
    assert (len(split), len(split.labels), len(split.categories)) == sizes
    assert report.skipped == {}
    if images == "coco/val2017":
        assert split.file_names[0] == "000000011813.jpg"


def test_missing_real_images_are_counted(reference: Path) -> None:
    bench = reference / "bench"
    with pytest.raises(UserError, match=r"images\[0\] \(id 266409\): .*88 of 100 images"):
        read_split(bench / "lvis/lvis_v0.5_val_100.json", bench / "coco/val2017", name="real")
