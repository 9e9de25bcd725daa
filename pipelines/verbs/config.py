"""`unidet config`: the whole configuration as a run would see it."""

from __future__ import annotations

import json
from argparse import Namespace
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from unidet.errors import UserError
from unidet.pipelines.verbs.support.verb import Compose, Verb
from unidet.redaction import redact_argument

if TYPE_CHECKING:
    from unidet.config.study import Config


def run(options: Namespace, compose: Compose) -> int:
    import yaml

    config = compose(options.overrides)
    plain = json.loads(json.dumps(asdict(replace(config, remote=redact_argument(config.remote)))))
    unread = _unread(config)
    shown = {name: value for name, value in plain.items() if name not in unread}
    print(yaml.safe_dump(shown, sort_keys=False), end="")
    if unread:
        print(f"# no stage of this study reads: {', '.join(unread)}")
    return 0


def _unread(config: Config) -> list[str]:
    """Parts that are read by stages alone that have nothing to do, as those of a RoI head where the
    detector is a closed-set one."""
    from unidet.pipelines.engine.graph import STAGES, all_nodes

    try:
        stages = {node.stage for node in all_nodes(config)}
    except UserError:  # not whole yet: any value may be wanted
        return []
    read = {part for name in stages for part in STAGES[name].reads}
    return sorted({part for stage in STAGES.values() for part in stage.reads} - read)


VERB = Verb(
    group="The study",
    summary="print every value that can be set with key=value",
    example="unidet config experiment=coco_o365 rpn=detr_r50",
    run=run,
)
