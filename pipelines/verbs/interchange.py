"""`unidet interchange SRC DST`: proposals and results as mmdet's pickles, as JSON, and ours."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from unidet.console.terminal import printable
from unidet.pipelines.verbs.support.arguments import file_path
from unidet.pipelines.verbs.support.verb import Compose, Verb


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "source", type=file_path, metavar="SRC", help=".pkl, .json, proposals:SET, lvis_eval:SET"
    )
    parser.add_argument(
        "destination", type=file_path, metavar="DST", help=".pkl (mmdet) or .json (COCO, LVIS)"
    )
    parser.add_argument(
        "--annotations", type=file_path, metavar="GT.json", help="annotation file of a file SRC"
    )
    parser.add_argument("--proposals", action="store_true", help="a .json SRC contains proposals")


def run(options: Namespace, compose: Compose) -> int:
    from unidet.pipelines.wiring.interchange import interchange_files

    values = vars(options)
    overrides = values.pop("overrides")
    print(printable(interchange_files(**values, study=lambda: compose(overrides))))
    return 0


VERB = Verb(
    group="Files",
    summary="convert proposals and results: mmdet, JSON, studies",
    example="unidet interchange proposals:val proposals.pkl",
    run=run,
    add_arguments=add_arguments,
)
