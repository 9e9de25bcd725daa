"""Arguments that say which model, and what it looks for: those of `unidet.load`."""

from __future__ import annotations

from argparse import _ActionsContainer

from unidet.pipelines.verbs.support.arguments import file_path, vocabulary


def add_vocabulary(model: _ActionsContainer) -> None:
    """`--vocab`, which `Vocabulary.parse` reads."""
    model.add_argument(
        "--vocab",
        type=vocabulary,
        metavar="NAMES",
        help='"cat, traffic light"; a file, one name per line; coco, lvis_v1, objects365, '
        "openimages; not needed if the model has its own names",
    )


def add_source(model: _ActionsContainer) -> None:
    """`--study`, or weights: what `detector.model.load` takes."""
    model.add_argument(
        "--study",
        type=file_path,
        metavar="STUDY",
        help="an experiment, or a folder of the store; default: the newest study on real images",
    )
    for option, text in (
        ("--proposals-weights", "checkpoint of a first stage"),
        ("--weights", "checkpoint of a second stage or a closed-set detector"),
        ("--text-encoder", "OpenAI's CLIP; not needed for names with embeddings"),
        ("--embeddings", "precomputed embeddings of names, .npz or .npy"),
    ):
        model.add_argument(option, type=file_path, metavar="FILE", help=text)
