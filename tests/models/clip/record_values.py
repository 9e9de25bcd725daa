"""Records what a PyTorch CLIP computes, for test_networks.py; run by hand, not by pytest.

    python tests/models/clip/record_values.py CLIP_MODEL_PY

CLIP_MODEL_PY: clip/model.py of openai/CLIP (MIT). Needs torch. Weights and inputs are rebuilt from
the parameters' names, so that only outputs are stored.
"""

from __future__ import annotations

import importlib.util
import sys
import zlib
from pathlib import Path

import numpy as np

FIXTURE = Path(__file__).parent / "values.npz"

SMALL = {
    "embed_dim": 24,
    "image_resolution": 64,
    "vision_layers": (1, 2, 1, 1),
    "vision_width": 16,
    "vision_patch_size": None,
    "context_length": 12,
    "vocab_size": 40,
    "transformer_width": 32,
    "transformer_heads": 4,
    "transformer_layers": 3,
}
FULL = {
    "embed_dim": 1024,
    "image_resolution": 224,
    "vision_layers": (3, 4, 6, 3),
    "vision_width": 64,
    "vision_patch_size": None,
    "context_length": 77,
    "vocab_size": 49408,
    "transformer_width": 512,
    "transformer_heads": 8,
    "transformer_layers": 12,
}
SIZES = {"small": SMALL, "full": FULL}


def weight(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Float32 values of the parameter `name` (OpenAI's), drawn from a stream seeded by it."""
    rng = np.random.RandomState(zlib.crc32(name.encode()))
    values = rng.standard_normal(shape)
    if name.endswith("running_var"):
        values = 1 + 0.5 * np.tanh(values)
    elif name.endswith("positional_embedding"):
        values = values * 0.3
    elif name.endswith(("bias", "running_mean")):
        values = values * 0.1
    elif len(shape) == 1:
        values = 0.8 + 0.2 * np.tanh(values)
    elif name != "token_embedding.weight":
        values = values * np.prod(shape[1:]) ** -0.5
    return values.astype(np.float32)


def images(size: dict) -> np.ndarray:
    side = size["image_resolution"]
    return np.random.RandomState(1).standard_normal((2, 3, side, side)).astype(np.float32)


def tokens(size: dict) -> np.ndarray:
    """Rows of several lengths, one full, with random numbers behind the end mark's zeros."""
    end, length = size["vocab_size"] - 1, size["context_length"]
    rng = np.random.RandomState(2)
    rows = np.zeros((3, length), np.int32)
    for row, used in zip(rows, (2, length // 2, length), strict=True):
        row[:used] = rng.randint(0, end, used)
        row[used - 1] = end
    return rows


def excerpt(grad: np.ndarray) -> np.ndarray:
    """The norm of a gradient and 31 values spread over it."""
    flat = grad.reshape(-1)
    spread = np.linspace(0, len(flat) - 1, 31).astype(int)
    return np.concatenate([[np.linalg.norm(flat.astype(np.float64))], flat[spread]])


def main(model_file: str) -> None:
    import torch

    spec = importlib.util.spec_from_file_location("clip_model", model_file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    recorded = {}
    for name, size in SIZES.items():
        network = module.CLIP(**size).eval()
        arrays = {
            key: torch.from_numpy(weight(key, tuple(value.shape)))
            for key, value in network.state_dict().items()
            if value.ndim
        }
        network.load_state_dict(arrays, strict=False)
        image = network.encode_image(torch.from_numpy(images(size)))
        text = network.encode_text(torch.from_numpy(tokens(size)).long())
        recorded |= {f"{name}/image": image.detach().numpy(), f"{name}/text": text.detach().numpy()}
        if name == "small":
            (image * torch.linspace(-1, 1, size["embed_dim"])).sum().backward()
            (text * torch.linspace(-1, 1, size["embed_dim"])).sum().backward()
            for key, parameter in network.named_parameters():
                if parameter.grad is not None:
                    recorded[f"grad/{key}"] = excerpt(parameter.grad.numpy())
    np.savez_compressed(FIXTURE, **recorded)
    print(FIXTURE, FIXTURE.stat().st_size, {key: value.shape for key, value in recorded.items()})


if __name__ == "__main__":
    main(sys.argv[1])
