"""`unidet convert SRC DST`: an official checkpoint to a file of ours, and back."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from unidet.console.terminal import printable
from unidet.pipelines.verbs.support.arguments import file_path
from unidet.pipelines.verbs.support.verb import Compose, Verb


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "source", type=file_path, metavar="SRC", help="any checkpoint, official or ours"
    )
    parser.add_argument(
        "destination", type=file_path, metavar="DST", help=".safetensors, .pkl; or .pth, .pt"
    )
    parser.add_argument(
        "--layout",
        metavar="NAME",
        help="layout of the official file, if it is not recognized (docs/convert.md)",
    )
    parser.add_argument("--to", choices=("torch", "ours"), help="default: by the suffix of DST")


def run(options: Namespace, compose: Compose) -> int:
    from unidet.weights.convert import convert_file

    print("\n".join(map(printable, convert_file(**vars(options)))))
    return 0


VERB = Verb(
    group="Files",
    summary="convert checkpoints between official layouts and ours",
    example="unidet convert epoch_12.pth roi.safetensors",
    run=run,
    add_arguments=add_arguments,
    takes_overrides=False,
)
