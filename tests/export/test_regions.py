"""A second stage in ONNX Runtime says of given regions what it says here, to 1e-4.

Random weights and pixels; one image and three, of other sizes and with padding, through one file.
"""

from __future__ import annotations

from collections.abc import Callable

import jittor as jt
import networks
import numpy as np
import pytest

from unidet.evaluation.calibration import fuse_scores
from unidet.evaluation.detections import LARGEST_LOGIT, TextClassifier
from unidet.export.images import Pixels
from unidet.export.regions import Names, regions_graph
from unidet.models.roi_classifier import RoiClassifier
from unidet.ops.rois import rois_of
from unidet.pipelines.wiring.classifier import build_classifier

MEAN, STD, BETA = (103.53, 116.28, 123.675), (57.375, 57.12, 58.395), 0.3
TEXTS = np.random.default_rng(3).standard_normal((5, 6)).astype(np.float32)
SIZES = {1: (96, 64), 3: (64, 128)}
PARTS = {
    "clip's ResNet, attention pool": {"pool": "attention", "heads": 2},
    "torchvision's ResNet of bottlenecks, mean pool": {
        "backbone": networks.small_resnet(style="torchvision", block="bottleneck", stem_stride=4)
    },
    "EfficientNet, mean pool": {"backbone": networks.efficientnet()},
}


@pytest.fixture(scope="module", params=PARTS.values(), ids=PARTS)
def network(request: pytest.FixtureRequest) -> RoiClassifier:
    return networks.randomized(build_classifier(networks.small_classifier(**request.param)))


def proposals(count: int, height: int, width: int) -> list[np.ndarray]:
    """Some inside, some small, one of the whole image, one beyond it; of the second image none."""
    rng = np.random.default_rng(5)
    corners = rng.uniform(0, [width, height], (6, 2, 2))
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    more = [[0, 0, width, height], [width - 20, height - 9, width + 30, height + 9], [3, 3, 4, 4]]
    rows = np.concatenate([boxes, more]).astype(np.float32)
    return [rows if image != 1 else rows[:0] for image in range(count)]


@pytest.mark.parametrize("count", [1, 3])
def test_regions(
    network: RoiClassifier, count: int, runs: Callable, pictures: Callable, normalized: Callable
) -> None:
    classifier = TextClassifier.of(TEXTS, np.arange(5), **network.classifier.settings())
    names = Names(
        classifier.text_embeddings, classifier.scale, classifier.bias, float(LARGEST_LOGIT), BETA
    )
    run = runs(regions_graph(network, Pixels(MEAN, STD, "bgr"), names))
    height, width = SIZES[count]
    images, boxes = pictures(count, height, width), proposals(count, height, width)
    sizes = np.array([[height, width], [height - 30, width], [height, width - 7]])[:count]
    rois = rois_of(boxes)
    objectness = np.random.default_rng(1).uniform(0, 1, len(rois)).astype(np.float32)
    found = run({"images": images, "sizes": sizes, "rois": rois, "objectness": objectness})
    inputs = normalized(images, "bgr")
    for image, (rows, columns) in zip(inputs, sizes, strict=True):
        image[:, rows:], image[:, :, columns:] = 0, 0
    ours = network.regions(jt.array(inputs), sizes, boxes)
    own_boxes, embeddings = (np.concatenate(part) for part in zip(*ours, strict=True))
    np.testing.assert_allclose(found["boxes"], own_boxes, atol=1e-3)
    np.testing.assert_allclose(found["embeddings"], embeddings, atol=1e-4)
    scores = fuse_scores(classifier.probabilities(embeddings), objectness, BETA)
    np.testing.assert_allclose(found["scores"], scores, atol=1e-4)
    assert np.ptp(embeddings, axis=0).max() > 0.05  # regions differ
    for some in (rois[:0], rois[:1]):
        few = {
            "images": images,
            "sizes": sizes,
            "rois": some,
            "objectness": objectness[: len(some)],
        }
        scores = run(few)["scores"]
        np.testing.assert_allclose(scores, found["scores"][: len(some)], atol=1e-6)
        assert scores.shape == (len(some), 5)
