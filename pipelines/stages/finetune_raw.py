"""Stage `finetune_raw`: `lvis_raw` with the networks that were fine-tuned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from unidet.config.study import Config
from unidet.pipelines.engine.node import Input, Node
from unidet.pipelines.stages import lvis_raw
from unidet.pipelines.wiring import fine_tuning
from unidet.pipelines.wiring.study_sets import evaluation_sets


def nodes(config: Config) -> tuple[str, ...]:
    """NETWORK/SET."""
    networks = fine_tuning.tuned(config)
    return tuple(f"{network}/{name}" for network in networks for name in evaluation_sets(config))


def inputs(config: Config, name: str) -> Mapping[str, Input]:
    network, _, evaluated = name.partition("/")
    return {**lvis_raw.inputs(config, evaluated), "roi": Input(Node("finetune", network))}


STAGE = replace(
    lvis_raw.STAGE,
    name="finetune_raw",
    nodes=nodes,
    why_none=fine_tuning.why_none,
    inputs=inputs,
)
