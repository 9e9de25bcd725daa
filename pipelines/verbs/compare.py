"""`unidet compare A.npz B.npz`: compares tensors layer by layer; exit status 1: they differ."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace

from unidet.console.terminal import printable, say
from unidet.pipelines.verbs.support.arguments import file_path, number
from unidet.pipelines.verbs.support.verb import Compose, Verb


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("first", type=file_path, metavar="A.npz", help="the output of unidet trace")
    parser.add_argument("second", type=file_path, metavar="B.npz", help="the reference")
    parser.add_argument(
        "--rtol",
        type=number(0),
        help="tolerance relative to B's largest value; default: one per tensor",
    )
    parser.add_argument(
        "--atol",
        type=number(0),
        help="absolute tolerance; default: one per tensor (docs/parity.md)",
    )
    parser.add_argument(
        "--only",
        nargs="+",
        default=[],
        metavar="PATTERN",
        help='compare only these tensors, such as "rpn_*"',
    )
    parser.add_argument(
        "--common",
        action="store_true",
        help="pass over tensors that one file lacks, as a recording that holds more than a trace; "
        "without it they count as different",
    )


def run(options: Namespace, compose: Compose) -> int:
    from unidet.weights.compare import compare_files, table

    comparison = compare_files(
        options.first, options.second, rtol=options.rtol, atol=options.atol, only=options.only
    )
    if os.path.realpath(options.first) == os.path.realpath(options.second):
        say(f"note: {options.first} and {options.second} are one file, equal to itself")
    print("\n".join(map(printable, table(comparison))))
    return 0 if comparison.fits(common=options.common) else 1


VERB = Verb(
    group="Files",
    summary="compare two files of tensors; exit 1: they differ",
    example='unidet compare ours.npz official.npz --only "rpn_*"',
    run=run,
    add_arguments=add_arguments,
    takes_overrides=False,
)
