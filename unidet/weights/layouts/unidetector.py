"""UniDetector's checkpoints as mmdet writes them: stage 1 (CLN, or an RPN in its place) and
stage 2 (RoI classifier), or both in one network (end to end).

Source: zhenyuw16/UniDetector, mmdet/models/{backbones/clipresnet,dense_heads/{oln_,}rpn_head,
roi_heads/bbox_heads/bbox_head_clip,roi_heads/bbox_heads/convfc_bbox_score_head}.py. The heads that
only infer (BBoxHeadCLIPInference) hold the same parameters as those that train.
"""

from __future__ import annotations

from dataclasses import replace

from unidet.weights.layouts.layer_shapes import (
    Shapes,
    attention_pool,
    clip_resnet,
    convolution,
    feature_pyramid,
    linear,
    resnet,
    resnet_layer,
    under,
)
from unidet.weights.layouts.layout import Layout

HEAD = "roi_head.bbox_head"
CHANNELS = 256
"""Of the pyramid."""


def stage1_shapes() -> Shapes:
    return _first_stage(
        {
            **convolution("rpn_head.rpn_cls", 1, CHANNELS, 1, bias=True),
            **convolution("rpn_head.rpn_reg", 4, CHANNELS, 1, bias=True),
            **convolution("rpn_head.rpn_obj", 1, CHANNELS, 1, bias=True),
        }
    )


def stage1_rpn_shapes() -> Shapes:
    anchors = 3
    return _first_stage(
        {
            **convolution("rpn_head.rpn_cls", anchors, CHANNELS, 1, bias=True),
            **convolution("rpn_head.rpn_reg", 4 * anchors, CHANNELS, 1, bias=True),
        }
    )


def _first_stage(outputs: Shapes) -> Shapes:
    """With the proposal head's last convolutions."""
    return {
        **under("backbone.", resnet((3, 4, 6, 3))),
        **feature_pyramid("neck", (256, 512, 1024, 2048), CHANNELS),
        **convolution("rpn_head.rpn_conv", CHANNELS, CHANNELS, 3, bias=True),
        **outputs,
        **linear(f"{HEAD}.fc_cls", 2, 1024),
        **linear(f"{HEAD}.fc_reg", 4, 1024),
        **linear(f"{HEAD}.shared_fcs.0", 1024, CHANNELS * 7 * 7),
        **linear(f"{HEAD}.shared_fcs.1", 1024, 1024),
        **linear(f"{HEAD}.fc_bbox_score", 1, 1024),
    }


def stage2_shapes() -> Shapes:
    return _regions({})


def end2end_shapes() -> Shapes:
    channels, anchors = 1024, 15
    return _regions(
        {
            **convolution("rpn_head.rpn_conv", channels, channels, 3, bias=True),
            **convolution("rpn_head.rpn_cls", anchors, channels, 1, bias=True),
            **convolution("rpn_head.rpn_reg", 4 * anchors, channels, 1, bias=True),
        }
    )


def _regions(proposal_head: Shapes) -> Shapes:
    """The RoI network, with or without a proposal head on its map."""
    return {
        **under("backbone.", clip_resnet((3, 4, 6))),
        **proposal_head,
        **under("roi_head.shared_head.", resnet_layer(4, 3)),
        **linear(f"{HEAD}.fc_reg", 4, 1024),
        **attention_pool(f"{HEAD}.attnpool", tokens=50, channels=2048, embedding=1024),
    }


REGION_RENAMES = (
    (r"^roi_head\.shared_head\.layer4\.", "shared_layer."),
    (r"^roi_head\.bbox_head\.attnpool\.", "pool."),
    (r"^roi_head\.bbox_head\.fc_reg\.", "box_regressor."),
)

STAGE1 = Layout(
    name="unidetector_stage1",
    network="cln_r50_fpn",
    summary="UniDetector's first stage, mmdet names",
    shapes=stage1_shapes,
    renames=((r"^roi_head\.bbox_head\.", "box_head."), (r"_convs\.(\d)\.conv\.", r"_convs.\1.")),
)
STAGE1_RPN = replace(
    STAGE1,
    name="unidetector_stage1_rpn",
    network="rpn_r50_fpn",
    summary="UniDetector's first stage with a plain RPN, mmdet names",
    shapes=stage1_rpn_shapes,
)
STAGE2 = Layout(
    name="unidetector_stage2",
    network="unidetector_r50_c4",
    summary="UniDetector's second stage with one vocabulary, mmdet names",
    shapes=stage2_shapes,
    renames=REGION_RENAMES,
    vocabulary=f"{HEAD}.zs_weights",
    embedding=1024,
)
STAGE2_PARTITIONED = replace(
    STAGE2,
    name="unidetector_stage2_partitioned",
    summary="UniDetector's second stage with a vocabulary for each dataset, mmdet names",
    vocabulary=f"{HEAD}.zs_weights_{{}}",
)
END2END = replace(
    STAGE2,
    name="unidetector_end2end",
    network="unidetector_r50_c4_end2end",
    summary="UniDetector end to end with one vocabulary, mmdet names",
    shapes=end2end_shapes,
    renames=(
        (r"^backbone\.", "regions.backbone."),
        *((pattern, f"regions.{ours}") for pattern, ours in REGION_RENAMES),
    ),
)
END2END_PARTITIONED = replace(
    END2END,
    name="unidetector_end2end_partitioned",
    summary="UniDetector end to end with a vocabulary for each dataset, mmdet names",
    vocabulary=STAGE2_PARTITIONED.vocabulary,
)
