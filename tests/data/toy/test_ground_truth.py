from __future__ import annotations

import numpy as np
import pytest

from unidet.data.toy.ground_truth import frequency, verify_all, verify_federated

# Three objects of name 3, one of name 5, one that has no name.
LABELS = np.array([3, 5, 3, -1, 3])


def test_every_name_is_evaluated() -> None:
    verified = verify_all(LABELS, 7)
    assert verified.labels.tolist() == LABELS.tolist()
    assert verified.absent == (0, 1, 2, 4, 6)
    assert verified.partial == ()
    assert verify_all(LABELS[:0], 2).absent == (0, 1)


def test_a_name_boxed_in_part_loses_its_last_box_but_never_its_only_one() -> None:
    by_partial = {
        (): [3, 5, 3, -1, 3],
        (3,): [3, 5, 3, -1, -1],
        (5,): [3, 5, 3, -1, 3],
        (3, 5): [3, 5, 3, -1, -1],
    }
    seen = set()
    for seed in range(600):
        verified = verify_federated(LABELS, 72, np.random.default_rng(seed))
        assert verified.labels.tolist() == by_partial[verified.partial]
        assert len(set(verified.absent)) == 12
        assert not {3, 5} & set(verified.absent)
        seen.add(verified.partial)
    assert seen >= {(), (3,), (5,)}
    assert LABELS.tolist() == [3, 5, 3, -1, 3]


def test_fewer_absent_names_than_are_asked_for() -> None:
    assert verify_federated(LABELS, 7, np.random.default_rng(0)).absent == (0, 1, 2, 4, 6)


@pytest.mark.parametrize(
    ("images", "letter"), [(0, "r"), (14, "r"), (15, "c"), (50, "c"), (51, "f")]
)
def test_frequency(images: int, letter: str) -> None:
    assert frequency(images) == letter
