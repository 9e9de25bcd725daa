"""CLIP's encoders against recordings of a PyTorch CLIP (see record_values.py)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import jittor as jt
import networks
import numpy as np
import pytest
from jittor import nn

from unidet.config.networks import TextConfig
from unidet.models.clip.attention_pool import AttentionPool
from unidet.models.clip.image import ImageEncoder
from unidet.models.clip.text import TextEncoder
from unidet.models.layers import set_batch_norm_training
from unidet.models.resnet import ResNet

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def record(load_file: Callable[[Path], ModuleType]) -> ModuleType:
    """What the recordings were made from: record_values.py."""
    return load_file(HERE / "record_values.py")


def image_encoder(record: ModuleType) -> ImageEncoder:
    size = record.SMALL
    width = size["vision_width"]
    settings = networks.resnet(style="clip", width=width, blocks=size["vision_layers"])
    backbone = ResNet(settings, outputs=(4,))
    pool = AttentionPool(
        size=size["image_resolution"] // 32,
        channels=width * 32,
        heads=width * 32 // 64,
        embedding=size["embed_dim"],
    )
    encoder = ImageEncoder(backbone, pool)
    set_batch_norm_training(encoder, False)
    for name, var in encoder.state_dict().items():
        load(record, var, f"visual.{name.removeprefix('backbone.')}")
    return encoder


def text_encoder(record: ModuleType) -> TextEncoder:
    size = record.SMALL
    settings = TextConfig(
        width=size["transformer_width"],
        layers=size["transformer_layers"],
        heads=size["transformer_heads"],
        context_length=size["context_length"],
        merges=1,
    )
    encoder = TextEncoder(settings, vocabulary_size=size["vocab_size"], embedding=size["embed_dim"])
    for name, var in encoder.state_dict().items():
        load(record, var, name)
    return encoder


def load(record: ModuleType, var: jt.Var, name: str) -> None:
    var.assign(jt.array(record.weight(name, tuple(var.shape))))


@pytest.fixture(scope="module")
def recorded() -> dict[str, np.ndarray]:
    with np.load(HERE / "values.npz") as arrays:
        return dict(arrays)


def relative_error(ours: np.ndarray, expected: np.ndarray) -> float:
    assert ours.shape == expected.shape
    return float(np.abs(ours - expected).max() / np.abs(expected).max())


def assert_gradients(
    network: nn.Module, output: jt.Var, prefix: str, recorded: dict, record: ModuleType
) -> None:
    """Gradients of a fixed weighted sum of `output` equal the recorded excerpts."""
    weights = np.linspace(-1, 1, output.shape[1]).astype(np.float32)
    named = {name: var for name, var in network.named_parameters() if not var.is_stop_grad()}
    gradients = jt.grad((output * jt.array(weights).broadcast(output)).sum(), list(named.values()))
    wrong = {}
    for name, gradient in zip(named, gradients, strict=True):
        if name == "attnpool.k_proj.bias":
            continue
        expected = recorded[f"grad/{prefix}{name.removeprefix('backbone.')}"]
        error = np.abs(record.excerpt(gradient.numpy()) - expected).max() / expected[0]
        if not error < 1e-4:
            wrong[name] = error
    assert not wrong


def test_small_image_encoder_equals_torch(recorded: dict, record: ModuleType) -> None:
    encoder = image_encoder(record)
    ours = encoder(jt.array(record.images(record.SMALL)))
    assert relative_error(ours.numpy(), recorded["small/image"]) < 1e-5
    assert_gradients(encoder, ours, "visual.", recorded, record)


def test_small_text_encoder_equals_torch(recorded: dict, record: ModuleType) -> None:
    encoder = text_encoder(record)
    ours = encoder(record.tokens(record.SMALL))
    assert relative_error(ours.numpy(), recorded["small/text"]) < 1e-5
    assert_gradients(encoder, ours, "", recorded, record)


def test_columns_behind_the_end_mark_change_nothing(record: ModuleType) -> None:
    encoder = text_encoder(record)
    short = np.zeros((1, 12), np.int32)
    short[0, :3] = [5, 7, 39]
    noisy = short.copy()
    noisy[0, 3:] = 11
    long = np.full((1, 12), 3, np.int32)
    long[0, -1] = 39
    alone = encoder(short).numpy()
    together = encoder(np.concatenate([noisy, long])).numpy()
    np.testing.assert_allclose(together[:1], alone, rtol=1e-5, atol=1e-6)


def test_rows_without_an_end_mark_are_refused(record: ModuleType) -> None:
    with pytest.raises(ValueError, match="does not end with the mark 39"):
        text_encoder(record)(np.ones((1, 12), np.int32))
