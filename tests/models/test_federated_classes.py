"""Classes drawn for the federated loss, by hand."""

from __future__ import annotations

import numpy as np

from unidet.models.federated_classes import federated_classes

NO_LABELS = np.zeros(0, np.int64)


def test_federated_classes_are_the_present_ones_filled_up() -> None:
    rng = np.random.default_rng(0)
    labels = np.array([3, 7, 3, 20])  # 20: background, one of the ten, and left out
    for _ in range(20):
        classes = federated_classes(labels, 10, 20, None, rng)
        assert len(classes) == 9
        assert {3, 7} <= set(classes.tolist()) <= set(range(20))
        assert (np.diff(classes) > 0).all()


def test_federated_classes_may_draw_the_background() -> None:
    rng = np.random.default_rng(0)
    counts = {len(federated_classes(np.array([0]), 2, 2, None, rng)) for _ in range(50)}
    assert counts == {1, 2}


def test_federated_classes_draw_only_allowed_ones_and_keep_those_present() -> None:
    allowed = np.array([True, False, True, False, False])
    rng = np.random.default_rng(0)
    assert federated_classes(np.array([1, 5]), 50, 5, allowed, rng).tolist() == [0, 1, 2]
    assert federated_classes(np.array([0, 1, 2]), 2, 5, allowed, rng).tolist() == [0, 1, 2]
    assert federated_classes(NO_LABELS, 0, 5, allowed, rng).tolist() == []
