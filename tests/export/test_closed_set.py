"""Detectors in ONNX Runtime find what they find here: boxes to 0.01 pixel, scores to 1e-4.

Random weights and pixels; batches of one and three through one file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jittor as jt
import networks
import numpy as np
import pytest

from unidet.export.closed_set import closed_set_graph
from unidet.export.graph import Graph
from unidet.export.images import Pixels
from unidet.models.nanodet_plus.detector import NanoDetPlus
from unidet.models.rtdetr.network import RTDETR
from unidet.ops.batch_norm import BatchNorm2d

MEAN, STD = (103.53, 116.28, 123.675), (57.375, 57.12, 58.395)
SIZES = [(64, 96), (128, 64)]
CLASSES = 3
PIXELS, SCORE = 0.01, 1e-4
Detector = NanoDetPlus | RTDETR
CHANNELS: dict[type, Any] = {NanoDetPlus: "bgr", RTDETR: "rgb"}


@pytest.fixture(scope="module", params=["nanodet_plus", "rtdetr"])
def network(request: pytest.FixtureRequest) -> Detector:
    if request.param == "nanodet_plus":
        settings = networks.small_nanodet_plus()
        return networks.randomized(NanoDetPlus(settings, classes=CLASSES, auxiliary=False))
    return networks.randomized(RTDETR(networks.rtdetr(queries=20), classes=CLASSES))


def graph_of(network: Detector, size: tuple[int, int], **changes: Any) -> Graph:
    pixels = Pixels(MEAN, STD, CHANNELS[type(network)])
    values = {"classes": range(CLASSES), "every_box": False} | changes
    return closed_set_graph(network, pixels, size, **values)


@pytest.mark.parametrize("size", SIZES)
def test_detections(
    network: Detector,
    size: tuple[int, int],
    runs: Callable,
    pictures: Callable,
    normalized: Callable,
) -> None:
    run = runs(graph_of(network, size))
    for count in (1, 3):
        images = pictures(count, *size)
        found = run({"images": images})
        batch = jt.array(normalized(images, CHANNELS[type(network)]))
        ours = network.detect(batch, np.array([size] * count))
        assert len(ours) == count
        for image, detected in enumerate(ours):
            kept = found["labels"][image] >= 0
            assert kept.sum() == len(detected.scores) > 10
            np.testing.assert_array_equal(found["labels"][image][kept], detected.labels)
            np.testing.assert_allclose(found["boxes"][image][kept], detected.boxes, atol=PIXELS)
            np.testing.assert_allclose(found["scores"][image][kept], detected.scores, atol=SCORE)
            assert (found["scores"][image][~kept] == 0).all()


def test_a_network_of_layers_that_had_hooks(network: Detector) -> None:
    """Jittor calls all instances of a class in another way once one of them has had a hook."""
    layer = next(module for module in network.modules() if type(module) is BatchNorm2d)
    layer.register_pre_forward_hook(lambda *inputs: None)
    layer.remove_pre_forward_hook()
    assert graph_of(network, SIZES[0]).nodes


def test_every_box(network: Detector, runs: Callable, pictures: Callable) -> None:
    """All scores of all boxes; the wanted classes in the wanted order."""
    size = SIZES[0]
    images = {"images": pictures(2, *size)}
    everything = runs(graph_of(network, size, every_box=True))(images)
    count = 20 if isinstance(network, RTDETR) else 8 * 12 + 4 * 6 + 2 * 3 + 1 * 2
    assert everything["boxes"].shape == (2, count, 4)
    assert everything["scores"].shape == (2, count, CLASSES)
    if isinstance(network, RTDETR):  # what follows is the same for all
        return
    some = runs(graph_of(network, size, every_box=True, classes=[2, 0]))(images)
    np.testing.assert_allclose(some["scores"], everything["scores"][..., [2, 0]], atol=1e-6)
    few = runs(graph_of(network, size, classes=[1]))(images)
    assert set(np.unique(few["labels"])) <= {-1, 0}
    best = everything["scores"][..., 1].max(axis=1)
    np.testing.assert_allclose(few["scores"][:, 0], best, atol=1e-6)


def test_norms_are_folded(network: Detector) -> None:
    from unidet.export.folding import fold_batch_norms

    graph = graph_of(network, SIZES[0])
    assert sum(node.op == "BatchNormalization" for node in graph.nodes) > 20
    fold_batch_norms(graph)
    assert not any(node.op == "BatchNormalization" for node in graph.nodes)


def test_the_network_is_as_before(network: Detector) -> None:
    """Its parameters are tensors again, and so is what Jittor's functions make."""
    before = {name: value.numpy() for name, value in network.named_parameters()}
    graph_of(network, SIZES[0])
    after = dict(network.named_parameters())
    assert list(after) == list(before)
    for name, value in before.items():
        np.testing.assert_array_equal(after[name].numpy(), value)
    assert isinstance(jt.array(np.zeros(1)), jt.Var)
    assert isinstance(jt.nn.Linear(2, 2)(jt.zeros((1, 2))), jt.Var)
