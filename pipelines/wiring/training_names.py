"""The category names of the training sets, for a network that classifies regions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unidet.config.stages import RegionNetworkConfig
from unidet.config.study import Config
from unidet.pipelines.engine.node import Input, Node
from unidet.pipelines.engine.stage import Job
from unidet.pipelines.wiring.embedding_artefacts import read_embeddings
from unidet.pipelines.wiring.image_sets import ImageSet
from unidet.pipelines.wiring.study_sets import TRAINING, training_sets

if TYPE_CHECKING:
    import numpy as np


def set_vocabularies(
    job: Job, network: Any, training: list[ImageSet], config: RegionNetworkConfig
) -> None:
    """Give a `RoiClassifier` the names of each training set."""
    import numpy as np

    network.set_vocabularies(
        [_vectors(job, data, config) for data in training],
        # As officially: a name that labels no image is not drawn as a negative either.
        allowed=[np.array([c.image_count > 0 for c in d.split.categories]) for d in training],
    )


def _vectors(job: Job, data: ImageSet, config: RegionNetworkConfig) -> np.ndarray:
    """(C, D) embeddings of the set's names, or random ones as a control (`text=random`)."""
    import numpy as np

    vocabulary = dict(job.settings["data"]["training"])[f"{TRAINING}{data.name}"]
    folder = job.inputs[str(Node("clip_embeddings", vocabulary))]
    vectors = read_embeddings(folder, data, config.network.embedding)
    if config.text == "random":
        rng = np.random.default_rng((job.config.seed, len(vectors)))
        return rng.standard_normal(vectors.shape).astype(np.float32)
    return vectors


def embeddings_of_training(config: Config) -> dict[str, Input]:
    """The embeddings of each training set's names."""
    nodes = [Node("clip_embeddings", entry.vocabulary) for entry in training_sets(config).values()]
    return {str(node): Input(node) for node in nodes}


def order_of_training(config: Config) -> dict[str, Any]:
    """The training sets in the order of their dataset ids, and the vocabulary of each."""
    sets = training_sets(config)
    return {"data": {"training": [[key, entry.vocabulary] for key, entry in sets.items()]}}
