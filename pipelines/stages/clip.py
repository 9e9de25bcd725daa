"""Stage `clip`: takes OpenAI's CLIP, or trains a small one on captioned crops of the toy world."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from unidet.config.data import ToyData
from unidet.config.stages import TrainedClip
from unidet.config.study import Config
from unidet.errors import UserError
from unidet.pipelines.engine.node import Input, Node
from unidet.pipelines.engine.stage import Job, Stage
from unidet.pipelines.wiring import crop_encoder
from unidet.pipelines.wiring.crop_encoder import build_crop_encoder
from unidet.pipelines.wiring.precision import precision_of, precision_settings
from unidet.pipelines.wiring.published_files import published_files
from unidet.pipelines.wiring.seeding import seeded
from unidet.pipelines.wiring.study_sets import CROPS

if TYPE_CHECKING:
    import numpy as np

    from unidet.data.toy.crops import Crops

CAPTIONS_FOR_MERGES = 20_000
TEST_BATCH = 256
PUBLISHED_CLIP = "unidet.pipelines.wiring.published_clip"
"""Loaded by name: it knows every layout, which the toy CLIP has no use for."""


@dataclass(frozen=True)
class Pairs:
    """One batch: crops (N, S, S, 3) uint8, their captions' tokens, who else each caption fits."""

    pixels: np.ndarray
    tokens: np.ndarray
    compatible_NN: np.ndarray
    side: int


def run(job: Job) -> None:
    if job.config.clip.kind == "openai":
        job.bring_up()
        import_module(PUBLISHED_CLIP).take_published(job)
    else:
        _train(job)


