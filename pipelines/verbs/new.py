"""`unidet new DIR`: a study of one's own pictures and labels."""

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
        "--evaluation", type=number(0.01, 0.9), default=0.25, help="share of the pictures for it"
    )
    parser.add_argument(
        "--seed", type=whole(0), default=0, help="another one divides the pictures otherwise"
    )
    text = "folder of OpenAI's RN50.pt and bpe_simple_vocab_16e6.txt.gz: any name can be found"
    parser.add_argument("--clip", type=file_path, metavar="FOLDER", help=text)
    text = "(names, 1024) embeddings of the names by CLIP RN50"
    parser.add_argument("--embeddings", type=file_path, metavar="FILE.npy", help=text)
    text = "checkpoint that the first network starts from, ours or official"
    parser.add_argument("--weights", type=file_path, metavar="FILE", help=text)
    text = "read the labels again, keep DIR's study file"
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
    summary="a study of one's own pictures and labels",
    example="unidet new cats --images photos --annotations labels.json",
    run=run,
    add_arguments=add_arguments,
    takes_overrides=False,
)
