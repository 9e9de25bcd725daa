"""Stage `clip_embeddings`: one (C, D) array for each vocabulary, with its names."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from unidet.config.stages import FileEmbeddings
from unidet.config.study import Config
from unidet.errors import UserError
from unidet.formats.embeddings import read_embeddings
from unidet.pipelines.engine.stage import Job, Stage
from unidet.pipelines.wiring.datasets import Datasets


def run(job: Job) -> None:
    vocabularies = Datasets(job.inputs["data"], job.config.data).vocabularies()
    settings = job.config.clip_embeddings
    if settings.source == "files":
        _take_files(job, vocabularies)
        return
    job.bring_up()
    from unidet.pipelines.wiring.text import open_text_encoder

    encoder = open_text_encoder(job.inputs["clip"], job.config.clip)
    for name, names in vocabularies.items():
        vectors = encoder.embed(names, settings)
        _save(job.out, name, vectors, names)


def _take_files(job: Job, vocabularies: dict[str, list[str]]) -> None:
    for name, path in files_of(
        job.config.clip_embeddings, job.config.data.root, vocabularies
    ).items():
        names = vocabularies[name]
        _save(job.out, name, read_embeddings(path, len(names)), names)


def files_of(
    settings: FileEmbeddings, root: str, vocabularies: dict[str, list[str]]
) -> dict[str, Path]:
    """The file of each vocabulary in use.

    Raises:
        UserError: a vocabulary without a file.
    """
    missing = [name for name in vocabularies if name not in settings.files]
    if missing:
        raise UserError(
            f"clip_embeddings.files: nothing for vocabulary {missing[0]!r}; "
            f"there are {', '.join(settings.files)}"
        )
    return {name: Path(root) / settings.files[name] for name in vocabularies}


def _save(folder: Path, name: str, vectors: np.ndarray, names: list[str]) -> None:
    np.savez(folder / f"{name}.npz", embeddings=vectors.astype(np.float32), names=np.array(names))


def inputs(config: Config) -> tuple[str, ...]:
    return ("data", "clip") if config.clip_embeddings.source == "clip" else ("data",)


def files(config: Config) -> dict[str, Path]:
    """Ready arrays enter the key by content."""
    settings = config.clip_embeddings
    if settings.source != "files":
        return {}
    found = {name: Path(config.data.root) / path for name, path in settings.files.items()}
    for name, path in found.items():
        if not path.is_file():
            raise UserError(f"clip_embeddings.files.{name}: {path} does not exist")
    return found


STAGE = Stage(
    name="clip_embeddings",
    version=1,
    reads=("clip", "clip_embeddings", "data"),
    run=run,
    inputs=inputs,
    files=files,
)
