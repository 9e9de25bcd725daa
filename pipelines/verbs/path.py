"""`unidet path STAGE`: where a stage's artefact lies; of several, the first."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace

from unidet.pipelines.verbs.support.verb import Compose, Verb


def add_arguments(parser: ArgumentParser) -> None:
    text = (
        "a stage (of several artefacts that of the first training set for data and "
        "clip_embeddings, else of the first evaluation set), or one such as lvis_eval:lvis_v1"
    )
    parser.add_argument("stage", help=text)


def run(options: Namespace, compose: Compose) -> int:
    from unidet.pipelines.engine.engine import open_store
    from unidet.pipelines.engine.graph import targets
    from unidet.pipelines.engine.states import current

    config = compose(options.overrides)
    main, store = targets(options.stage, config)[0], open_store(config)
    action = current(str(main), config, store)[main]
    if action is None:
        stage = options.stage
        print(f"unidet: {main} is not built; run stage={stage} of this study", file=sys.stderr)
        return 1
    print(store.folder(action))
    return 0


VERB = Verb(
    group="The study",
    summary="print the folder of a stage's artefact",
    example="unidet path lvis_eval calibration.gamma=0.3",
    run=run,
    add_arguments=add_arguments,
)
