"""`unidet detect IMAGE…`: boxes with names, drawn on one's own pictures."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from unidet.pipelines.verbs.support.arguments import file_path, number
from unidet.pipelines.verbs.support.verb import Compose, Verb


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("images", nargs="+", type=file_path, metavar="IMAGE")
    parser.add_argument("--vocab", required=True, help='names, separated by commas: "a, b, c"')
    parser.add_argument("--experiment", default="toy", help="whose newest networks are used")
    parser.add_argument(
        "--out",
        type=file_path,
        metavar="DIR",
        default="detections",
        help="folder for drawings and detections.json; replaces no file that detect has not made",
    )
    parser.add_argument(
        "--threshold", type=number(0, 1), default=0.3, help="least score to draw, 0 to 1"
    )
    parser.add_argument("--set", nargs="*", default=[], metavar="key=value", help="overrides")


def run(options: Namespace, compose: Compose) -> int:
    from unidet.pipelines.wiring.zero_shot_detector import detect_files

    config = compose([f"experiment={options.experiment}", *options.set])
    detect_files(config, options.images, options.vocab, options.out, options.threshold)
    return 0


VERB = Verb(
    group="Files",
    summary="boxes with names, drawn on one's own pictures",
    example='unidet detect street.jpg --vocab "car, traffic light"',
    run=run,
    add_arguments=add_arguments,
    takes_overrides=False,
)
