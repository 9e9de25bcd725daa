"""`unidet config`: the whole configuration as a run would see it."""

from __future__ import annotations

import json
from argparse import Namespace
from dataclasses import asdict, replace

from unidet.pipelines.verbs.support.verb import Compose, Verb
from unidet.store.provenance import redact_argument


def run(options: Namespace, compose: Compose) -> int:
    import yaml

    config = compose(options.overrides)
    plain = json.loads(json.dumps(asdict(replace(config, remote=redact_argument(config.remote)))))
    print(yaml.safe_dump(plain, sort_keys=False), end="")
    return 0


VERB = Verb(
    group="The study",
    summary="every value that can be given as key=value",
    example="unidet config experiment=coco_o365 rpn=detr_r50",
    run=run,
)
