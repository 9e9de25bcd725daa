"""DETR in inference against tensors recorded from the official code.

Bounds are five times the recording's own distance from a float64 run.
"""

from __future__ import annotations

from collections.abc import Callable

import jittor as jt
import numpy as np
import pytest

from unidet.models.detr.network import DETR, best_classes, class_scores
from unidet.models.detr.positions import padding_mask, position_embedding
from unidet.models.set_prediction import absolute_boxes

Recording = dict[str, np.ndarray]
Images = tuple[np.ndarray, np.ndarray]
LOGITS, BOXES = 1.5e-3, 2e-4


@pytest.fixture(scope="module")
def recording(transformer_recording: Callable) -> Recording:
    return transformer_recording("detr_r50_eval")


def test_mask_and_positions(recording: Recording) -> None:
    """Two images of 256 x 256 and 216 x 320 (height x width) padded to 256 x 320, 8 x 10 cells."""
    sizes = np.array([[256, 256], [216, 320]])
    mask = padding_mask(sizes, (256, 320), (8, 10))
    np.testing.assert_array_equal(mask, recording["pad/mask_down"])
    embedding = position_embedding(mask, 256)
    np.testing.assert_allclose(embedding, recording["pad/pos"], atol=1e-6)
    pixels = padding_mask(sizes, (256, 320), (256, 320))
    np.testing.assert_array_equal(pixels, recording["pad/mask"])


def test_a_column_of_padding_lies_at_zero() -> None:
    mask = np.array([[[False, True]]])
    embedding = position_embedding(mask, 8)[0]
    assert embedding[:4, 0, 1].tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("tag", ["eval", "pad"])
def test_every_layer(
    detr: DETR, recorded_images: Callable[[str], Images], recording: Recording, tag: str
) -> None:
    with jt.no_grad():
        images, sizes = recorded_images(tag)
        predictions = detr.predictions(jt.array(images), sizes)
    names = [f"{tag}/aux{index}" for index in range(5)] + [tag]
    for name, prediction in zip(names, predictions, strict=True):
        logits, boxes = prediction.logits.numpy(), prediction.boxes.numpy()
        np.testing.assert_allclose(logits, recording[f"{name}/pred_logits"], atol=LOGITS, rtol=0)
        np.testing.assert_allclose(boxes, recording[f"{name}/pred_boxes"], atol=BOXES, rtol=0)


def test_detections_from_recorded_predictions(recording: Recording) -> None:
    """The recorded ones are in query order, ours best first."""
    for image, name in ((0, "pad/post/img0"), (1, "pad/post/img1")):
        sizes = recording["pad/post/orig_size_hw"]
        boxes = absolute_boxes(jt.array(recording["pad/pred_boxes"]), sizes)[image]
        scores = class_scores(jt.array(recording["pad/pred_logits"]))[image]
        predictions = best_classes(boxes, scores)
        recorded = recording[f"{name}/scores"]
        order = np.argsort(-recorded, kind="stable")
        np.testing.assert_allclose(predictions.scores, recorded[order], atol=1e-6)
        np.testing.assert_array_equal(predictions.labels, recording[f"{name}/labels"][order])
        np.testing.assert_allclose(predictions.boxes, recording[f"{name}/boxes"][order], atol=1e-3)
