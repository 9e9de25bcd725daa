"""Stage `finetune`: the RoI head learns new names from own images and keeps the old ones.

`finetune[rehearsal]` learns embeddings of the names and, if configured, what lies behind RoIAlign,
with old images' stored maps beside the new images; `finetune[plain]` goes on as stage `roi` trains,
on the new images alone, for comparison.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unidet.config.study import Config
from unidet.errors import UserError
from unidet.pipelines.engine.node import Input, Node
from unidet.pipelines.engine.stage import Job, Stage
from unidet.pipelines.wiring import classifier, fine_tuning
from unidet.pipelines.wiring.classifier import keep_classifier, trained_classifier
from unidet.pipelines.wiring.embedding_artefacts import EMBEDDINGS, read_embeddings, read_stored
from unidet.pipelines.wiring.fine_tuning import PLAIN, REHEARSAL
from unidet.pipelines.wiring.image_batches import counted_in_steps, training_batches
from unidet.pipelines.wiring.image_sets import (
    INDEX,
    ImageSet,
    open_training_sets,
    read_vocabulary,
)
from unidet.pipelines.wiring.learned_names import save_learned_names
from unidet.pipelines.wiring.precision import precision_settings
from unidet.pipelines.wiring.stored_images import read_stored_images
from unidet.pipelines.wiring.study_sets import TRAINING, new_sets, training_sets
from unidet.pipelines.wiring.training_proposals import training_proposals

if TYPE_CHECKING:
    import numpy as np

NAME = "fine-tuned roi"
WEIGHTS = ("rehearsal", "negatives", "distillation", "pull")


def run(job: Job) -> None:
    import numpy as np

    from unidet.data.loader import Source

    job.bring_up()
    from unidet.pipelines.wiring.training import train_and_keep
    from unidet.training import ranks

    network = trained_classifier(job.config.roi.network, job.inputs["roi"])
    new = open_training_sets(job)
    sources = [Source(data.split, data.images, training_proposals(job, data)) for data in new]
    settings = counted_in_steps(job.settings["finetune"]["training"], sources)
    share = (ranks.rank(), ranks.count())
    batches_from = training_batches(
        sources, job.config.roi.images, settings, job.config.seed, share
    )
    texts = [
        read_embeddings(job.inputs[_embeddings(vocabulary)], data, job.config.roi.network.embedding)
        for vocabulary, data in zip(_new(job), new, strict=True)
    ]
    allowed = [np.array([c.image_count > 0 for c in data.split.categories]) for data in new]
    if job.name == PLAIN:
        network.set_vocabularies(texts, allowed)
        train_and_keep(
            job, NAME, network, network.loss_in_pieces, batches_from, settings, network.sample
        )
    else:
        tuner = _tuner(job, network, texts, allowed)
        train_and_keep(job, NAME, tuner, tuner.loss, batches_from, settings, tuner.sample)
    if ranks.rank() == 0:
        if job.name != PLAIN:
            _part(job.out, new)
        keep_classifier(job)


def _tuner(job: Job, network: Any, texts: list[np.ndarray], allowed: list[np.ndarray]) -> Any:
    """What trains the network on new names and keeps the old ones."""
    from unidet.models.fine_tuner import FineTuner, Weights

    settings = job.settings["finetune"]
    kept = settings["keep"]
    old = [read_stored(job.inputs[_embeddings(name)] / EMBEDDINGS)[0] for name in kept]
    stored = read_stored_images(
        [
            (job.inputs[str(Node("rehearsal", name))], len(texts) + kept.index(vocabulary))
            for name, vocabulary in settings["rehearsed"]
        ],
        channels=network.backbone.channels[-1],
        names=[len(vectors) for vectors in (*texts, *old)],
    )
    start = trained_classifier(job.config.roi.network, job.inputs["roi"])
    for each in (network, start):
        each.set_vocabularies([*texts, *old], [*allowed, *[None] * len(old)])
    weights = Weights(**settings["weights"])
    trains_head = settings["learns"] == "head"
    return FineTuner(network, start, stored, weights, texts, trains_head=trains_head)


def _part(folder: Path, new: list[ImageSet]) -> None:
    """Leave the network's weights as stage `roi` does, and the names that were learned beside."""
    from unidet.models.fine_tuner import NAMES
    from unidet.weights.prefixes import below
    from unidet.weights.read import read_checkpoint
    from unidet.weights.write import write_safetensors

    weights = read_checkpoint(folder / "model.safetensors")
    write_safetensors(folder / "model.safetensors", below("network.", weights))
    learned: dict[str, np.ndarray] = {}
    for dataset, data in enumerate(new):
        names = [category.name for category in data.split.categories]
        learned |= dict(zip(names, weights[f"{NAMES}{dataset}"], strict=True))
    save_learned_names(folder, learned)


