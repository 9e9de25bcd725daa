"""RegionCLIP's image side, as released (detectron2's names) and as UniDetector loads it (mmdet's).

Both start stage 2 of UniDetector: they lack its box regressor. The released files hold more than
the image side (the text encoder, the teacher, the proposal network used offline): those are kept
on the way to a file of ours and back, and left out where the mmdet layout is written.

Source: microsoft/RegionCLIP, detectron2/modeling/meta_arch/clip_rcnn.py (`PretrainFastRCNN`,
`CLIPFastRCNN`), backbone/clip_backbone.py (frozen norms: no `num_batches_tracked`). How UniDetector
made its file is not published; its names here are those that its network takes.
"""

from __future__ import annotations

from dataclasses import replace

from unidet.weights.layouts.clip import SIZES, Size, title
from unidet.weights.layouts.layer_shapes import Shapes, clip_resnet, resnet_layer, under
from unidet.weights.layouts.layout import Layout
from unidet.weights.layouts.unidetector import HEAD, REGION_RENAMES


def released_shapes(size: Size) -> Shapes:
    return under("backbone.", clip_resnet(size.blocks, size.width)) | size.pool("backbone.attnpool")


def mmdet_shapes(size: Size) -> Shapes:
    return {
        **under("backbone.", clip_resnet(size.blocks[:3], size.width)),
        **under("roi_head.shared_head.", resnet_layer(4, size.blocks[3], size.width)),
        **size.pool(f"{HEAD}.attnpool"),
    }


def _layouts(name: str, size: Size) -> tuple[Layout, Layout]:
    network = "regionclip_" + name
    released = Layout(
        name=f"regionclip_{name}",
        network=network,
        summary=f"RegionCLIP {title(name)} as released, detectron2 names",
        shapes=lambda: released_shapes(size),
        renames=((r"^backbone\.layer4\.", "shared_layer."), (r"^backbone\.attnpool\.", "pool.")),
        kept=("lang_encoder.*", "teacher_*", "offline_*", "roi_heads.*", "ignore_others"),
    )
    converted = replace(
        released,
        name=f"regionclip_{name}_mmdet",
        summary=f"RegionCLIP {title(name)} for UniDetector's second stage, mmdet names",
        shapes=lambda: mmdet_shapes(size),
        renames=REGION_RENAMES,
        kept=(),
    )
    return released, converted


LAYOUTS = tuple(layout for name, size in SIZES.items() for layout in _layouts(name, size))
