"""mmdet's Faster R-CNN with ResNet-50 and FPN, any number of classes.

Our names are those of the CLN, so that its backbone, neck, `rpn_conv` and `shared_fcs` can start
from it. Source: mmdetection 2.18, configs/_base_/models/faster_rcnn_r50_fpn.py.
"""

from __future__ import annotations

from unidet.weights.layouts.layer_shapes import (
    Shapes,
    convolution,
    feature_pyramid,
    linear,
    resnet,
    under,
)
from unidet.weights.layouts.layout import Layout
from unidet.weights.layouts.unidetector import HEAD, STAGE1


def faster_rcnn_shapes() -> Shapes:
    channels, anchors = 256, 3
    return {
        **under("backbone.", resnet((3, 4, 6, 3))),
        **feature_pyramid("neck", (256, 512, 1024, 2048), channels),
        **convolution("rpn_head.rpn_conv", channels, channels, 3, bias=True),
        **convolution("rpn_head.rpn_cls", anchors, channels, 1, bias=True),
        **convolution("rpn_head.rpn_reg", 4 * anchors, channels, 1, bias=True),
        **linear(f"{HEAD}.fc_cls", None, 1024),
        **linear(f"{HEAD}.fc_reg", None, 1024),
        **linear(f"{HEAD}.shared_fcs.0", 1024, channels * 7 * 7),
        **linear(f"{HEAD}.shared_fcs.1", 1024, 1024),
    }


FASTER_RCNN = Layout(
    name="mmdet_faster_rcnn_r50_fpn",
    network="faster_rcnn_r50_fpn",
    summary="mmdet's Faster R-CNN R50-FPN",
    shapes=faster_rcnn_shapes,
    renames=STAGE1.renames,
)
