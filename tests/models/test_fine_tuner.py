"""Fine-tuning at a small size: what learns, what stays, and each loss."""

from __future__ import annotations

import jittor as jt
import networks
import numpy as np
import pytest
from batches import make_batch

from unidet.models.fine_tuner import FineTuner, Weights
from unidet.models.roi_classifier import RoiClassifier
from unidet.models.stored_images import StoredImages
from unidet.ops.blocked_maps import as_array
from unidet.ops.loss_term import loss_values
from unidet.ops.sampling import BatchRandom
from unidet.pipelines.wiring.classifier import build_classifier
from unidet.records import Batch
from unidet.weights.load import load_into, state_of

random = np.random.default_rng(5)
NEW, OLD = random.standard_normal((2, 6)), random.standard_normal((3, 6))
PROPOSALS = np.array([[5, 5, 30, 40, 0.9], [0, 40, 20, 64, 0.8], [40, 0, 64, 9, 0.1]], np.float32)


def build(start: RoiClassifier | None = None) -> RoiClassifier:
    backbone = networks.small_resnet(width=4, frozen_stages=1)
    settings = networks.small_classifier(backbone=backbone, heads=2)
    network = build_classifier(settings)
    network.set_vocabularies([NEW, OLD])
    if start is not None:
        load_into(network, state_of(start))
    return network


@pytest.fixture(scope="module")
def start() -> RoiClassifier:
    jt.set_global_seed(3)
    return build()


def stored(start: RoiClassifier) -> StoredImages:
    """Two old images of other sizes, with one box and with none."""
    maps = []
    for side in (64, 48):
        pixels = random.standard_normal((1, 3, side, side)).astype(np.float32)
        maps.append(as_array(start.features(jt.array(pixels)))[0].astype(np.float16))
    boxes = [np.array([[4, 4, 30, 40]], np.float32), np.zeros((0, 4), np.float32)]
    labels = [np.array([2], np.int32), np.zeros(0, np.int32)]
    return StoredImages(maps, boxes, labels, [PROPOSALS, PROPOSALS[:1]], np.array([1, 1], np.int32))


def batch() -> Batch:
    return make_batch(
        random.standard_normal((2, 3, 64, 64)),
        [[[4, 4, 30, 40], [20, 10, 60, 60]], []],
        [[1, 0], []],
        datasets=[0, 0],
        proposals=[PROPOSALS] * 2,
    )


def tuner(start: RoiClassifier, *, trains_head: bool = True, **weights: float) -> FineTuner:
    nothing = dict.fromkeys(("rehearsal", "negatives", "distillation", "pull"), 0.0)
    return FineTuner(
        build(start),
        start,
        stored(start),
        Weights(**(nothing | weights)),
        [NEW],
        trains_head=trains_head,
    )


def values(learner: FineTuner, images: Batch) -> dict[str, float]:
    rng = BatchRandom(0)
    terms = loss_values(learner.loss(learner.sample(images, rng), rng))
    return {name: float(value.item()) for name, value in terms.items()}


def learning(learner: FineTuner) -> set[str]:
    return {name for name, var in learner.named_parameters() if not var.is_stop_grad()}


def test_names_alone_learn_or_what_lies_behind_the_backbone_as_well(start: RoiClassifier) -> None:
    assert learning(tuner(start, trains_head=False)) == {"names_0"}
    names = learning(tuner(start))
    assert {"names_0", "network.classifier.logit_scale", "network.box_regressor.weight"} < names
    assert not any("backbone" in name for name in names)


def test_the_start_is_no_part_of_what_is_saved(start: RoiClassifier) -> None:
    assert not any("start" in name for name, _ in tuner(start).named_parameters())


def test_where_it_starts_nothing_pulls(start: RoiClassifier) -> None:
    found = values(tuner(start, distillation=1.0, pull=1.0), batch())
    assert found["loss_distillation"] == pytest.approx(0, abs=1e-4)
    assert found["loss_pull"] == 0


def test_the_pull_is_half_the_squared_distance_however_many_images(start: RoiClassifier) -> None:
    learner = tuner(start, trains_head=False, pull=2.0)
    learner.names_0.update(learner.names_0 + 0.5)
    assert values(learner, batch())["loss_pull"] == pytest.approx(2 * 0.5 * 12 * 0.25, rel=1e-5)


