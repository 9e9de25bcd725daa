"""DETR with the weights of the recordings, and the recorded images."""

from __future__ import annotations

from collections.abc import Callable

import networks
import numpy as np
import pytest

from unidet.models.detr.network import DETR

MEAN = np.array([0.485, 0.456, 0.406], np.float32)[:, None, None]
STD = np.array([0.229, 0.224, 0.225], np.float32)[:, None, None]


@pytest.fixture(scope="session")
def detr(load_recorded_weights: Callable) -> DETR:
    built = DETR(networks.detr(dropout=0.0, compat="official"), classes=91)
    load_recorded_weights(built, "detr_r50")
    return built


@pytest.fixture(scope="session")
def recorded_images(transformer_recording: Callable) -> Callable:
    """`recorded_images("eval" | "pad")`: normalized, padded with zeros; (height, width) of each."""
    recording = transformer_recording("detr_r50_eval")

    def images(tag: str) -> tuple[np.ndarray, np.ndarray]:
        names = ["img_u8"] if tag == "eval" else ["pad/img0_u8", "pad/img1_u8"]
        single = [((recording[name][0] / np.float32(255)) - MEAN) / STD for name in names]
        sizes = np.array([image.shape[1:] for image in single])
        batch = np.zeros((len(single), 3, *sizes.max(axis=0)), np.float32)
        for target, image in zip(batch, single, strict=True):
            target[:, : image.shape[1], : image.shape[2]] = image
        return batch, sizes

    return images
