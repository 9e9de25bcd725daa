"""docs/stages/: every stage has a page, which says what it takes and what there is to set.

What it leaves is compared where studies run (tests/pipelines/test_study.py and others).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

import pytest
import stage_pages

from unidet.cli import compose
from unidet.config.study import Config
from unidet.pipelines.engine.graph import STAGES

CONFIGS = (
    (),
    ("experiment=toy_finetune",),
    ("proposals.merge=[toy,toy_rpn]",),
    ("experiment=toy_end2end",),
    ("experiment=bench", "data.root=x", "clip=openai_rn50", "rpn.network.initialize=clip"),
    ("experiment=coco", "rpn.classes=dataset"),
    ("experiment=coco_o365", "clip=openai_rn50", "clip_embeddings=prompts81"),
)
"""Studies that between them take all there is to take, and have all keys."""
SECTIONS = ["Inputs", "Outputs", "Cost", "Settings"]


@pytest.fixture(scope="module")
def configs() -> list[Config]:
    return [compose(list(overrides)) for overrides in CONFIGS]


def test_every_stage_has_a_page_of_the_same_order() -> None:
    assert set(stage_pages.pages()) == set(STAGES)
    for stage, text in stage_pages.pages().items():
        assert text.startswith(f"# Stage `{stage}`\n")
        titles = [line[3:] for line in text.splitlines() if line.startswith("## ")]
        assert titles == SECTIONS, stage


def test_pages_name_the_stages_that_are_taken_from(configs: list[Config]) -> None:
    taken: dict[str, set[str]] = {name: set() for name in STAGES}
    for config in configs:
        for name, stage in STAGES.items():
            if name == "clip" and config.clip.kind == "none":
                continue
            for node in stage.nodes(config):
                inputs = stage.inputs(config, node).values()
                taken[name] |= {entry.node.stage for entry in inputs}
    assert {name: stage_pages.taken(name) for name in STAGES} == taken


def test_settings_are_keys_and_cover_what_a_stage_reads(configs: list[Config]) -> None:
    known = {key for config in configs for key in keys(asdict(config))}
    for name, stage in STAGES.items():
        settings = stage_pages.settings(name)
        assert settings - known == set(), name
        roots = {key.partition(".")[0] for key in settings}
        assert {*stage.reads} - roots == set(), name


def keys(values: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """Every dotted name, of subtrees too."""
    for name, value in values.items():
        yield f"{above}{name}"
        if isinstance(value, Mapping) and not is_dataclass(value):
            yield from keys(value, f"{above}{name}.")
