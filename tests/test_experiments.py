"""The full-size experiments against the values of the official configurations.

Values were read off zhenyuw16/UniDetector, configs/multidataset/…_{objcoco,oidobjcoco}_{1st,2nd}
stage.py and configs/inference/…_lvis_v0.5_2ndstage_withcalibration.py; for the end-to-end studies
configs/{singledataset,multidataset,inference}/clip_end2end_…; what stock mmdet 2.18 and mmcv add by
default is marked so.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from unidet.cli import compose
from unidet.config.study import Config

# (what the official configuration calls it, our key, official value)
FIRST_STAGE = [
    ("backbone.depth 50", "rpn.network.backbone.blocks", (3, 4, 6, 3)),
    ("backbone.depth 50", "rpn.network.backbone.block", "bottleneck"),
    ("backbone.style pytorch", "rpn.network.backbone.style", "torchvision"),
    ("backbone.out_indices (0, 1, 2, 3)", "rpn.network.outputs", (1, 2, 3, 4)),
    ("backbone.frozen_stages", "rpn.network.backbone.frozen_stages", 1),
    ("backbone.norm_eval True", "rpn.network.batch_norm_training", False),
    ("neck.out_channels", "rpn.network.channels", 256),
    ("neck.num_outs", "rpn.network.levels", 5),
    ("anchor_generator.scales [8]", "rpn.network.anchor_scale", 8.0),
    ("rpn loss_bbox IoULoss linear", "rpn.network.box_loss", "iou"),
    ("rpn loss_bbox.loss_weight", "rpn.network.box_loss_weight", 10.0),
    ("objectness_type Centerness", "rpn.network.objectness", "centerness"),
    ("rpn.assigner pos, neg_iou_thr", "rpn.network.box_iou", (0.7, 0.3)),
    ("rpn.objectness_assigner pos, neg_iou_thr", "rpn.network.objectness_iou", (0.3, 0.1)),
    ("rpn.assigner.min_pos_iou, both", "rpn.network.minimum_iou", 0.3),
    ("rpn.sampler.num, both", "rpn.network.rpn_samples", 256),
    ("rpn_proposal.nms_pre, rpn.nms_pre", "rpn.network.proposals_per_level", 2000),
    ("rpn.nms_thr 0.0: none", "rpn.network.proposal_nms", 0.0),
    ("all proposals reach the RoI head", "rpn.network.max_rois", 0),
    ("roi_layer.output_size", "rpn.network.pool_size", 7),
    ("featmap_strides [4, 8, 16, 32]", "rpn.network.region_levels", 4),
    ("SingleRoIExtractor finest_scale (mmdet)", "rpn.network.finest_scale", 56.0),
    ("bbox_head.fc_out_channels", "rpn.network.hidden", 1024),
    ("rcnn.assigner.pos_iou_thr", "rpn.network.roi_iou", 0.5),
    ("rcnn.sampler.num", "rpn.network.roi_samples", 512),
    ("rcnn.sampler.pos_fraction", "rpn.network.positive_fraction", 0.25),
    ("bbox_head.alpha", "rpn.network.alpha", 0.3),
    ("test rcnn.score_thr", "rpn.network.score_threshold", 0.0),
    ("test rcnn.nms.iou_threshold", "rpn.network.final_nms", 0.9),
    ("test rcnn.max_per_img", "rpn.network.max_proposals", 1500),
    ("optimizer.lr", "rpn.training.optimizer.lr", 0.02),
    ("optimizer_config.grad_clip None", "rpn.training.optimizer.clip_norm", 0.0),
    ("no paramwise_cfg", "rpn.training.optimizer.groups", {}),
    ("img_norm_cfg.mean", "rpn.images.mean", (123.675, 116.28, 103.53)),
    ("img_norm_cfg.std", "rpn.images.std", (58.395, 57.12, 57.375)),
    ("class_agnostic=True", "rpn.classes", "agnostic"),
]
# The same with a plain RPN (LZ6years/UniDetector, …_objcoco_1ststage_rpn.py): what differs.
PLAIN_RPN = [
    ("anchor_generator.scales", "rpn.network.anchor_scales", (8.0,)),
    ("anchor_generator.ratios", "rpn.network.anchor_ratios", (0.5, 1.0, 2.0)),
    ("rpn.assigner pos, neg_iou_thr", "rpn.network.anchor_iou", (0.7, 0.3)),
    ("rpn.nms.iou_threshold, both", "rpn.network.proposal_nms", 0.7),
    ("rpn_proposal.max_per_img, rpn.max_per_img", "rpn.network.max_rois", 2000),
    ("test rcnn.score_thr", "rpn.network.score_threshold", 0.05),
    ("test rcnn.nms.iou_threshold", "rpn.network.final_nms", 0.5),
    ("test rcnn.max_per_img", "rpn.network.max_proposals", 1000),
]
OLN_ONLY = (
    "anchor_scale",
    "objectness",
    "box_loss",
    "box_loss_weight",
    "box_iou",
    "objectness_iou",
)
SECOND_STAGE = [
    ("backbone CLIPResNet", "roi.network.backbone.style", "clip"),
    ("backbone.layers", "roi.network.backbone.blocks", (3, 4, 6, 3)),
    ("frozen_stages (hard-coded)", "roi.network.backbone.frozen_stages", 1),
    ("roi_layer.output_size", "roi.network.pool_size", 14),
    ("AttentionPool2d(7, 64 * 32, 32, 1024)", "roi.network.pool", "attention"),
    ("AttentionPool2d(7, 64 * 32, 32, 1024)", "roi.network.heads", 32),
    ("AttentionPool2d(7, 64 * 32, 32, 1024)", "roi.network.embedding", 1024),
    ("100 * normalize(x)", "roi.network.scale", 100.0),
    ("no bias", "roi.network.bias", 0.0),
    ("no learned temperature", "roi.network.learn_scale", False),
    ("fed_loss_num_cat (default)", "roi.network.federated_classes", 50),
    ("rcnn.sampler.num", "roi.network.roi_samples", 512),
    ("rcnn.sampler.pos_fraction", "roi.network.positive_fraction", 0.25),
    ("LoadProposals num_max_proposals", "roi.proposals_per_image", 2000),
    ("optimizer.lr", "roi.training.optimizer.lr", 0.02),
    ("grad_clip.max_norm", "roi.training.optimizer.clip_norm", 35.0),
    ("img_norm_cfg.mean", "roi.images.mean", (122.7709383, 116.7460125, 104.09373615)),
    ("img_norm_cfg.std", "roi.images.std", (68.5005327, 66.6321579, 70.32316305)),
]
BOTH_STAGES = [
    ("optimizer.type SGD", "training.optimizer.kind", "sgd"),
    ("optimizer.momentum", "training.optimizer.momentum", 0.9),
    ("optimizer.weight_decay", "training.optimizer.weight_decay", 0.0001),
    ("weight decay on everything", "training.optimizer.no_decay", ()),
    ("lr_config.policy step", "training.schedule.kind", "multistep"),
    ("lr_config.step", "training.schedule.milestones", (8, 11)),
    ("lr_config.gamma (mmcv)", "training.schedule.gamma", 0.1),
    ("lr_config.warmup_iters", "training.schedule.warmup_steps", 500),
    ("lr_config.warmup_ratio", "training.schedule.warmup_ratio", 0.001),
    ("total_epochs, max_epochs", "training.epochs", 12),
    ("no average of weights", "training.ema_decay", 0.0),
    ("8 GPUs, samples_per_gpu 2", "training.batch_size", 16),
    ("Resize img_scale range", "images.short_side", (400, 800)),
    ("Resize img_scale", "images.long_side", 1333),
    ("test img_scale (1333, 800)", "images.test_short_side", 800),
    ("test img_scale (1333, 800)", "images.test_long_side", 1333),
    ("flip_ratio", "images.horizontal_flip", 0.5),
    ("no vertical flip", "images.vertical_flip", 0.0),
    ("to_rgb=True", "images.channels", "rgb"),
    ("Pad size_divisor", "images.divisor", 32),
]
INFERENCE = [
    ("stage 1 test rcnn.max_per_img", "proposals.keep", 1500),
    ("LoadProposals num_max_proposals", "lvis_raw.proposals", 100),
    ("logits in float32", "lvis_raw.precision", "float32"),
    ("bbox_head.beta", "calibration.beta", 0.3),
    ("bbox_head.gamma", "calibration.gamma", 0.6),
    ("zero counts as they are", "calibration.compat", "official"),
    ("rcnn.nms.type soft_nms", "detection.suppression", "soft"),
    ("rcnn.nms.iou_threshold", "detection.nms", 0.5),
    ("rcnn.score_thr", "detection.score_threshold", 0.0001),
    ("rcnn.max_per_img", "detection.max_per_image", 300),
]
# End to end: what the second stage has not, or has otherwise.
END_TO_END = [
    ("rpn_head.in_channels, feat_channels", "end2end.rpn_head.channels", 1024),
    ("anchor_generator.scales", "end2end.rpn_head.anchor_scales", (2.0, 4.0, 8.0, 16.0, 32.0)),
    ("anchor_generator.ratios", "end2end.rpn_head.anchor_ratios", (0.5, 1.0, 2.0)),
    ("rpn.assigner pos, neg_iou_thr", "end2end.rpn_head.anchor_iou", (0.7, 0.3)),
    ("rpn.assigner.min_pos_iou", "end2end.rpn_head.minimum_iou", 0.3),
    ("rpn.sampler.num", "end2end.rpn_head.rpn_samples", 256),
    ("rpn.nms.iou_threshold, both", "end2end.rpn_head.proposal_nms", 0.7),
    ("train rpn_proposal.nms_pre", "end2end.rpn_head.proposals_per_level", 12000),
    ("train rpn_proposal.max_per_img", "end2end.rpn_head.max_rois", 2000),
    ("test rpn.nms_pre", "end2end.rpn_head.test_proposals_per_level", 6000),
    ("test rpn.max_per_img", "end2end.rpn_head.test_max_rois", 1000),
    ("lr_mult of backbone and roi_head", "end2end.training.optimizer.groups", {"regions.": 0.1}),
    ("test rpn.max_per_img", "proposals.keep", 1000),
    ("all proposals reach the RoI head", "lvis_raw.proposals", 1000),
    ("BBoxHeadCLIP: no proposal score", "calibration.beta", 1.0),
    ("BBoxHeadCLIP: no calibration", "calibration.gamma", 0.0),
]
TABLE = FIRST_STAGE + SECOND_STAGE + INFERENCE
TABLE += [(what, f"{stage}.{key}", x) for stage in ("rpn", "roi") for what, key, x in BOTH_STAGES]
COCO = ("coco/annotations/instances_valminusminival2014.json", "coco/images/val2014")
OBJECTS365 = ("objects365/annotations/zhiyuan_objv2_train.1@3.5.json", "objects365/train")
OPENIMAGES = ("openimages/oid_challenge_2019_train_bbox.1@4.5.json", "openimages")
LVIS = ("lvis_v0.5/annotations/lvis_v0.5_val.json", "lvis_v0.5/val2017")
EMBEDDINGS = "../clip_embeddings/{}_clip_a+cname_rn50_manyprompt.npy"


Setting = Callable[[Any, str], Any]


@pytest.fixture(scope="module", params=["coco_o365", "coco_o365_oid", "coco_only"])
def config(request: pytest.FixtureRequest) -> Config:
    return compose([f"experiment={request.param}"])


@pytest.fixture(
    scope="module", params=["coco_end2end", "coco_o365_end2end", "coco_o365_oid_end2end"]
)
def end_to_end(request: pytest.FixtureRequest) -> Config:
    return compose([f"experiment={request.param}"])


def assert_official(config: Config, setting: Setting, values: dict[str, Any]) -> None:
    wrong = {k: (setting(config, k), v) for k, v in values.items() if setting(config, k) != v}
    assert wrong == {}


def test_every_value_is_the_official_one(config: Config, setting: Setting) -> None:
    assert_official(config, setting, {key: value for _, key, value in TABLE})


def test_every_value_end_to_end_is_the_official_one(end_to_end: Config, setting: Setting) -> None:
    own = ("roi.network.", "roi.training.", "roi.images.")
    official = {
        key.replace("roi.", "end2end.", 1): value for _, key, value in TABLE if key.startswith(own)
    }
    official |= {key: value for _, key, value in INFERENCE}
    assert_official(end_to_end, setting, official | {key: value for _, key, value in END_TO_END})
    assert end_to_end.end2end.weights == "../regionclip_pretrained-cc_rn50_mmdet.pth"


def test_the_page_on_migration_lists_every_value() -> None:
    page = (Path(__file__).resolve().parents[1] / "docs/migration.md").read_text()
    tables = (FIRST_STAGE, PLAIN_RPN, SECOND_STAGE, BOTH_STAGES, INFERENCE, END_TO_END)
    rows = [f"| {what} | `{key}` | `{value}` |" for table in tables for what, key, value in table]
    assert [row for row in rows if row not in page] == []
    assert len(rows) == len([line for line in page.splitlines() if line.count("|") == 4]) - 12


def test_the_first_stage_with_a_plain_rpn(setting: Setting) -> None:
    config = compose(["experiment=coco_o365", "rpn=rpn_r50_fpn"])
    official = {key: value for _, key, value in TABLE}
    for name in OLN_ONLY:
        del official[f"rpn.network.{name}"]
    assert_official(config, setting, official | {key: value for _, key, value in PLAIN_RPN})
    assert config.rpn.weights.startswith("../checkpoints/resnet50-")


def test_every_parameter_of_stage_2_learns_at_the_official_rate(config: Config) -> None:
    """paramwise_cfg: lr_mult 0.1 on `backbone` and on `roi_head`, which is the rest.

    For COCO alone it is lr 0.002 without any, which is the same.
    """
    optimizer = config.roi.training.optimizer
    groups = optimizer.groups
    assert groups == dict.fromkeys(("backbone", "shared_layer", "pool", "box_regressor"), 0.1)
    assert optimizer.lr * 0.1 == 0.002


@pytest.mark.parametrize("end", ["", "_end2end"])
@pytest.mark.parametrize("sets", ["coco", "coco_o365", "coco_o365_oid"])
def test_the_datasets_in_the_order_of_their_ids(sets: str, end: str) -> None:
    decoupled = "coco_only" if sets == "coco" else sets
    config = compose([f"experiment={sets}{end}" if end else f"experiment={decoupled}"])
    found = [(one.annotations, one.images) for one in config.data.training.values()]
    assert found == [COCO, OBJECTS365, OPENIMAGES][: 1 + sets.count("_")]
    main = next(iter(config.data.evaluation.values()))
    assert (main.annotations, main.images, main.style) == (*LVIS, "lvis")


@pytest.mark.parametrize("experiment", ["coco_only", "coco_end2end"])
def test_coco_alone_is_asked_for_every_label_space(experiment: str) -> None:
    data = compose([f"experiment={experiment}"]).data
    found = {name: (one.vocabulary, one.style) for name, one in data.evaluation.items()}
    assert found == {
        "lvis_v0_5": ("lvis_v0_5", "lvis"),
        "coco_val": ("coco", "coco"),
        "lvis_v1": ("lvis_v1", "lvis"),
        "objects365_val": ("objects365", "coco"),
    }


def test_every_vocabulary_has_the_official_embeddings(config: Config) -> None:
    names = {"coco": "coco", "objects365": "objects365", "lvis_v0_5": "lvis_v0.5"}
    names["lvis_v1"] = "lvis_v1.0"
    if "oid" in config.experiment:
        names["openimages"] = "oid"
    files = {name: EMBEDDINGS.format(official) for name, official in names.items()}
    assert config.clip_embeddings.files == files
    sets = [*config.data.training.values(), *config.data.evaluation.values()]
    assert {one.vocabulary for one in sets} | {"lvis_v1"} == set(files)


def test_what_the_networks_start_from(config: Config) -> None:
    assert config.rpn.weights.startswith("../checkpoints/resnet50-")
    assert config.roi.weights == "../regionclip_pretrained-cc_rn50_mmdet.pth"
