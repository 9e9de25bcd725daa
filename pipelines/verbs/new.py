"""`unidet new DIR`: creates a study of the user's images and labels."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from unidet.pipelines.verbs.support.arguments import add_json, file_path, number, tell, whole
from unidet.pipelines.verbs.support.own_data import add_labels
from unidet.pipelines.verbs.support.verb import Compose, Verb


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("folder", type=file_path, metavar="DIR", help="a new folder for the study")
    add_labels(parser, required=True)
    parser.add_argument(
        "--evaluation",
        type=number(0.01, 0.9),
        default=0.25,
        help="fraction of the images held out for evaluation",
    )
    parser.add_argument("--seed", type=whole(0), default=0, help="seed of the train/val split")
    text = "folder with OpenAI's RN50.pt and bpe_simple_vocab_16e6.txt.gz, for an open vocabulary"
    parser.add_argument("--clip", type=file_path, metavar="FOLDER", help=text)
    text = "(names, 1024) CLIP RN50 embeddings of the category names"
    parser.add_argument("--embeddings", type=file_path, metavar="FILE.npy", help=text)
    text = "initial weights of the first network, ours or official"
    parser.add_argument("--weights", type=file_path, metavar="FILE", help=text)
    text = "read changed labels again; keeps DIR's study file"
    parser.add_argument("--again", action="store_true", help=text)
    add_json(parser)


def run(options: Namespace, compose: Compose) -> int:
    from unidet.pipelines.wiring.new_study import Request, new_study

    values = {name: value for name, value in vars(options).items() if name != "json"}
    for name in ("folder", "images", "annotations", "clip", "embeddings", "weights"):
        values[name] = values[name] and Path(values[name]).absolute()
    request = Request(**values)
    lines = new_study(request)
    tell(options, {"study": str(request.study), "lines": lines}, lines)
    return 0


VERB = Verb(
    group="The study",
    summary="create a study of your own images and labels",
    example="unidet new cats --images photos --annotations labels.json",
    run=run,
    add_arguments=add_arguments,
    takes_overrides=False,
)
