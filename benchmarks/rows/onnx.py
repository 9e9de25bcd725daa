"""NanoDet-Plus-m at 416 pixels, image by image, compared with its ONNX file in ONNX Runtime.

Both programs go from decoded pixels to boxes in image pixels, NMS included, on all CPU cores.
Weights are random. The class logits are scaled and shifted so that NMS has as many candidates as
after training.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from side_by_side import Row

PICTURES, SIDE, CLASSES, CANDIDATES = 64, 416, 80, 1000
SCORE = 0.05
SPREAD = 1.5
"""Standard deviation of the class logits."""


def photographs() -> list[np.ndarray]:
    """Images of smooth shapes, (480, 640, 3) uint8 each."""
    rng = np.random.default_rng(0)
    coarse = [Image.fromarray(rng.integers(0, 256, (24, 32, 3), np.uint8)) for _ in range(PICTURES)]
    smooth = Image.Resampling.BICUBIC
    return [np.asarray(picture.resize((640, 480), smooth)) for picture in coarse]


def by_unidet(folder: Path, pictures: list[np.ndarray]) -> Callable[[], Any]:
    """Timed function of unidet; also writes the ONNX file for the other program."""
    from unidet.backend.runtime import bring_up
    from unidet.config.compose import compose
    from unidet.pipelines.detector.closed_set import ClosedSet
    from unidet.pipelines.detector.model import Model
    from unidet.pipelines.proposers.proposer import build_proposer
    from unidet.pipelines.wiring.image_batches import evaluation_transform

    bring_up()
    rpn = compose(["rpn=nanodet_plus_m_416", "rpn.training=null"]).rpn
    network: Any = build_proposer(rpn, CLASSES)
    names = [f"class {number}" for number in range(CLASSES)]
    closed = ClosedSet(network, rpn.images, names, 300)
    transform = evaluation_transform(rpn.images)
    samples = [closed.prepare(picture).samples[0] for picture in pictures[::8]]
    _draw_weights(network, [transform.collate([sample]).images_NCHW for sample in samples])
    model = Model(closed)
    model.export_onnx(folder / "nanodet.onnx")

    def run() -> int:
        detect = partial(model.detect, threshold=SCORE, multi_label=True)
        return sum(len(detect(picture)) for picture in pictures)

    return run


def _draw_weights(network: Any, images: Sequence[np.ndarray]) -> None:
    """Set random weights with which CANDIDATES scores per image pass SCORE."""
    import jittor as jt

    from unidet.models.layers import set_batch_norm_training
    from unidet.models.nanodet_plus.conv_blocks import convolutions

    rng = np.random.default_rng(1)
    for layer in convolutions(network):
        shape = layer.weight.shape
        weight = rng.normal(0, (2 / np.prod(shape[1:])) ** 0.5, shape).astype(np.float32)
        layer.weight.update(jt.array(weight))
    set_batch_norm_training(network, False)

    def class_logits() -> np.ndarray:
        with jt.no_grad():
            logits = [network.predict(jt.array(image)).class_logits.numpy() for image in images]
        return np.concatenate(logits, axis=None)

    spread = class_logits().std()
    for layer in network.head.predict:
        layer.weight.update(layer.weight * float(SPREAD / spread))
    last = np.sort(class_logits())[-CANDIDATES * len(images)]
    for layer in network.head.predict:
        layer.bias.update(layer.bias + float(np.log(SCORE / (1 - SCORE)) - last))


def by_onnxruntime(folder: Path, pictures: list[np.ndarray]) -> Callable[[], Any]:
    import cv2
    import onnxruntime

    providers = ["CPUExecutionProvider"]
    session = onnxruntime.InferenceSession(str(folder / "nanodet.onnx"), providers=providers)

    def run() -> int:
        count = 0
        for picture in pictures:
            images = cv2.resize(picture, (SIDE, SIDE))[None]
            boxes, scores, _ = session.run(None, {"images": images})
            boxes = boxes[scores > SCORE] * (np.tile(picture.shape[1::-1], 2) / SIDE)
            count += len(boxes)
        return count

    return run


def work(program: str, folder: Path) -> Callable[[], Any]:
    make = {"unidet": by_unidet, "onnxruntime": by_onnxruntime}[program]
    return make(folder, photographs())


ROWS = [
    Row(
        "nanodet",
        f"NanoDet-Plus-m 416, {PICTURES} photographs one by one",
        ("unidet", "onnxruntime"),
        work,
        goal=1.3,
        quick=True,
        warm_up=1,
    )
]
