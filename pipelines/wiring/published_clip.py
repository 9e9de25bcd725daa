"""OpenAI's CLIP from its files, in the form that the `clip` stage's own training leaves."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from unidet.config.stages import PublishedClip
from unidet.config.study import Config
from unidet.errors import UserError
from unidet.pipelines.engine.stage import Job
from unidet.pipelines.wiring.starting_weights import of_regions
from unidet.store.hashing import sha256_file

MERGES_SHA256 = "924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a"
MERGES_SOURCE = "https://github.com/openai/CLIP/raw/main/clip/bpe_simple_vocab_16e6.txt.gz"
NETWORKS = ("clip_rn50", "clip_rn50x4")


def take_published(job: Job) -> None:
    """Leaves image.safetensors, text.safetensors and merges.txt, as training does.

    Raises:
        UserError: the checkpoint is not OpenAI's whole CLIP RN50 or RN50x4.
    """
    from unidet.models.clip.tokenizer import read_merges, write_merges
    from unidet.weights.layouts.registry import open_weights
    from unidet.weights.write import write_safetensors

    config, root = job.config.clip, Path(job.config.data.root)
    path = root / config.checkpoint
    weights = open_weights(path)
    image, text = weights.part("image."), weights.part("text.")
    if weights.layout.network not in NETWORKS or not image or not text:
        raise UserError(
            f"clip.checkpoint: {path} holds {weights.layout.summary}; it must be OpenAI's CLIP "
            "RN50 or RN50x4 with both its sides"
        )
    write_safetensors(job.out / "image.safetensors", _float32(of_regions(image)))
    write_safetensors(job.out / "text.safetensors", _float32(text))
    write_merges(job.out / "merges.txt", read_merges(root / config.merges))


def _float32(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def published_files(config: Config) -> dict[str, Path]:
    """Checkpoint and byte pairs enter the stage's key by content.

    Raises:
        UserError: a file is missing, or the byte pairs are not CLIP's.
    """
    clip = config.clip
    if not isinstance(clip, PublishedClip):
        return {}
    root = Path(config.data.root)
    found = {"checkpoint": root / clip.checkpoint, "merges": root / clip.merges}
    for name, path in found.items():
        if not path.is_file():
            source = f"; fetch it: curl -L -o '{path}' {MERGES_SOURCE}" if name == "merges" else ""
            raise UserError(f"clip.{name}: {path} does not exist{source}")
    digest = sha256_file(found["merges"])
    if digest != MERGES_SHA256:
        raise UserError(
            f"clip.merges: {found['merges']} has sha256 {digest}, CLIP's file {MERGES_SHA256}; "
            f"fetch it again: curl -L -o '{found['merges']}' {MERGES_SOURCE}"
        )
    return found
