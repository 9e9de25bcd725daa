"""Division of own data: fractions, names, copies, seeds."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from unidet.data.division import divide
from unidet.errors import UserError


def document(categories: dict[str, list[int]]) -> dict[str, Any]:
    """Images by name with the categories of their boxes."""
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
    """The images for evaluation; an image's content is its name up to a hyphen."""
    parts = divide(
        document(content),
        seed=seed,
        fraction=fraction,
        digest_of=lambda name: hashlib.sha256(name.partition("-")[0].encode()).hexdigest(),
        place=Path("labels.json"),
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
    """Name 2 has two images, name 3 one, which is for training."""
    rare = {"q": [2], "r": [2], "s": [3]}
    for seed in range(20):
        val = divided({**TWENTY, **rare}, seed=seed)
        assert len(val) == 6
        assert len({"q", "r"} & {*val}) == 1
        assert "s" not in val


def test_the_only_picture_of_a_name_is_for_training() -> None:
    """By hand: of 4 images half are wanted for evaluation, but `s` and `t` are the only ones of
    their names, and `a` and `b` the only ones of name 1: one of the latter is all that can go."""
    for seed in range(10):
        val = divided({"a": [1], "b": [1], "s": [2], "t": [3]}, 0.5, seed)
        assert val in (["a"], ["b"])


@pytest.mark.parametrize("flag", ["iscrowd", "ignore"])
def test_boxes_that_are_not_trained_on_do_not_count(flag: str) -> None:
    """Of name 2 all boxes but that of `s` are crowds: it would be evaluated on one of those, and
    not be trained."""
    content = document({"s": [1, 2], **{f"p{number}": [1, 2] for number in range(7)}, "c": [2]})
    for box in content["annotations"][2:]:
        if box["category_id"] == 2:
            box[flag] = 1
    for seed in range(8):
        parts = divide(
            content,
            seed=seed,
            fraction=0.25,
            digest_of=lambda name: hashlib.sha256(name.encode()).hexdigest(),
            place=Path("labels.json"),
        )
        assert "s" in [image["file_name"] for image in parts["train"]["images"]]
        assert {"s", "c"}.isdisjoint(image["file_name"] for image in parts["val"]["images"])
        assert len(parts["val"]["images"]) == 2


def test_one_is_for_evaluation_even_if_that_costs_a_name() -> None:
    """Every image is the only one of a name; `c` of one name, the others of two."""
    for seed in range(10):
        assert divided({"a": [1, 2], "b": [3, 4], "c": [5]}, 0.9, seed) == ["c"]


def test_pictures_without_boxes_are_for_training() -> None:
    assert divided({"a": [1], "b": [1], "empty": []}, 0.9) in (["a"], ["b"])


@pytest.mark.parametrize("content", [{}, {"a": [1]}, {"a-x": [1], "a-y": [1]}, {"a": [], "b": [1]}])
def test_too_few_pictures_are_refused(content: dict[str, list[int]]) -> None:
    with pytest.raises(UserError, match=r"labels\.json: \d different annotated images are too few"):
        divided(content)
