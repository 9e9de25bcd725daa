"""Images with boxes, and the page that holds them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from unidet.report.draw import beside, draw_boxes
from unidet.report.label_text import boxed, label

RED = (255, 0, 0)


def test_no_boxes_leave_the_picture_as_it_is() -> None:
    image = np.full((400, 400, 3), 9, np.uint8)
    drawn = draw_boxes(image, np.zeros((0, 4)), [])
    assert np.array_equal(np.asarray(drawn), image)


def test_a_box_is_outlined_where_it_lies() -> None:
    image = np.zeros((400, 500, 3), np.uint8)
    drawn = np.asarray(draw_boxes(image, np.array([[100, 50, 300, 250]]), [""], colours=[RED]))
    assert tuple(drawn[150, 100]) == RED
    assert tuple(drawn[250, 200]) == RED
    assert drawn[150, 200].sum() == 0


def test_a_dashed_box_has_gaps() -> None:
    image = np.zeros((400, 400, 3), np.uint8)
    box = np.array([[50, 50, 350, 350]])
    drawn = np.asarray(draw_boxes(image, box, [""], colours=[RED], dashed=[True]))
    edge = drawn[50, 60:340, 0] > 0
    assert edge.any()
    assert not edge.all()


def test_small_pictures_are_enlarged_with_their_boxes() -> None:
    image = np.zeros((192, 192, 3), np.uint8)
    drawn = draw_boxes(image, np.array([[10, 10, 90, 90]]), [""], colours=[RED])
    assert drawn.size == (384, 384)
    assert tuple(np.asarray(drawn)[100, 20]) == RED


@pytest.mark.parametrize(
    ("size", "drawn"),
    [
        ((1, 60_000), (1, 60_000)),
        ((20_000, 30), (20_000, 30)),
        ((8, 1000), (32, 4000)),  # 48 times would be 48,000 high
        ((100, 800), (400, 3200)),
    ],
)
def test_no_picture_is_enlarged_beyond_4096(size: tuple[int, int], drawn: tuple[int, int]) -> None:
    width, height = size
    image = np.zeros((height, width, 3), np.uint8)
    box = np.array([[0, 0, width, height]])
    assert draw_boxes(image, box, ["star 0.50"]).size == drawn


def test_a_long_label_leaves_the_picture_visible() -> None:
    """400 pixels at 12 points: at most 40 characters of some 7 pixels."""
    image = np.zeros((400, 400, 3), np.uint8)
    box = np.array([[20, 200, 380, 380]])
    drawn = np.asarray(draw_boxes(image, box, ["x" * 5000 + " 0.50"], colours=[RED]))
    written = (drawn.reshape(400, -1).max(axis=1) > 0).nonzero()[0]
    assert written[0] > 160
    assert tuple(drawn[195, 385]) == (0, 0, 0)


def test_labels_of_any_content() -> None:
    assert label("star 0.50") == "star 0.50"
    assert label("a\tb\x00c\x1b[31m\nd") == "a b c [31m d"
    assert label("猫 0.50") == "□ 0.50"  # DejaVu has no Chinese
    assert label("abcdefghijklmnopqrstuvwxyz 0.50", 16) == "abcdefghi…z 0.50"
    assert len(label("x" * 3000)) == 40
    assert boxed(["star", "猫", "Чашка", "a\tb", "□", "star 猫"]) == ["猫", "star 猫"]


def test_labels_hide_half_a_picture_at_most() -> None:
    """120x60 pixels, texts of some 60x15: four of 900 pixels are half of 7,200."""
    image = np.zeros((60, 120, 3), np.uint8)
    boxes = np.tile([10.0, 10, 110, 50], (30, 1))
    texts = [f"object {number}" for number in range(10, 40)]
    drawn = np.asarray(draw_boxes(image, boxes, texts, colours=[RED] * 30, enlarge=False))
    assert 0.1 < (drawn[:, :, 0] > 100).mean() < 0.75


def test_pictures_stand_beside_one_another() -> None:
    part = Image.new("RGB", (100, 50), RED)
    assert beside([part, part], ["left", "right"], gap=8).size == (208, 72)
