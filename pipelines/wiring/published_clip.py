"""OpenAI's CLIP from its files, in the form that the `clip` stage's own training leaves."""

from __future__ import annotations

import numpy as np

from unidet.errors import UserError
from unidet.pipelines.engine.stage import Job
from unidet.pipelines.wiring.any_checkpoint import of_regions

NETWORKS = ("clip_rn50", "clip_rn50x4")


def take_published(job: Job) -> None:
    """Leaves image.safetensors, text.safetensors and merges.txt, as training does.

    Raises:
        UserError: the checkpoint is not OpenAI's whole CLIP RN50 or RN50x4.
    """
    from unidet.models.clip.tokenizer import read_merges, write_merges
    from unidet.weights.layouts.registry import open_weights
    from unidet.weights.write import write_safetensors

    path = job.files["checkpoint"]
    weights = open_weights(path)
    image, text = weights.part("image."), weights.part("text.")
    if weights.layout.network not in NETWORKS or not image or not text:
        raise UserError(
            f"clip.checkpoint: {path} holds {weights.layout.summary}; it must be OpenAI's CLIP "
            "RN50 or RN50x4 with both its sides"
        )
    write_safetensors(job.out / "image.safetensors", _float32(of_regions(image)))
    write_safetensors(job.out / "text.safetensors", _float32(text))
    write_merges(job.out / "merges.txt", read_merges(job.files["merges"]))


def _float32(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: array.astype(np.float32) for name, array in arrays.items()}
