"""What the detector promises beyond the recordings; random weights."""

from __future__ import annotations

from dataclasses import replace

import jittor as jt
import networks
import numpy as np
import pytest
from batches import make_batch

from unidet.errors import UserError
from unidet.models.layers import set_batch_norm_training
from unidet.models.nanodet_plus.detector import NanoDetPlus
from unidet.ops.blocked_maps import LANES, can_block
from unidet.ops.loss_term import Losses, loss_values
from unidet.records import Batch


@pytest.fixture(scope="module")
def net() -> NanoDetPlus:
    jt.set_global_seed(0)
    settings = networks.small_nanodet_plus(max_proposals=7)
    return NanoDetPlus(settings, classes=1, auxiliary=True)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(2, 3, 128, 192)).astype(np.float32)


def batch(images: np.ndarray, boxes: list[np.ndarray]) -> Batch:
    return make_batch(images, boxes, sizes=[[128, 192], [100, 150]])


BOXES = [np.array([[10, 20, 90, 100]], np.float32), np.zeros((0, 4), np.float32)]
LABELS = [np.zeros(1, np.int64), np.zeros(0, np.int64)]
LINES = [np.array([[10, 20, 90, 100], [0, 30, 0, 60], [5, 40, 50, 40]], np.float32), BOXES[1]]


def values(losses: Losses) -> dict[str, float]:
    return {name: value.item() for name, value in loss_values(losses).items()}


def test_the_auxiliary_neck_starts_as_a_copy(net: NanoDetPlus) -> None:
    for ours, others in zip(net.fpn.parameters(), net.aux_fpn.parameters(), strict=True):
        np.testing.assert_array_equal(ours.numpy(), others.numpy())


def test_six_losses(net: NanoDetPlus, images: np.ndarray) -> None:
    losses = values(net.loss(batch(images, BOXES), np.random.default_rng(0)))
    assert list(losses) == [
        f"loss_{part}{name}" for part in ("", "aux_") for name in ("qfl", "bbox", "dfl")
    ]
    assert all(value > 0 for value in losses.values())


