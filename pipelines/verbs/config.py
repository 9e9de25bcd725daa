"""`unidet config`: the whole configuration as a run would see it."""

from __future__ import annotations

import json
from argparse import Namespace
from dataclasses import asdict

from unidet.pipelines.verbs.support.verb import Compose, Verb


def run(options: Namespace, compose: Compose) -> int:
    import yaml

    plain = json.loads(json.dumps(asdict(compose(options.overrides))))
    print(yaml.safe_dump(plain, sort_keys=False), end="")
    return 0


VERB = Verb(
    group="The study",
    summary="every value that can be given as key=value",
    example="unidet config experiment=coco_o365 rpn=detr_r50",
    run=run,
)
