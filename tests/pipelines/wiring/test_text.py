"""Names through prompts to embeddings, with an encoder whose answers are known."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pytest

from unidet.cli import compose
from unidet.config.stages import TextEmbeddings
from unidet.errors import UserError
from unidet.pipelines.wiring.text_encoder import NameEncoder


class Words:
    """Keeps the texts it is given and refuses those of more than five words, as CLIP would."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, texts: Sequence[str], truncate: bool = False) -> np.ndarray:
        self.texts += texts
        if not truncate and any(len(text.split()) > 5 for text in texts):
            raise UserError("too long")
        return np.array([[len(text), text.count("a")] for text in texts], float)


def network(tokens: np.ndarray) -> SimpleNamespace:
    return SimpleNamespace(numpy=lambda: tokens.copy())


def test_the_mean_of_raw_features_and_of_unit_ones() -> None:
    encoder = NameEncoder(Words(), network)
    prompts = TextEmbeddings(source="clip", templates=("{}.", "a {}aa"), normalize_each=False)
    # "ox." and "a oxaa": (3, 0) and (6, 3)
    np.testing.assert_allclose(encoder.embed(["ox"], prompts), [[4.5, 1.5]])
    prompts = TextEmbeddings(source="clip", templates=("{}.", "a {}aa"), normalize_each=True)
    side = np.hypot(6, 3)
    np.testing.assert_allclose(encoder.embed(["ox"], prompts), [[(1 + 6 / side) / 2, 1.5 / side]])


def test_names_are_cleaned_and_long_prompts_refused() -> None:
    words = Words()
    encoder = NameEncoder(words, network)
    prompts = TextEmbeddings(
        source="clip", templates=("{}.",), replacements={",": "", "+": " "}, truncate=False
    )
    encoder.embed(["bow_(tie), red+blue"], prompts)
    assert words.texts == ["bow_(tie) red blue."]
    with pytest.raises(UserError, match="too long"):
        encoder.embed(["a b c d e f"], prompts)
    cut = TextEmbeddings(source="clip", templates=("{}.",), truncate=True)
    assert encoder.embed(["a b c d e f"], cut).shape == (1, 2)


def test_the_81_prompts() -> None:
    """scripts/dump_clip_features_manyprompt.py lines 12-94."""
    config = compose(["experiment=toy", "clip_embeddings=prompts81", "clip=openai_rn50"])
    prompts = config.clip_embeddings
    assert isinstance(prompts, TextEmbeddings)
    assert len(set(prompts.templates)) == len(prompts.templates) == 81
    assert prompts.templates[:2] == ("{}.", "a photo of a {}.")
    assert prompts.templates[-1] == "a tattoo of the {}."
    assert all(template.count("{}") == 1 for template in prompts.templates)
    assert not prompts.normalize_each
    assert prompts.replacements == {",": "", "+": " "}
