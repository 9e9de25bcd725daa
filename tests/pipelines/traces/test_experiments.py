"""`experiment=coco_o365` builds the networks that are traced, and official checkpoints fit them."""

from __future__ import annotations

from typing import Any

from unidet.cli import compose
from unidet.weights.layouts.layout import Layout, Weights
from unidet.weights.layouts.unidetector import END2END, STAGE1, STAGE1_RPN, STAGE2
from unidet.weights.load import state_of


def assert_fits(network: Any, layout: Layout) -> None:
    official = {ours: layout.expected[name] for name, ours in layout.our_names.items()}
    assert {name: array.shape for name, array in state_of(network).items()} == official


def test_the_first_stage() -> None:
    from unidet.pipelines.proposers.proposer import build_proposer
    from unidet.pipelines.traces import cln_r50_fpn

    network = build_proposer(compose(["experiment=coco_o365"]).rpn, 0)
    assert_fits(network, STAGE1)
    traced = cln_r50_fpn.build(Weights(STAGE1, state_of(network)))
    assert traced.settings == network.settings
    assert traced.settings.alpha == 0.3
    assert traced.rpn_head.anchor_sampler == network.rpn_head.anchor_sampler


def test_the_first_stage_with_a_plain_rpn() -> None:
    from unidet.pipelines.proposers.proposer import build_proposer
    from unidet.pipelines.traces import rpn_r50_fpn

    network = build_proposer(compose(["experiment=coco_o365", "rpn=rpn_r50_fpn"]).rpn, 0)
    assert_fits(network, STAGE1_RPN)
    assert rpn_r50_fpn.build(Weights(STAGE1_RPN, state_of(network))).settings == network.settings


def test_the_second_stage() -> None:
    from unidet.pipelines.traces import unidetector_r50_c4
    from unidet.pipelines.wiring.classifier import build_classifier

    network = build_classifier(compose(["experiment=coco_o365"]).roi.network)
    assert_fits(network, STAGE2)
    text = network.pool.c_proj.weight.numpy()[:3, :1024]
    traced = unidetector_r50_c4.build(Weights(STAGE2, state_of(network), (text,)))
    assert traced.settings == network.settings
    assert traced.settings.pool_size == 14


def test_end_to_end() -> None:
    from unidet.pipelines.traces.published_settings import end_to_end_settings
    from unidet.pipelines.wiring.end_to_end import build_end_to_end

    settings = end_to_end_settings("clip_r50_c4")
    assert compose(["experiment=coco_end2end"]).end2end == settings
    network = build_end_to_end(settings)
    assert_fits(network, END2END)
    assert network.regions.stride == 16
