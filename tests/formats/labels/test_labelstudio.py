"""Label Studio: which regions are boxes, which image a task means, what is no region."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from labelled import write_pictures

from unidet.data.own_data import OwnData, read_own
from unidet.errors import UserError

SQUARE = {"x": 10, "y": 10, "width": 10, "height": 10}
CAT = {"type": "rectanglelabels", "value": {**SQUARE, "rectanglelabels": ["cat"]}}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "photos")


def read(photos: Path, *tasks: Any) -> OwnData:
    file = photos.parent / "export.json"
    file.write_text(json.dumps(tasks))
    return read_own(file, photos, "labelstudio")


def annotated(*results: Any, **data: str) -> dict[str, Any]:
    return {"data": data or {"image": "a.png"}, "annotations": [{"result": [*results]}]}


def boxes(data: OwnData) -> list[list[float]]:
    return [record["bbox"] for record in data.documents[""]["annotations"]]


@pytest.mark.parametrize("value", [None, "x", [], 5])
def test_what_is_no_object_is_one_line(photos: Path, value: Any) -> None:
    with pytest.raises(UserError, match=r"task\[0\]: region\[0\]: must be an object"):
        read(photos, annotated(value))
    with pytest.raises(UserError, match=r"task\[0\]: annotations\[0\]: must be an object"):
        read(photos, {"data": {"image": "a.png"}, "annotations": [value]})


def test_an_address_that_is_none_names_no_picture(photos: Path) -> None:
    assert len(boxes(read(photos, annotated(CAT, text="http://[x", image="a.png")))) == 1


def test_a_list_of_pictures_is_refused_as_such(photos: Path) -> None:
    """A gallery, or the pages of a document."""
    task = {"data": {"pages": ["a.png", "in/b.png"]}, "annotations": [{"result": [CAT]}]}
    with pytest.raises(UserError, match=r"must name one image, not a list, got \['a\.png', 'in"):
        read(photos, task)
    with pytest.raises(UserError, match=r"must name an image below .*, got \[\]"):
        read(photos, {"data": {"pages": []}, "annotations": [{"result": [CAT]}]})


def test_of_several_pictures_that_of_image_counts(photos: Path) -> None:
    data = read(photos, annotated(CAT, prev="in/b.png", image="a.png"))
    assert [image["file_name"] for image in data.documents[""]["images"]] == ["a.png"]
    with pytest.raises(UserError, match="must name one image, or that to label as 'image'"):
        read(photos, annotated(CAT, prev="in/b.png", next="a.png"))


def test_a_relation_is_left_out_with_a_note(photos: Path) -> None:
    data = read(photos, annotated(CAT, {"type": "relation", "from_id": "p", "to_id": "q"}))
    assert boxes(data) == [[10, 8, 10, 8]]
    assert "relation between regions: left out" in data.notes[0]


def test_a_shape_and_its_name_of_one_id_are_one_box(photos: Path) -> None:
    shape = {"id": "p", "type": "rectangle", "value": SQUARE}
    name = {"id": "p", "type": "labels", "value": {**SQUARE, "labels": ["cat"]}}
    data = read(photos, annotated(shape, name))
    assert boxes(data) == [[10, 8, 10, 8]]
    assert not [note for note in data.notes if "region" in note]


def test_a_second_name_is_noted(photos: Path) -> None:
    region = {"type": "rectanglelabels", "value": {**SQUARE, "rectanglelabels": ["cat", "dog"]}}
    data = read(photos, annotated(region))
    assert "region with several names: the first counts" in data.notes[0]


def test_a_turned_picture_is_refused(photos: Path) -> None:
    with pytest.raises(UserError, match=r"region\[0\]: 'image_rotation' must be 0.*got 90"):
        read(photos, annotated({**CAT, "image_rotation": 90}))


def test_objects_of_json_min_that_are_no_regions_are_passed_over(photos: Path) -> None:
    region = {**SQUARE, "rectanglelabels": ["cat"], "original_width": 100}
    data = read(photos, {"image": "a.png", "label": [region], "tags": [{"a": 1}]})
    assert boxes(data) == [[10, 8, 10, 8]]
    assert not [note for note in data.notes if "region" in note]


def test_of_several_annotations_the_first_counts_with_a_note(photos: Path) -> None:
    task = annotated(CAT)
    task["annotations"] += [{"result": [CAT, CAT]}, {"result": [CAT], "was_cancelled": True}]
    data = read(photos, task)
    assert boxes(data) == [[10, 8, 10, 8]]
    assert "1 × task with several annotations: the first counts" in data.notes[0]


@pytest.mark.parametrize("key", ["annotations", "completions"])
def test_tasks_that_were_skipped_or_not_annotated_are_no_images_without_objects(
    photos: Path, key: str
) -> None:
    """One that was annotated with nothing is."""
    skipped = {"result": [], "was_cancelled": True}
    second = {"data": {"image": "in/b.png"}}
    for made, note in (
        ([skipped, skipped], "1 × task whose annotations were skipped: left out"),
        ([], "1 × task that nobody has annotated: left out"),
        ([skipped, {"result": []}], ""),
    ):
        data = read(photos, annotated(CAT), {**second, key: made})
        names = [image["file_name"] for own in data.documents.values() for image in own["images"]]
        assert sorted(names) == (["a.png"] if note else ["a.png", "in/b.png"])
        assert [text for text in data.notes if note and note in text] or not note


@pytest.mark.parametrize("sides", [(80, 100), (100, 60), (1000, 2000)])
def test_a_region_of_a_picture_of_another_shape_is_refused(
    photos: Path, sides: tuple[int, int]
) -> None:
    """Percents of an image that was turned upright, or cut, since are of other places."""
    frame = dict(zip(("original_width", "original_height"), sides, strict=True))
    with pytest.raises(UserError, match=r"must have the image's shape.*the image is 100x80"):
        read(photos, annotated({**CAT, **frame}))
    minimal = {"image": "a.png", "label": [{**CAT["value"], **frame}]}
    with pytest.raises(UserError, match=r"must have the image's shape"):
        read(photos, minimal)


@pytest.mark.parametrize("sides", [(100, 80), (50, 40), (333, 266), (3333, 2667), (None, None)])
def test_a_region_of_the_picture_in_another_size_is_read(photos: Path, sides: Any) -> None:
    frame = dict(zip(("original_width", "original_height"), sides, strict=True))
    assert boxes(read(photos, annotated({**CAT, **frame}))) == [[10, 8, 10, 8]]


@pytest.mark.parametrize(
    "sources",
    [({"to_name": "left"}, {"to_name": "right"}), ({"item_index": 0}, {"item_index": 1})],
    ids=["to_name", "item_index"],
)
def test_regions_of_several_pictures_in_a_task_are_refused(
    photos: Path, sources: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    first, second = ({**CAT, **source} for source in sources)
    text = {"type": "textarea", "to_name": "right", "value": {"text": ["two"]}}
    assert len(boxes(read(photos, annotated(first, text)))) == 1
    with pytest.raises(UserError, match=r"task\[0\]: .* must be those of one image"):
        read(photos, annotated(first, second, image="a.png", other="in/b.png"))


@pytest.mark.parametrize(
    ("tag", "name"), [("other", "in/b.png"), ("image", "a.png"), ("t", "a.png")]
)
def test_a_region_lies_on_the_picture_that_its_tag_is_the_key_of(
    photos: Path, tag: str, name: str
) -> None:
    data = read(photos, annotated({**CAT, "to_name": tag}, image="a.png", other="in/b.png"))
    assert [image["file_name"] for image in data.documents[""]["images"]] == [name]
