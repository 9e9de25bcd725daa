"""CLIP's text encoder at full size (RN50, RN50x4).

Inputs: `tokens` (N, 77), rows from CLIP's tokenizer, each with its end mark.

N texts, T columns up to the last end mark, W width, E embedding. `transformer.resblocks.K` is
(N, T, W), `text_features` (N, E), not normalized.
"""

from __future__ import annotations

import jittor as jt
import numpy as np

from unidet.config.networks import TextConfig
from unidet.models.clip.text import TextEncoder
from unidet.pipelines.traces.inputs import Inputs
from unidet.pipelines.traces.seen import seen
from unidet.pipelines.wiring.text_encoder import HEAD_WIDTH
from unidet.weights.layouts.clip import CONTEXT_LENGTH, SIZES, TEXT_LAYERS, VOCABULARY_SIZE
from unidet.weights.layouts.layout import Weights
from unidet.weights.load import load_into

END = VOCABULARY_SIZE - 1


def build(weights: Weights) -> TextEncoder:
    """Of the published size whose weights these are."""
    size = SIZES[weights.layout.network.removeprefix("clip_")]
    settings = TextConfig(
        width=size.text_width,
        layers=TEXT_LAYERS,
        heads=size.text_width // HEAD_WIDTH,
        context_length=CONTEXT_LENGTH,
        merges=VOCABULARY_SIZE - 514,
    )
    network = TextEncoder(settings, vocabulary_size=VOCABULARY_SIZE, embedding=size.embedding)
    load_into(network, weights.part("text."))
    return network


def forward(network: TextEncoder, inputs: Inputs) -> dict[str, np.ndarray]:
    """Every block's tokens and the texts' features."""
    tokens = inputs.take("tokens", "N", CONTEXT_LENGTH)
    if not len(tokens) or tokens.min() < 0 or tokens.max() > END:
        raise inputs.refusal(f"tokens must be rows of numbers 0 .. {END}")
    if (tokens.max(axis=1) != END).any():
        raise inputs.refusal(f"every row of tokens must hold the end mark {END}")
    with jt.no_grad(), seen({"states": network.states}) as results:
        features = network(tokens)
    (states,) = results["states"]
    tensors = {f"transformer.resblocks.{at}": state.numpy() for at, state in enumerate(states)}
    return tensors | {"text_features": features.numpy()}