def _train(job: Job) -> None:
    from unidet.data.toy.crops import load_crops

    crops = load_crops(job.inputs["crops"] / "train")
    _require_enough(crops, job.config.clip.training.batch_size)
    job.bring_up()
    from unidet.models.clip.contrastive import ContrastiveLoss
    from unidet.models.clip.tokenizer import Tokenizer, learn_merges, write_merges
    from unidet.models.layers import set_batch_norm_training
    from unidet.pipelines.wiring.text_encoder import NameEncoder, build_text_encoder
    from unidet.pipelines.wiring.training import keep_log
    from unidet.training.loop import train
    from unidet.training.pair import ImageTextPair
    from unidet.training.schedule import in_steps
    from unidet.weights.load import load_into
    from unidet.weights.prefixes import below
    from unidet.weights.write import write_safetensors

    config: TrainedClip = job.config.clip
    if config.training.accumulate > 1:
        raise UserError(
            "clip.training.accumulate: its loss compares all pairs of a batch; must be 1"
        )
    training = in_steps(config.training, -(-len(crops) // config.training.batch_size))
    merges = learn_merges(_captions(crops, job.config.seed), config.text.merges)
    tokenizer = Tokenizer(merges, config.text.context_length)
    pair = seeded(
        job.config.seed,
        lambda: ImageTextPair(
            build_crop_encoder(config),
            build_text_encoder(config.text, len(merges), config.embedding),
            ContrastiveLoss(),
            mean=config.mean,
            std=config.std,
        ),
    )
    set_batch_norm_training(pair, True)
    progress = job.progress("training clip", stoppable=False)
    weights = train(
        pair,
        pair.loss,
        lambda step: _batches(crops, tokenizer, config, training.steps, job.config.seed, step),
        training,
        seed=job.config.seed,
        folder=job.work,
        progress=progress,
        precision=precision_of(job),
    )
    progress.close()
    load_into(pair, weights)
    set_batch_norm_training(pair, False)
    test = load_crops(job.inputs["crops"] / "test")
    metrics = _zero_shot(pair, NameEncoder(tokenizer, pair.text), job.config.clip_embeddings, test)
    (job.out / "metrics.json").write_text(json.dumps(metrics, indent=1))
    write_safetensors(job.out / "image.safetensors", below("image.", weights))
    write_safetensors(job.out / "text.safetensors", below("text.", weights))
    write_merges(job.out / "merges.txt", merges)
    keep_log(job, "clip")


def _require_enough(crops: Crops, batch_size: int) -> None:
    if len(crops) < batch_size:
        raise UserError(
            f"clip.training.batch_size: a step takes {batch_size} different crops, {len(crops)} "
            "are there; take as many or fewer, or a larger data.clip_scenes"
        )


def _captions(crops: Crops, seed: int) -> list[str]:
    import numpy as np

    from unidet.data.toy.vocabulary import sample_captions

    return sample_captions(
        crops.attributes[:CAPTIONS_FOR_MERGES], np.random.default_rng((seed, 0))
    )[0]


def _batches(
    crops: Crops, tokenizer: Any, config: TrainedClip, steps: int, seed: int, start: int
) -> Iterator[Pairs]:
    """Batches from step `start` on; a step's batch depends on seed and step alone."""
    import numpy as np

    from unidet.data.toy.vocabulary import compatible, sample_captions

    for step in range(start, steps):
        rng = np.random.default_rng((seed, step))
        rows = np.sort(rng.choice(len(crops), config.training.batch_size, replace=False))
        captions, captioned = sample_captions(crops.attributes[rows], rng)
        pixels = crops.pixels[rows]
        flipped = rng.random(len(rows)) < 0.5
        pixels[flipped] = pixels[flipped, :, ::-1]
        yield Pairs(
            pixels=pixels,
            tokens=tokenizer(captions),
            compatible_NN=compatible(captioned, crops.attributes[rows]).T,
            side=int(rng.choice(config.crop_sizes)),
        )


def _zero_shot(pair: Any, encoder: Any, prompts: Any, test: Crops) -> dict[str, float]:
    """Accuracy of telling the 540 combinations apart on held-out crops, and of each attribute."""
    import jittor as jt
    import numpy as np

    from unidet.data.toy.vocabulary import combination_index, combinations, name_of

    triples = combinations()
    names = [name_of(triple) for triple in triples]
    texts = encoder.embed(names, prompts)
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    guesses = []
    with jt.no_grad():
        for first in range(0, len(test), TEST_BATCH):
            images = pair.embed_images(test.pixels[first : first + TEST_BATCH]).numpy()
            guesses.append((images @ texts.T).argmax(axis=1))
    guessed = triples[np.concatenate(guesses)]
    right = guessed == test.attributes
    exact = combination_index(guessed) == combination_index(test.attributes)
    parts = zip(("shape", "colour", "texture"), right.mean(axis=0), strict=True)
    return {"zero_shot_540": float(exact.mean())} | {f"accuracy_{k}": float(v) for k, v in parts}


def inputs(config: Config, name: str) -> Mapping[str, Input]:
    """Raises UserError where there is nothing to learn CLIP from."""
    if config.clip.kind == "openai":
        return {}
    if config.clip.kind == "none" or not isinstance(config.data, ToyData):
        lacks = "this study has no CLIP network (clip.kind=none)"
        if config.clip.kind == "train":
            lacks = "clip.kind=train learns a network from the toy world's data alone"
        raise UserError(
            f"clip: {lacks}, but clip_embeddings, rpn or roi ask for one; give "
            "clip=openai_rn50, or clip_embeddings.source=files with rpn.network.initialize and "
            "roi.network.initialize other than clip"
        )
    return {"crops": Input(Node("data", CROPS))}


def settings(config: Config, name: str) -> dict[str, Any]:
    return precision_settings(config) if isinstance(config.clip, TrainedClip) else {}


def code(config: Config) -> tuple[str, ...]:
    if isinstance(config.clip, TrainedClip):
        return crop_encoder.code_of(config.clip)
    return (PUBLISHED_CLIP,)


STAGE = Stage(
    name="clip",
    version=2,
    reads=("clip", "clip_embeddings", "seed"),
    run=run,
    inputs=inputs,
    settings=settings,
    files=published_files,
    code=code,
)