def test_degenerate_boxes_are_targets_only_officially(net: NanoDetPlus, images: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    plain = values(net.loss(batch(images, BOXES), rng))
    assert values(net.loss(batch(images, LINES), rng)) == pytest.approx(plain, rel=1e-5)
    net.settings = replace(net.settings, compat="official")
    official = values(net.loss(batch(images, LINES), rng))
    net.settings = replace(net.settings, compat="default")
    assert abs(official["loss_bbox"] - plain["loss_bbox"]) > 1e-3


def test_proposals_lie_in_the_image_best_first(net: NanoDetPlus, images: np.ndarray) -> None:
    sizes = np.array([[128, 192], [100, 150]], np.int32)
    proposals = net.propose(jt.array(images), sizes)
    for rows, (height, width) in zip(proposals, sizes, strict=True):
        assert rows.shape == (7, 5)
        assert rows[:, :4].min() >= 0
        assert (rows[:, :4] <= [width, height, width, height]).all()
        assert (np.diff(rows[:, 4]) <= 0).all()


@pytest.mark.parametrize("threshold", [0.0, 0.00995, 0.01, 0.0101, 0.9, 1.0])
def test_cells_below_the_threshold_change_nothing(
    threshold: float, net: NanoDetPlus, images: np.ndarray
) -> None:
    sizes = np.array([[128, 192], [100, 150]], np.int32)
    settings = {"iou_threshold": 1.0, "max_detections": None}
    everything = net.detect(jt.array(images), sizes, score_threshold=-1.0, **settings)
    detections = net.detect(jt.array(images), sizes, score_threshold=threshold, **settings)
    for all_cells, detected in zip(everything, detections, strict=True):
        kept = all_cells.scores > threshold
        np.testing.assert_array_equal(detected.boxes, all_cells.boxes[kept])
        np.testing.assert_array_equal(detected.scores, all_cells.scores[kept])


def test_outputs_that_are_no_numbers_are_refused(net: NanoDetPlus, images: np.ndarray) -> None:
    """As with images.std of 0: no comparison holds, so that no box would be found in silence."""
    odd, sizes = jt.array(np.full_like(images[:1], np.nan)), np.array([[128, 192]], np.int32)
    for look in (net.detect, net.propose):
        with pytest.raises(UserError, match="the network's outputs are NaN or infinite"):
            look(odd, sizes)


def test_a_single_cell_is_detected_once(net: NanoDetPlus, images: np.ndarray) -> None:
    values(net.loss(batch(images, BOXES), np.random.default_rng(0)))  # running statistics
    image, sizes = jt.array(images[:1]), np.array([[128, 192]], np.int32)
    settings = {"iou_threshold": 1.0, "max_detections": None}
    (every,) = net.detect(image, sizes, score_threshold=0.0, **settings)
    *_, second, best = np.unique(every.scores)
    (detected,) = net.detect(image, sizes, score_threshold=float(second), **settings)
    assert len(detected.scores) == (every.scores == best).sum()


def test_detached_the_auxiliary_loss_leaves_the_others_alone(
    net: NanoDetPlus, images: np.ndarray
) -> None:
    shared = [net.backbone.stem.conv.weight, net.fpn.reduce[0].conv.weight]
    own = [net.aux_fpn.reduce[0].conv.weight, net.aux_head.predict_classes.bias]
    for detached in (False, True):
        losses = loss_values(net.losses(jt.array(images), BOXES, LABELS, detached=detached))
        total = losses["loss_aux_qfl"] + losses["loss_aux_bbox"] + losses["loss_aux_dfl"]
        sizes = [np.abs(g.numpy()).max() for g in jt.grad(total, [*shared, *own])]
        assert [size == 0 for size in sizes[:2]] == [detached, detached]
        assert all(size > 0 for size in sizes[2:])


@pytest.mark.parametrize(("epoch", "detached"), [(0, False), (9, False), (10, True), (11, True)])
def test_detached_from_its_epoch_on(
    epoch: int, detached: bool, net: NanoDetPlus, images: np.ndarray
) -> None:
    net.settings = replace(net.settings, detach_epoch=10)
    late_batch = replace(batch(images, BOXES), epoch=epoch)
    losses = loss_values(net.loss(late_batch, np.random.default_rng(0)))
    net.settings = replace(net.settings, detach_epoch=None)
    gradient = jt.grad(losses["loss_aux_bbox"], net.backbone.stem.conv.weight).numpy()
    assert (np.abs(gradient).max() == 0) == detached


def test_without_auxiliary_parts_nothing_is_learned(images: np.ndarray) -> None:
    small = NanoDetPlus(networks.small_nanodet_plus(), classes=1, auxiliary=False)
    with pytest.raises(ValueError, match="built without its auxiliary head"):
        small.losses(jt.array(images), BOXES, [np.zeros(0)] * 2)


@pytest.mark.skipif(not can_block(LANES), reason="needs AVX-512 and oneDNN")
def test_inference_is_recorded_again_when_anything_has_changed(
    net: NanoDetPlus, images: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded, on_maps = [], net.logits
    monkeypatch.setattr(net, "logits", lambda maps: recorded.append(maps) or on_maps(maps))

    def check(batch: np.ndarray) -> np.ndarray:
        logits = net.predict(jt.array(batch)).logits_NPL.numpy()
        np.testing.assert_array_equal(logits, on_maps(jt.array(batch)).numpy())
        return logits

    set_batch_norm_training(net, False)
    with jt.no_grad():
        before = check(images)
        assert (check(images) == before).all()
        assert len(recorded) == 1
        for _ in range(2):  # of several shapes each is kept, unless the memory has to grow
            assert (check(images[:1, :, :64]) == check(images[:1, :, :64])).all()
            assert (check(images) == before).all()
        assert len(recorded) == 2
        assert len(check(np.concatenate([images, images]))) == 4
        assert len(recorded) == 3
        assert (check(images) == before).all()
        assert len(recorded) == 4
        stem, last = net.backbone.stem, net.head.predict[-1]
        changed = (stem.conv.weight, stem.norm.bias, stem.norm.running_mean, last.bias)
        for count, variable in enumerate(changed, start=5):
            variable.update(variable + 0.1)
            after = check(images)
            assert (after != before).any()
            assert len(recorded) == count
            before = after
