"""A trained text encoder with its tokenizer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unidet.config.networks import TextConfig
from unidet.config.stages import Clip, TextEmbeddings, TrainedClip
from unidet.store.arrays import require_arrays

BATCH = 512
HEAD_WIDTH = 64
"""Channels of an attention head in every CLIP that OpenAI published."""
_SIZES = {"positional_embedding": ("f", (None, None)), "text_projection": ("f", (None, None))}


@dataclass(frozen=True)
class NameEncoder:
    """Embeds category names through prompt templates."""

    tokenizer: Any
    network: Any

    def embed(self, names: Sequence[str], prompts: TextEmbeddings) -> np.ndarray:
        """(C, D) float32: the mean over templates of each name's text features, any length.

        With `normalize_each` every prompt's feature comes to unit length first (CLIP's recipe);
        the official UniDetector embeddings do not (scripts/dump_clip_features_manyprompt.py).

        Raises:
            UserError: a prompt is too long for the encoder and `truncate` is false.
        """
        spelt = [_replaced(name, prompts.replacements) for name in names]
        texts = [template.format(name) for name in spelt for template in prompts.templates]
        features = np.concatenate(
            [
                self._features(texts[first : first + BATCH], prompts.truncate)
                for first in range(0, len(texts), BATCH)
            ]
        )
        if prompts.normalize_each:
            features /= np.linalg.norm(features, axis=1, keepdims=True)
        return features.reshape(len(names), len(prompts.templates), -1).mean(axis=1)

    def _features(self, texts: Sequence[str], truncate: bool) -> np.ndarray:
        return self.network(self.tokenizer(texts, truncate)).numpy()


def _replaced(name: str, replacements: Mapping[str, str]) -> str:
    for old, new in replacements.items():
        name = name.replace(old, new)
    return name


def build_text_encoder(config: TextConfig, merges: int, embedding: int) -> Any:
    """The text transformer for a vocabulary of 512 bytes and end markers plus `merges`."""
    from unidet.models.clip.text import TextEncoder

    return TextEncoder(config, vocabulary_size=512 + merges + 2, embedding=embedding)


def open_text_encoder(clip: Path, config: Clip) -> NameEncoder:
    """The `clip` stage's text encoder from its artefact folder; `config` is the `clip` subtree."""
    from unidet.models.clip.tokenizer import read_merges
    from unidet.weights.load import stored_weights

    merges, weights = read_merges(clip / "merges.txt"), clip / "text.safetensors"
    with stored_weights(weights) as arrays:
        require_arrays(weights, arrays, _SIZES)
        width = arrays["positional_embedding"].shape[1]
        heads = config.text.heads if isinstance(config, TrainedClip) else width // HEAD_WIDTH
        return name_encoder(arrays, merges, heads)


def name_encoder(
    arrays: Mapping[str, np.ndarray], merges: Sequence[tuple[str, str]], heads: int
) -> NameEncoder:
    """A text encoder of these weights, whose shapes say all its sizes but the attention heads."""
    from unidet.models.clip.tokenizer import Tokenizer
    from unidet.weights.load import load_into

    length, width = arrays["positional_embedding"].shape
    blocks = {name.split(".")[2] for name in arrays if name.startswith("transformer.resblocks.")}
    sizes = TextConfig(width, len(blocks), heads, length, len(merges))
    network = build_text_encoder(sizes, len(merges), arrays["text_projection"].shape[1])
    load_into(network, arrays)
    return NameEncoder(Tokenizer(merges, length), network)
