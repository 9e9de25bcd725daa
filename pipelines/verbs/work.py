"""`unidet work TASK.json`: one of the processes that share a stage."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from unidet.pipelines.verbs.support.arguments import file_path
from unidet.pipelines.verbs.support.verb import Compose, Verb


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "task",
        type=file_path,
        metavar="TASK.json",
        help="task file in the stage's working folder",
    )
    parser.add_argument("--attached", action="store_true", help="stop when standard input closes")
    parser.add_argument(
        "--together", action="store_true", help="run with the other processes of mpirun"
    )


def run(options: Namespace, compose: Compose) -> int:
    from unidet.pipelines.engine.work import work_on

    work_on(Path(options.task), attached=options.attached, together=options.together)
    return 0


VERB = Verb(
    group="This machine",
    summary="one process of a running stage (started by unidet)",
    example="unidet work outputs/store/v1/work/KEY/task.json",
    run=run,
    add_arguments=add_arguments,
    takes_overrides=False,
    saves=True,
)