def test_distillation_of_a_classifier_whose_bias_moved(start: RoiClassifier) -> None:
    """Per region the divergence of Bernoulli probabilities, summed over names; images weigh 1."""
    learner, images = tuner(start, distillation=1.0), batch()
    learner.network.classifier.logit_bias.update(learner.network.classifier.logit_bias + 0.7)
    rng = BatchRandom(0)
    drawn = learner.sample(images, rng)
    embeddings, _ = start.heads(
        start.features(jt.array(images.images_NCHW)), drawn.new.samples.rois_R5
    )
    logits = start.classifier(embeddings, 1).numpy()[: len(drawn.new.samples.labels_R)]
    before, after = 1 / (1 + np.exp(-logits)), 1 / (1 + np.exp(-logits - 0.7))
    divergence = before * np.log(before / after) + (1 - before) * np.log((1 - before) / (1 - after))
    per_image = [
        divergence[drawn.new.samples.images_R == image].sum(axis=1).mean() for image in range(2)
    ]
    assert values(learner, images)["loss_distillation"] == pytest.approx(
        np.mean(per_image), rel=1e-3
    )


def test_old_regions_are_compared_with_old_names_and_are_none_of_the_new(
    start: RoiClassifier,
) -> None:
    found = values(tuner(start, rehearsal=1.0, negatives=1.0), batch())
    assert {"loss_old_class", "loss_old_box", "loss_negatives"} < set(found)
    twice = values(tuner(start, rehearsal=2.0, negatives=3.0), batch())
    assert twice["loss_negatives"] > found["loss_negatives"] > 0


def test_stored_maps_give_what_the_images_would(start: RoiClassifier) -> None:
    """The same image, once as pixels and once as its stored map, has the same loss."""
    pixels = random.standard_normal((1, 3, 64, 64)).astype(np.float32)
    maps = as_array(start.features(jt.array(pixels))).astype(np.float16)
    arguments = ([[[4, 4, 30, 40]]], [[2]])
    images = make_batch(pixels, *arguments, datasets=[1], proposals=[PROPOSALS])
    old = StoredImages([maps[0]], images.boxes, images.labels, [PROPOSALS], np.array([1], np.int32))
    drawn = start.sample(images, BatchRandom(1))
    again = start.sample(old.batch([0]), BatchRandom(1))
    np.testing.assert_array_equal(again.samples.rois_R5, drawn.samples.rois_R5)
    expected = loss_values(start.loss(drawn, BatchRandom(1)))
    heads = start.heads(jt.array(again.images_NCHW), again.samples.rois_R5)
    found = loss_values(start.losses(*heads, again.samples, again.classes))
    for name, value in expected.items():
        assert float(found[name].item()) == pytest.approx(float(value.item()), rel=5e-3), name


def test_maps_of_other_sizes_are_padded_at_the_right_and_bottom(start: RoiClassifier) -> None:
    old = stored(start)
    both = old.batch([0, 1])
    assert both.images_NCHW.shape[2:] == old.maps[0].shape[1:]
    small = old.maps[1].shape[1]
    np.testing.assert_array_equal(both.images_NCHW[1, :, :small, :small], old.maps[1])
    assert not both.images_NCHW[1, :, small:].any()
    assert both.dataset_ids.tolist() == [1, 1]


def test_parts_of_a_batch_add_up(start: RoiClassifier) -> None:
    learner, images = tuner(start, rehearsal=1.0, negatives=1.0, pull=1.0), batch()
    learner.names_0.update(learner.names_0 * 1.5)
    rng = BatchRandom(0)
    whole = learner.sample(images, rng)
    expected = loss_values(learner.loss(whole, rng))
    parts = [learner.loss(part, rng) for part in whole.parts(2)]
    for name, value in expected.items():
        count = sum(part[name].count for part in parts)
        total = sum(float(part[name].share(count).item()) for part in parts)
        assert total == pytest.approx(float(value.item()), rel=1e-4, abs=1e-5), name
