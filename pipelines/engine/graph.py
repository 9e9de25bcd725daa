"""The stages of a study, in order, and what each takes from which.

data ─┬─> rpn ──> proposals ─┬──────> roi ─┬─> lvis_raw ──> lvis_eval ──> report
clip ─┴─> clip_embeddings ───┴─────────────┘       (network)   (numpy)
"""

from __future__ import annotations

from unidet.config.study import Config
from unidet.errors import UserError, suggestion
from unidet.pipelines.engine.stage import Stage
from unidet.pipelines.stages import (
    calibration_sweep,
    clip,
    clip_embeddings,
    coco_eval,
    data,
    lvis_eval,
    lvis_raw,
    proposals,
    proposer_study,
    report,
    roi,
    rpn,
)

STAGES: dict[str, Stage] = {
    module.STAGE.name: module.STAGE
    for module in (
        data,
        clip,
        clip_embeddings,
        rpn,
        proposals,
        proposer_study,
        coco_eval,
        roi,
        lvis_raw,
        lvis_eval,
        calibration_sweep,
        report,
    )
}


def needed(target: str, config: Config) -> list[Stage]:
    """`target` and all it depends on under this configuration, in the order in which they run."""
    if target not in STAGES:
        hint = suggestion(target, STAGES)
        raise UserError(f"stage: {target!r} is not a stage; {hint}there are {', '.join(STAGES)}")
    wanted: set[str] = set()
    pending = [target]
    while pending:
        name = pending.pop()
        if name not in wanted:
            wanted.add(name)
            pending.extend(STAGES[name].inputs(config))
    return [stage for name, stage in STAGES.items() if name in wanted]
