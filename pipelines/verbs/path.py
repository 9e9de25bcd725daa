"""`unidet path STAGE`: where a stage's artefact lies."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace

from unidet.pipelines.verbs.support.verb import Compose, Verb


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("stage")


def run(options: Namespace, compose: Compose) -> int:
    from unidet.pipelines.engine.states import artefact_folder

    stage = options.stage
    folder = artefact_folder(stage, compose(options.overrides))
    if folder is None:
        print(f"unidet: {stage} is not built; run: unidet stage={stage}", file=sys.stderr)
        return 1
    print(folder)
    return 0


VERB = Verb(
    group="The study",
    summary="the folder of a stage's artefact",
    example="unidet path lvis_eval calibration.gamma=0.3",
    run=run,
    add_arguments=add_arguments,
)
