"""What the RoI head is trained on."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from unidet.errors import UserError
from unidet.pipelines.engine.shards import SHARDS
from unidet.pipelines.wiring.embedding_artefacts import EMBEDDINGS
from unidet.pipelines.wiring.region_scoring import text_classifier
from unidet.pipelines.wiring.training_names import set_vocabularies
from unidet.pipelines.wiring.training_proposals import training_proposals
from unidet.records import Category


def job(folder: Path) -> Any:
    network = SimpleNamespace(proposals_per_image=2)
    inputs = {
        "proposals[training/a]": folder / "proposals",
        "clip_embeddings[toy_a]": folder / "embeddings",
    }
    return SimpleNamespace(
        config=SimpleNamespace(roi=network, seed=0),
        settings={"data": {"training": [["training/a", "toy_a"]]}},
        inputs=inputs,
    )


class Data:
    """A training dataset of `images` images and two categories."""

    name = "a"

    def __init__(self, images: int) -> None:
        categories = (Category(1, "star"), Category(2, "ring"))
        self.split = type("Split", (), {"categories": categories, "__len__": lambda _: images})()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shards = tmp_path / "proposals" / SHARDS
    shards.mkdir(parents=True)
    np.savez(
        shards / "shard-00000.npz",
        rows=np.arange(2),
        digests=np.zeros((2, 32), np.uint8),
        offsets=np.array([0, 3, 3]),
        boxes_xyxy=np.arange(12, dtype=np.float32).reshape(3, 4),
        scores=np.array([0.9, 0.8, 0.7], np.float32),
    )
    (tmp_path / "embeddings").mkdir()
    np.savez(
        tmp_path / "embeddings" / EMBEDDINGS,
        embeddings=np.eye(2, 5, dtype=np.float32),
        names=np.array(["star", "ring"]),
    )
    return tmp_path


def test_the_best_proposals_of_each_image_are_used(folder: Path) -> None:
    proposals_of = training_proposals(job(folder), Data(images=2))
    assert proposals_of(0)[:, 4].tolist() == pytest.approx([0.9, 0.8])
    assert proposals_of(1).shape == (0, 5)


def _texts(folder: Path, text: str = "clip", embedding: int = 5) -> np.ndarray:
    """The (C, D) embeddings that a network learns the names of `a` from."""
    learned: list[np.ndarray] = []
    network = SimpleNamespace(set_vocabularies=lambda texts, allowed: learned.extend(texts))
    training: Any = [Data(images=2)]
    config: Any = SimpleNamespace(text=text, network=SimpleNamespace(embedding=embedding))
    set_vocabularies(job(folder), network, training, config)
    (vectors,) = learned
    return vectors


def test_random_text_is_another_text_of_the_same_shape(folder: Path) -> None:
    usual, random = (_texts(folder, text) for text in ("clip", "random"))
    assert usual.tolist() == np.eye(2, 5).tolist()
    assert random.shape == usual.shape
    assert not np.allclose(random, usual)


def test_embeddings_of_other_names_are_refused(folder: Path) -> None:
    """The same number of them, in another order."""
    np.savez(
        folder / "embeddings" / EMBEDDINGS,
        embeddings=np.eye(2, 5, dtype=np.float32),
        names=np.array(["ring", "star"]),
    )
    with pytest.raises(UserError, match="a: its 2 categories are not the 2 names of its vocab"):
        _texts(folder)


def test_embeddings_of_another_length_are_named(folder: Path) -> None:
    with pytest.raises(
        UserError, match=rf"{EMBEDDINGS}: embeddings of 5 dimensions for the names of a, .* have 7"
    ):
        _texts(folder, embedding=7)


def test_embeddings_of_another_length_are_named_in_evaluation(folder: Path) -> None:
    shards = folder / "lvis_raw" / SHARDS
    shards.mkdir(parents=True)
    with np.load(folder / "proposals" / SHARDS / "shard-00000.npz") as arrays:
        columns = {**arrays, "embeddings": np.ones((3, 7), np.float32)}
    np.savez(shards / "shard-00000.npz", **columns)
    data: Any = Data(images=2)
    data.split.image_ids = np.arange(2)
    places = {"lvis_raw": folder / "lvis_raw", "clip_embeddings": folder / "embeddings"}
    evaluation: Any = SimpleNamespace(inputs=places)
    with pytest.raises(UserError, match=rf"{EMBEDDINGS}: embeddings of 5 .* have 7"):
        text_classifier(evaluation, data)
