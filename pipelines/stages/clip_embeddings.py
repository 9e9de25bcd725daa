"""Stage `clip_embeddings`: the (C, D) text embeddings of one vocabulary, with its names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from unidet.config.study import Config
from unidet.console.terminal import say
from unidet.errors import UserError, absence
from unidet.pipelines.engine.node import Input, Node
from unidet.pipelines.engine.stage import Job, Stage
from unidet.pipelines.wiring.embedding_artefacts import EMBEDDINGS
from unidet.pipelines.wiring.image_sets import read_vocabulary
from unidet.pipelines.wiring.ready_embeddings import empty_note, order_note, read_ready, same_note
from unidet.pipelines.wiring.study_networks import naming, naming_network
from unidet.pipelines.wiring.study_sets import (
    VOCABULARY,
    knows_text,
    vocabularies,
    why_no_text,
)
from unidet.store.arrays import save_arrays


def run(job: Job) -> None:
    import numpy as np

    names = [category.name for category in read_vocabulary(job.inputs["vocabulary"])]
    if job.files:
        vectors = read_ready(job.files["embeddings"], names)
    else:
        job.bring_up()
        from unidet.pipelines.wiring.text_encoder import open_text_encoder

        encoder = open_text_encoder(job.inputs["clip"], job.config.clip)
        vectors = encoder.embed(names, job.config.clip_embeddings)
    arrays = {"embeddings": vectors.astype(np.float32), "names": np.array(names)}
    save_arrays(job.out / EMBEDDINGS, arrays)


def nodes(config: Config) -> tuple[str, ...]:
    return tuple(vocabularies(config)) if knows_text(config) else ()


def inputs(config: Config, name: str) -> Mapping[str, Input]:
    first = vocabularies(config)[name][0]
    names = {"vocabulary": Input(Node("data", first), VOCABULARY)}
    from_clip = config.clip_embeddings.source == "clip"
    return names | {"clip": Input(Node("clip"))} if from_clip else names


def files(config: Config, name: str) -> dict[str, Path]:
    """A ready array enters the key by content."""
    settings = config.clip_embeddings
    if settings.source != "files":
        return {}
    if name not in settings.files:
        raise UserError(
            f"clip_embeddings.files: nothing for vocabulary {name!r}; "
            f"there are {', '.join(settings.files)}"
        )
    path = Path(config.data.root) / settings.files[name]
    if not path.is_file():
        raise UserError(f"clip_embeddings.files.{name}: {path} {absence(path)}")
    return {"embeddings": path}


def check(config: Config, name: str, data: Mapping[Node, Path]) -> None:
    """Every set of the vocabulary has its names, and a ready array a row for each, as long as the
    network's."""
    first, *others = vocabularies(config)[name]
    names = _names(data, first)
    for other in others:
        if Node("data", other) in data and _names(data, other) != names:
            raise UserError(
                f"vocabulary {name!r}: {first} and {other} have different categories "
                f"({len(names)} and {len(_names(data, other))}); give one of them another "
                "vocabulary"
            )
    for path in files(config, name).values():
        vectors = read_ready(path, names)
        width, ours = vectors.shape[1], naming_network(config).embedding
        if width != ours:
            raise UserError(
                f"clip_embeddings.files.{name}: {path} has {width} dimensions, the network that "
                f"names regions {ours} ({naming(config)}.network.embedding); embed the names with "
                "the CLIP that the others are from"
            )
        of_vectors = (empty_note(path, names, vectors), same_note(path, names, vectors))
        for note in filter(None, (order_note(path, names), *of_vectors)):
            say(f"note: {note}")


def _names(data: Mapping[Node, Path], name: str) -> list[str]:
    return [category.name for category in read_vocabulary(data[Node("data", name)])]


STAGE = Stage(
    name="clip_embeddings",
    version=2,
    reads=("clip", "clip_embeddings"),
    run=run,
    nodes=nodes,
    why_none=why_no_text,
    inputs=inputs,
    files=files,
    check=check,
)
