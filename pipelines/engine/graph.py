"""The stages of a study in order, and their inputs.

data ─┬─> rpn ──> proposals ─┬──────> roi ─┬─> lvis_raw ──> lvis_eval ──> report
clip ─┴─> clip_embeddings ───┴─────────────┘       (network)   (numpy)

`end2end` stands for `rpn` and `roi` together: it takes no proposals, and makes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from unidet.config.study import Config
from unidet.errors import UserError, suggestion
from unidet.pipelines.engine.node import Input, Node
from unidet.pipelines.engine.stage import Stage
from unidet.pipelines.stages import (
    calibration_sweep,
    clip,
    clip_embeddings,
    coco_eval,
    data,
    end2end,
    finetune,
    finetune_eval,
    finetune_raw,
    lvis_eval,
    lvis_raw,
    proposals,
    proposer_study,
    rehearsal,
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
        end2end,
        proposals,
        proposer_study,
        coco_eval,
        roi,
        lvis_raw,
        lvis_eval,
        calibration_sweep,
        rehearsal,
        finetune,
        finetune_raw,
        finetune_eval,
        report,
    )
}


def targets(text: str, config: Config) -> list[Node]:
    """The nodes named by `text`: a stage (all its nodes, the main one first) or one node.

    Raises:
        UserError: there is no such stage, or it has no such node under this configuration.
    """
    parsed = Node.parse(text)
    if parsed is None or parsed.stage not in STAGES:
        unknown = text if parsed is None else parsed.stage
        hint = suggestion(unknown, STAGES)
        raise UserError(f"stage: {unknown!r} is not a stage; {hint}there are {', '.join(STAGES)}")
    names = STAGES[parsed.stage].nodes(config)
    if not names:
        raise UserError(f"{parsed.stage}: {STAGES[parsed.stage].why_none(config)}")
    if not parsed.name:
        return [Node(parsed.stage, name) for name in names]
    same = [name for name in names if parsed.name in (name, name.rpartition("/")[2])]
    if parsed.name in same:
        same = [parsed.name]
    if len(same) != 1:
        known = ", ".join(str(Node(parsed.stage, name)) for name in names)
        hint = suggestion(parsed.name, names)
        raise UserError(f"stage: there is no {parsed}; {hint}there is {known}")
    return [Node(parsed.stage, same[0])]


def needed(target: str, config: Config) -> list[Node]:
    """`target` and all it depends on under this configuration, in the order in which they run.

    Raises:
        UserError: no such stage or node.
    """
    wanted: set[Node] = set()
    pending = targets(target, config)
    while pending:
        node = pending.pop()
        if node not in wanted:
            wanted.add(node)
            pending.extend(entry.node for entry in inputs_of(node, config).values())
    absent = sorted(wanted.difference(all_nodes(config)))
    if absent:
        raise UserError(f"{target}: needs {absent[0]}, which this configuration leaves out")
    return in_order(wanted, config)


def in_order(wanted: set[Node], config: Config) -> list[Node]:
    """Nodes in the order in which they run: what a node takes of its own stage goes before it."""
    ordered: dict[Node, None] = {}
    for node in all_nodes(config):
        if node in wanted:
            inputs = (entry.node for entry in inputs_of(node, config).values())
            ordered |= dict.fromkeys(entry for entry in inputs if entry.stage == node.stage)
            ordered[node] = None
    return list(ordered)


def all_nodes(config: Config) -> list[Node]:
    """Every node that a configuration has, needed or not, a stage after what it takes."""
    return [Node(stage.name, name) for stage in STAGES.values() for name in stage.nodes(config)]


def stage_of(node: Node) -> Stage:
    """The stage that makes a node's artefact."""
    return STAGES[node.stage]


def view_of(node: Node, config: Config) -> Config:
    """A study's configuration as one of its nodes sees it."""
    return STAGES[node.stage].view(config, node.name)


def inputs_of(node: Node, config: Config) -> Mapping[str, Input]:
    """A node's inputs, by the names that its stage uses for them."""
    return STAGES[node.stage].inputs(view_of(node, config), node.name)


def files_of(node: Node, config: Config) -> Mapping[str, Path]:
    """Files and folders outside the store that a node reads.

    Raises:
        UserError: one is not there.
    """
    return STAGES[node.stage].files(view_of(node, config), node.name)
