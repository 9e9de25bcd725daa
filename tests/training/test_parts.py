"""A batch worked on in parts gives the update of the whole batch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import jittor as jt
import numpy as np
import pytest
from small_networks import batch, classifier, cln, network_and_batch, preparation

from unidet.config.training import OptimizerConfig, ScheduleConfig, TrainingConfig
from unidet.errors import UserError
from unidet.models import roi_classifier
from unidet.ops.loss_term import Pieces
from unidet.ops.sampling import BatchRandom
from unidet.records import Batch
from unidet.training.loop import train

NETWORKS = ("cln", "classifier", "partitioned classifier", "end to end")


class Silent:
    def update(self, done: int, total: int, note: str = "") -> None: ...


def settings(kind: str, accumulate: int, steps: int = 3) -> TrainingConfig:
    return TrainingConfig(
        steps=steps,
        batch_size=4,
        optimizer=OptimizerConfig(kind=kind, lr=1e-2, momentum=0.9, clip_norm=5.0),
        schedule=ScheduleConfig(kind="constant"),
        accumulate=accumulate,
    )


def trained(
    name: str, folder: Path, config: TrainingConfig, *, in_pieces: bool = False
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Weights before and after."""
    network, given = network_and_batch(name)
    before = {key: var.numpy().copy() for key, var in network.state_dict().items()}

    def batches(start: int) -> Iterator[Batch]:
        while True:
            yield given

    folder.mkdir()
    after = train(
        network,
        network.loss_in_pieces if in_pieces else network.loss,
        batches,
        config,
        seed=5,
        folder=folder,
        progress=Silent(),
        prepare=preparation(network),
    )
    return before, after


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("parts", [2, 4])
def test_the_update_of_the_parts_is_that_of_the_batch(
    name: str, parts: int, tmp_path: Path
) -> None:
    start, whole = trained(name, tmp_path / "whole", settings("sgd", 1))
    _, divided = trained(name, tmp_path / "parts", settings("sgd", parts))
    moved = max(np.abs(whole[key] - start[key]).max() for key in whole)
    assert moved > 1e-2
    for key in whole:
        np.testing.assert_allclose(divided[key], whole[key], atol=1e-5 * moved, rtol=1e-5)
    _assert_logs_equal(tmp_path / "whole", tmp_path / "parts")


def _assert_logs_equal(*folders: Path) -> None:
    """Their first lines."""
    lines = [(folder / "log.csv").read_text().split()[1] for folder in folders]
    first, second = ([float(number) for number in line.split(",")] for line in lines)
    np.testing.assert_allclose(second, first, rtol=1e-4)


@pytest.mark.parametrize("name", ["classifier", "partitioned classifier"])
@pytest.mark.parametrize("parts", [1, 2])
def test_the_update_of_the_pieces_is_that_of_the_batch(
    name: str, parts: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = network_and_batch(name)[0]
    numbers = network.backbone.channels[-1] * network.settings.pool_size**2
    monkeypatch.setattr(roi_classifier, "_NUMBERS_A_PASS", 5 * numbers)
    samples = network.sample(network_and_batch(name)[1], BatchRandom(5))
    pieces = network.loss_in_pieces(samples, BatchRandom(5))
    assert isinstance(pieces, Pieces)
    assert len(pieces.losses) > 2
    start, whole = trained(name, tmp_path / "whole", settings("sgd", 1))
    _, divided = trained(name, tmp_path / "pieces", settings("sgd", parts), in_pieces=True)
    moved = max(np.abs(whole[key] - start[key]).max() for key in whole)
    assert moved > 1e-2
    for key in whole:
        np.testing.assert_allclose(divided[key], whole[key], atol=1e-5 * moved, rtol=1e-5)
    _assert_logs_equal(tmp_path / "whole", tmp_path / "pieces")


def test_adam_counts_updates_not_parts(tmp_path: Path) -> None:
    """Its bias correction depends on the count; Jittor would count every backward pass."""
    _, whole = trained("classifier", tmp_path / "whole", settings("adamw", 1, steps=1))
    _, divided = trained("classifier", tmp_path / "parts", settings("adamw", 2, steps=1))
    name = "box_regressor.bias"
    np.testing.assert_allclose(divided[name], whole[name], rtol=1e-4)


def test_a_counting_pass_leaves_batch_norm_alone() -> None:
    from unidet.training.step import _unchanged_statistics

    network = cln(batch_norm_training=True)
    before = network.backbone.state_dict()["layer1.0.bn1.running_mean"].numpy().copy()
    with _unchanged_statistics(network), jt.no_grad():
        jt.sync([network.loss(batch(), BatchRandom(1))["loss_cls"].sum])
        moved = network.backbone.state_dict()["layer1.0.bn1.running_mean"].numpy()
        assert not np.array_equal(moved, before)
    after = network.backbone.state_dict()["layer1.0.bn1.running_mean"].numpy()
    np.testing.assert_array_equal(after, before)


def test_a_batch_that_does_not_divide_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="4 does not divide into 3 equal parts"):
        trained("cln", tmp_path / "odd", settings("sgd", 3))


def test_parts_of_a_batch_keep_its_padding_and_order() -> None:
    whole = batch()
    first, second = whole.parts(2)
    assert first.images_NCHW.shape == second.images_NCHW.shape == (2, 3, 64, 64)
    assert [len(boxes) for boxes in first.boxes + second.boxes] == [3, 1, 0, 2]
    assert second.image_rows.tolist() == [2, 3]
    assert second.proposals is not None
    with pytest.raises(ValueError, match="3 equal parts"):
        whole.parts(3)


def test_parts_of_sampled_regions_keep_their_images() -> None:
    """The first two images' regions, then the others', whose images count from 0 again."""
    network = classifier(datasets=2)
    whole = network.sample(batch(datasets=2), BatchRandom(1))
    first, second = whole.parts(2)
    images = [part.samples.images_R for part in (whole, first, second)]
    assert set(images[1]) == {0, 1} == set(images[2])
    np.testing.assert_array_equal(np.concatenate([images[1], images[2] + 2]), images[0])
    for column in ("labels_R", "targets_R4", "datasets_N"):
        halves = [getattr(part.samples, column) for part in (first, second)]
        np.testing.assert_array_equal(np.concatenate(halves), getattr(whole.samples, column))
    assert [*first.classes, *second.classes] == whole.classes
    np.testing.assert_array_equal(second.images_NCHW, whole.images_NCHW[2:])


def test_an_image_draws_the_same_in_any_part() -> None:
    whole, second = BatchRandom(1, 2), BatchRandom(1, 2, first=2)
    numbers = [whole.image(row).permutation(50).tolist() for row in range(4)]
    assert [second.image(row).permutation(50).tolist() for row in range(2)] == numbers[2:]
    assert len({tuple(row) for row in numbers}) == 4
    assert whole.image(0).permutation(50).tolist() != numbers[0]
    assert whole.shared.permutation(50).tolist() == second.shared.permutation(50).tolist()
