"""`unidet plot LOG…`: plots training logs, or writes them as a table."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from unidet.console.terminal import printable
from unidet.pipelines.verbs.support.arguments import file_path, whole
from unidet.pipelines.verbs.support.verb import Compose, Verb


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "logs",
        nargs="+",
        type=file_path,
        metavar="LOG",
        help="a log, or a folder that contains one",
    )
    parser.add_argument(
        "--out",
        default="curves.png",
        type=file_path,
        metavar="FILE",
        help=".png, .pdf, .svg or .csv",
    )
    parser.add_argument(
        "--keys",
        nargs="+",
        default=[],
        metavar="KEY",
        help='quantities to draw, such as "loss_*" "AP*"',
    )
    parser.add_argument("--names", nargs="+", default=[], help="names of the runs in the legend")
    parser.add_argument(
        "--smooth", type=whole(1), metavar="ROWS", help="moving average over so many rows; 1: none"
    )
    parser.add_argument(
        "--epoch-steps",
        type=whole(1),
        metavar="N",
        help="steps per epoch, for logs with epochs only",
    )
    parser.add_argument("--title", default="", help="title of the figure")


def run(options: Namespace, compose: Compose) -> int:
    from unidet.report.log_plot import plot_logs

    print("\n".join(map(printable, plot_logs(**vars(options)))))
    return 0


VERB = Verb(
    group="Files",
    summary="plot logs of unidet, mmdet, nanodet, DETR, RT-DETR",
    example='unidet plot outputs/artefacts/rpn-* --keys "loss*" --out loss.svg',
    run=run,
    add_arguments=add_arguments,
    takes_overrides=False,
)
