"""A trained text encoder with its tokenizer, as later stages and `detect` use it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unidet.config.networks import TextConfig

BATCH = 512


@dataclass(frozen=True)
class NameEncoder:
    """Embeds category names through prompt templates."""

    tokenizer: Any
    network: Any

    def embed(
        self, names: Sequence[str], templates: Sequence[str], normalise_each: bool
    ) -> np.ndarray:
        """(C, D) float32: the mean over templates of each name's text features, any length.

        `normalise_each` brings every prompt's feature to unit length first (CLIP's recipe); the
        official UniDetector embeddings do not (scripts/dump_clip_features_manyprompt.py).
        """
        prompts = [template.format(name) for name in names for template in templates]
        features = np.concatenate(
            [
                self.network(self.tokenizer(prompts[first : first + BATCH])).numpy()
                for first in range(0, len(prompts), BATCH)
            ]
        )
        if normalise_each:
            features /= np.linalg.norm(features, axis=1, keepdims=True)
        return features.reshape(len(names), len(templates), -1).mean(axis=1)


def build_text_encoder(config: TextConfig, merges: int, embedding: int) -> Any:
    """The text transformer for a vocabulary of 512 bytes and end markers plus `merges`."""
    from unidet.models.clip.text import TextEncoder

    return TextEncoder(
        vocabulary_size=512 + merges + 2,
        context_length=config.context_length,
        width=config.width,
        layers=config.layers,
        heads=config.heads,
        embedding=embedding,
    )


def open_text_encoder(clip: Path, config: Any) -> NameEncoder:
    """The `clip` stage's text encoder from its artefact folder; `config` is the `clip` subtree."""
    from unidet.models.clip.tokenizer import Tokenizer, read_merges
    from unidet.weights.load import load_into
    from unidet.weights.read import read_checkpoint

    merges = read_merges(clip / "merges.txt")
    network = build_text_encoder(config.text, len(merges), config.embedding)
    load_into(network, read_checkpoint(clip / "text.safetensors"))
    return NameEncoder(Tokenizer(merges, config.text.context_length), network)
