"""What every layout gives is what our network of the same architecture takes, name by name."""

from __future__ import annotations

import math

import jittor as jt
import networks
import pytest

from unidet.config.networks import TextConfig
from unidet.models.clip.attention_pool import AttentionPool
from unidet.models.clip.image import ImageEncoder
from unidet.models.clip.text import TextEncoder
from unidet.models.nanodet_plus.backbone import ShuffleNetV2
from unidet.models.resnet import ResNet
from unidet.pipelines.proposers import cln, rpn
from unidet.pipelines.traces.published_settings import end_to_end_settings
from unidet.pipelines.wiring.classifier import build_classifier
from unidet.pipelines.wiring.end_to_end import build_end_to_end
from unidet.weights.layouts.layout import Shape
from unidet.weights.layouts.registry import layout_named
from unidet.weights.layouts.torchvision import SHUFFLENET_WIDTHS

STATISTICS = ("running_mean", "running_var")


def network_shapes(network: jt.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(var.shape) for name, var in network.named_parameters()}


def layout_shapes(name: str, prefix: str = "") -> dict[str, Shape]:
    """Under our names, those that start with `prefix`, without it."""
    layout = layout_named(name)
    return {
        ours.removeprefix(prefix): layout.expected[official]
        for official, ours in layout.our_names.items()
        if ours.startswith(prefix)
    }


def parameter_count(name: str) -> int:
    """Learned numbers of the official model, its kept classifier included."""
    shapes = layout_named(name).expected
    return sum(
        math.prod(1000 if length is None else length for length in shape)
        for entry, shape in shapes.items()
        if not entry.endswith((*STATISTICS, "num_batches_tracked"))
    )


def region_classifier(blocks: tuple[int, ...], width: int, size: int, embedding: int) -> jt.Module:
    backbone = networks.resnet(style="clip", width=width, blocks=blocks)
    settings = networks.classifier(
        backbone=backbone, pool_size=2 * size, heads=width // 2, embedding=embedding
    )
    return build_classifier(settings)


def test_stage_1() -> None:
    network = cln.build(networks.cln(compat="official"), classes=0, is_trained=True)
    assert layout_shapes("unidetector_stage1") == network_shapes(network)


def test_stage_1_with_a_plain_rpn() -> None:
    network = rpn.build(networks.rpn(), classes=0, is_trained=True)
    assert layout_shapes("unidetector_stage1_rpn") == network_shapes(network)


@pytest.mark.parametrize("name", ["unidetector_stage2", "unidetector_stage2_partitioned"])
def test_stage_2(name: str) -> None:
    network = region_classifier((3, 4, 6, 3), 64, 7, 1024)
    assert layout_shapes(name) == network_shapes(network)


@pytest.mark.parametrize("name", ["unidetector_end2end", "unidetector_end2end_partitioned"])
def test_end_to_end(name: str) -> None:
    network = build_end_to_end(end_to_end_settings("clip_r50_c4"))
    assert layout_shapes(name) == network_shapes(network)


@pytest.mark.parametrize("suffix", ["", "_mmdet"])
@pytest.mark.parametrize(
    ("name", "network"),
    [("rn50", ((3, 4, 6, 3), 64, 7, 1024)), ("rn50x4", ((4, 6, 10, 6), 80, 9, 640))],
)
def test_regionclip_is_stage_2_without_its_regressor(
    name: str, network: tuple, suffix: str
) -> None:
    shapes = network_shapes(region_classifier(*network))
    del shapes["box_regressor.weight"], shapes["box_regressor.bias"]
    assert layout_shapes(f"regionclip_{name}{suffix}") == shapes


@pytest.mark.parametrize(
    ("name", "blocks", "width", "size", "embedding", "text_width"),
    [("rn50", (3, 4, 6, 3), 64, 7, 1024, 512), ("rn50x4", (4, 6, 10, 6), 80, 9, 640, 640)],
)
def test_openai_clip(
    name: str, blocks: tuple, width: int, size: int, embedding: int, text_width: int
) -> None:
    image = network_shapes(
        ImageEncoder(
            ResNet(networks.resnet(style="clip", width=width, blocks=blocks), (4,)),
            AttentionPool(size=size, channels=32 * width, heads=width // 2, embedding=embedding),
        )
    )
    text = network_shapes(
        TextEncoder(
            TextConfig(text_width, 12, text_width // 64, context_length=77, merges=1),
            vocabulary_size=49408,
            embedding=embedding,
        )
    )
    for layout, parts in (
        (name, {"image": image, "text": text}),
        (f"{name}_image", {"image": image}),
        (f"{name}_text", {"text": text}),
    ):
        for part, shapes in parts.items():
            assert layout_shapes(f"openai_clip_{layout}", f"{part}.") == shapes


@pytest.mark.parametrize(
    ("depth", "blocks", "block"),
    [
        (18, (2, 2, 2, 2), "basic"),
        (34, (3, 4, 6, 3), "basic"),
        (50, (3, 4, 6, 3), "bottleneck"),
        (101, (3, 4, 23, 3), "bottleneck"),
        (152, (3, 8, 36, 3), "bottleneck"),
    ],
)
def test_torchvision(depth: int, blocks: tuple[int, ...], block: str) -> None:
    shapes = network_shapes(ResNet(networks.resnet(blocks=blocks, block=block), (4,)))
    assert layout_shapes(f"torchvision_resnet{depth}") == shapes


@pytest.mark.parametrize("size", ["x1_0", "x1_5"])
def test_torchvision_shufflenet(size: str) -> None:
    shapes = network_shapes(ShuffleNetV2(SHUFFLENET_WIDTHS[size]))
    assert layout_shapes(f"torchvision_shufflenet_v2_{size}") == shapes


def test_faster_rcnn_shares_backbone_and_neck_with_the_cln() -> None:
    faster, cln = layout_shapes("mmdet_faster_rcnn_r50_fpn"), layout_shapes("unidetector_stage1")
    same = {name for name in cln if faster.get(name) == cln[name]}
    different = {name.rpartition(".")[0] for name in set(cln) - same}
    assert different == {
        "rpn_head.rpn_cls",
        "rpn_head.rpn_reg",
        "rpn_head.rpn_obj",
        "box_head.fc_cls",
        "box_head.fc_reg",
        "box_head.fc_bbox_score",
    }


@pytest.mark.parametrize(
    ("name", "count"),
    [
        # torchvision's model table
        ("torchvision_resnet18", 11_689_512),
        ("torchvision_resnet34", 21_797_672),
        ("torchvision_resnet50", 25_557_032),
        ("torchvision_resnet101", 44_549_160),
        ("torchvision_resnet152", 60_192_808),
        ("torchvision_shufflenet_v2_x1_0", 2_278_604),
        ("torchvision_shufflenet_v2_x1_5", 3_503_624),
        # counted from openai/CLIP clip/model.py, built with the published sizes
        ("openai_clip_rn50", 102_007_137),
        ("openai_clip_rn50x4", 178_300_601),
    ],
)
def test_published_parameter_counts(name: str, count: int) -> None:
    assert parameter_count(name) == count