def _new(job: Job) -> list[str]:
    """Vocabularies of the new sets, in their order."""
    return [vocabulary for _, vocabulary in job.settings["finetune"]["sets"]]


def _embeddings(vocabulary: str) -> str:
    return str(Node("clip_embeddings", vocabulary))


def nodes(config: Config) -> tuple[str, ...]:
    return fine_tuning.tuned(config)


def inputs(config: Config, name: str) -> Mapping[str, Input]:
    """The start, the new sets, and of the old ones their names' embeddings and stored maps."""
    sets = new_sets(config)
    nodes = [Node("roi")]
    nodes += [Node("data", key) for key in sets] + [Node("proposals", key) for key in sets]
    vocabularies = fine_tuning.new_vocabularies(config)
    if name == REHEARSAL:
        vocabularies += fine_tuning.kept_vocabularies(config)
        nodes += [Node("rehearsal", key) for key in fine_tuning.rehearsed_sets(config)]
    nodes += [Node("clip_embeddings", vocabulary) for vocabulary in vocabularies]
    return {str(node): Input(node) for node in nodes}


def settings(config: Config, name: str) -> dict[str, Any]:
    """The run, the new sets in the order of their dataset ids; what keeps the old names."""
    chosen = fine_tuning.settings_of(config)
    values: dict[str, Any] = {
        "training": chosen.training,
        "sets": [[key, entry.vocabulary] for key, entry in new_sets(config).items()],
    }
    if name == REHEARSAL:
        sets = training_sets(config)
        values |= {
            "keep": list(fine_tuning.kept_vocabularies(config)),
            "rehearsed": [
                [key, sets[key].vocabulary] for key in fine_tuning.rehearsed_sets(config)
            ],
            "learns": chosen.learns,
            "weights": {name: getattr(chosen, name) for name in WEIGHTS},
        }
    return {"finetune": values} | precision_settings(config)


def check(config: Config, name: str, data: Mapping[Node, Path]) -> None:
    """The new sets have images to learn from, and names that no kept vocabulary has."""
    from unidet.data.index import load_split
    from unidet.data.novelty import plain_names
    from unidet.data.sampler import SMALLEST_IMAGE, trainable_rows

    known: dict[str, str] = {}
    for vocabulary in fine_tuning.kept_vocabularies(config):
        entry = fine_tuning.names_of(vocabulary, config)
        for category in read_vocabulary(data[entry.node]):
            known |= dict.fromkeys(plain_names(category.name), vocabulary)
    for key in new_sets(config):
        called = key.removeprefix(TRAINING)
        folder = data[Node("data", key)]
        for category in read_vocabulary(folder):
            taken = known.keys() & plain_names(category.name)
            if taken:
                raise UserError(
                    f"finetune.sets: {called}: {category.name!r} is a name of "
                    f"{known[min(taken)]!r} already; leave it out of the set's annotations, or "
                    "name other vocabularies to be kept: finetune.keep=[NAME]"
                )
        if not len(trainable_rows(load_split(folder / INDEX, called))):
            raise UserError(
                f"finetune.sets: {called} has no image to learn from; each needs a box that is no "
                f"crowd and sides of at least {SMALLEST_IMAGE} pixels"
            )


STAGE = Stage(
    name="finetune",
    version=1,
    reads=("roi", "seed"),
    run=run,
    nodes=nodes,
    why_none=fine_tuning.why_none,
    inputs=inputs,
    settings=settings,
    code=lambda config: classifier.code_of(config.roi.network),
    check=check,
    data_parallel=lambda config: True,
)
