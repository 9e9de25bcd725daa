"""`unidet trace MODEL`: a network with official settings on given tensors, every tensor named."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from unidet.pipelines.traces.models import MODELS
from unidet.pipelines.verbs.support.arguments import file_path
from unidet.pipelines.verbs.support.verb import Compose, Verb


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help=", ".join(MODELS))
    parser.add_argument(
        "--weights",
        required=True,
        type=file_path,
        metavar="FILE",
        help="a checkpoint, ours or official",
    )
    parser.add_argument(
        "--inputs",
        required=True,
        type=file_path,
        metavar="IN.npz",
        help="images and boxes (docs/parity.md)",
    )
    parser.add_argument(
        "--out", required=True, type=file_path, metavar="OUT.npz", help="the tensors, by name"
    )
    parser.add_argument("--train", action="store_true", help="run a training step, with losses")
    parser.add_argument(
        "--grads",
        nargs="+",
        default=[],
        metavar="NAME",
        help="with --train: gradients of these parameters",
    )


def run(options: Namespace, compose: Compose) -> int:
    from unidet.pipelines.traces.tracing import trace_files

    trace_files(**vars(options))
    return 0


VERB = Verb(
    group="Files",
    summary="write every tensor of a full-size network",
    example="unidet trace detr_r50 --weights detr.pth --inputs in.npz --out out.npz",
    run=run,
    add_arguments=add_arguments,
    takes_overrides=False,
)
