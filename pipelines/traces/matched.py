"""Matches and targets of RT-DETR and DETR under the recordings' names."""

from __future__ import annotations

import numpy as np

from unidet.models.matcher import Matches, Targets
from unidet.pipelines.traces.inputs import Inputs


def take_targets(inputs: Inputs, case: str, images: int, classes: int) -> Targets:
    """`CASE/gt/boxes0` (G, 4), `CASE/gt/labels0` (G,) in 0 .. `classes` - 1, and so on."""
    labels, boxes = [], []
    for image in range(images):
        letter = f"G of {case}, image {image}"
        boxes.append(inputs.take(f"{case}/gt/boxes{image}", letter, 4))
        labels.append(inputs.take(f"{case}/gt/labels{image}", letter))
        if ((labels[-1] < 0) | (labels[-1] >= classes)).any():
            raise inputs.refusal(f"{case}/gt/labels{image} must be in 0 .. {classes - 1}")
    return Targets(labels, boxes)


def training_cases(inputs: Inputs) -> list[str]:
    """What stands in front of `/gt/boxes0`; UserError where there is no such name."""
    cases = [name.removesuffix("/gt/boxes0") for name in inputs if name.endswith("/gt/boxes0")]
    if not cases:
        inputs.take("t32/gt/boxes0", "G", 4)
    return cases


def match_tensors(layer: str, matches: Matches, images: int) -> dict[str, np.ndarray]:
    """`match/LAYER/img0_src` (queries) and `match/LAYER/img0_tgt` (boxes) of every image."""
    tensors = {}
    for image in range(images):
        of_image = matches.images == image
        tensors[f"match/{layer}/img{image}_src"] = matches.queries[of_image]
        tensors[f"match/{layer}/img{image}_tgt"] = matches.truths[of_image]
    return tensors
