"""A closed-set network's outputs as the names that are asked for; no tensors."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from unidet.config.compose import compose
from unidet.errors import UserError
from unidet.pipelines.detector.closed_set import ClosedSet
from unidet.pipelines.detector.model import Model
from unidet.pipelines.detector.options import Options
from unidet.records import Detected
from unidet.vocabularies.vocabulary import Entry, Vocabulary

EVERYTHING = Options(threshold=0, multi_label=True)


@pytest.fixture(autouse=True)
def _no_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stands in for what makes tensors of a batch."""
    fake = SimpleNamespace(as_images=lambda batch: batch.images_NCHW)
    monkeypatch.setitem(__import__("sys").modules, "unidet.training.inference", fake)


class ThreeOutputs:
    """Finds a box of each of its three outputs, the last the best, in the network's pixels."""

    def detect(self, images: Any, sizes_N2: np.ndarray) -> list[Detected]:
        boxes = np.array([[0, 0, 416, 416], [0, 0, 208, 416], [0, 0, 208, 208]], np.float32)
        scores, labels = np.array([0.9, 0.5, 0.4], np.float32), np.array([2, 1, 0])
        return [Detected(boxes, scores, labels) for _ in sizes_N2]

    def propose(self, images: Any, sizes_N2: np.ndarray) -> list[np.ndarray]:
        return [np.array([[0, 0, 208, 416, 1], [0, 0, 416, 416, 0.5]], np.float32)]


def model(outputs: Sequence[str | None] | int, *, are_supposed: bool = False) -> Model:
    images = compose(["rpn=nanodet_plus_m_416"]).rpn.images
    network: Any = ThreeOutputs()
    return Model(ClosedSet(network, images, outputs, 1, are_supposed=are_supposed))


PIXELS = np.zeros((100, 200, 3), np.uint8)


def test_boxes_are_in_pixels_of_the_picture() -> None:
    (detections,) = model(["a", "b", "c"]).stream([PIXELS], None, EVERYTHING)
    assert detections.names == ("a", "b", "c")
    assert detections.labels.tolist() == [2, 1, 0]
    assert detections.size_hw == (100, 200)
    np.testing.assert_allclose(
        detections.boxes_xyxy, [[0, 0, 200, 100], [0, 0, 100, 100], [0, 0, 100, 50]], rtol=1e-6
    )
    np.testing.assert_allclose(
        model(3).proposals(PIXELS), [[0, 0, 100, 100, 1]], rtol=1e-6
    )  # at most one


def test_an_output_that_stands_for_nothing_is_left_out() -> None:
    sparse = model(["a", None, "c"])
    assert sparse.names == ("a", "c")
    (detections,) = sparse.stream([PIXELS], None, EVERYTHING)
    assert detections.labels.tolist() == [1, 0]
    assert detections.scores.tolist() == pytest.approx([0.9, 0.4])


def test_names_choose_among_the_outputs() -> None:
    (detections,) = model(["a", None, "big_cat"]).stream([PIXELS], ["Big cat"], EVERYTHING)
    assert detections.names == ("Big cat",)
    assert detections.labels.tolist() == [0]
    with pytest.raises(UserError, match=r"'dog' is none of the 2 names.*open-vocabulary model$"):
        model(["a", None, "b"]).stream([PIXELS], ["dog"])


def test_names_that_differ_in_case_alone_are_outputs_of_their_own() -> None:
    for name, label in (("Cat", 0), ("cat", 1), ("CAT", 1)):
        (detections,) = model(["Cat", "cat", "a"]).stream([PIXELS], [name], EVERYTHING)
        assert detections.scores.tolist() == pytest.approx([(0.4, 0.5)[label]])


def test_two_names_of_one_output_are_refused() -> None:
    words = Vocabulary((Entry("auto", ("car",)), Entry("vehicle", ("car",))))
    with pytest.raises(UserError, match=r"'vehicle' and 'auto' are one name to this model, 'Car'"):
        model(["Car", "b", "c"]).stream([PIXELS], words)


def test_outputs_without_names_take_as_many() -> None:
    unnamed = model(3)
    assert unnamed.names is None
    assert unnamed.detect(PIXELS, "x, y, z").names == ("x", "y", "z")
    assert "give all 3, in the order of its outputs" in unnamed.asks
    for names in (None, ["x"]):
        with pytest.raises(UserError, match="3 classes whose names are not known"):
            unnamed.detect(PIXELS, names)


def test_names_that_are_only_supposed_are_told_once_and_give_way_to_as_many(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Weights of 80 outputs without names may be of 80 classes of somebody's own."""
    supposed = model(["cat", None, "dog"], are_supposed=True)
    for names in ("x, y, z", "cat, y, z"):
        (found,) = supposed.stream([PIXELS], Vocabulary.parse(names), EVERYTHING)
        assert [found.names[label] for label in found.labels] == ["z", "y", names.split(",")[0]]
    assert supposed.detect(PIXELS, "dog").names == ("dog",)
    assert capsys.readouterr().err == ""
    for _ in range(2):
        assert supposed.detect(PIXELS).names == ("cat", "dog")
    assert capsys.readouterr().err == (
        "the weights name none of their 2 classes, which are taken for 'cat', 'dog', …; if they "
        "are others, give all their names (--vocab) in the order of the outputs\n"
    )
    with pytest.raises(UserError, match=r"model, or all 3 in the order of its outputs$"):
        supposed.detect(PIXELS, "x, y")
    with pytest.raises(UserError, match=r"open-vocabulary model$"):
        model(["cat", None, "dog"]).detect(PIXELS, "x, y, z")


def test_what_fixed_classes_cannot() -> None:
    fixed = model(["a", "b", "c"])
    with pytest.raises(UserError, match="gamma"):
        fixed.detect(PIXELS, gamma=0.5)
    with pytest.raises(UserError, match="no region embeddings"):
        fixed.embed(PIXELS)
    with pytest.raises(UserError, match="no text embeddings"):
        fixed.embed_text(["a"])
