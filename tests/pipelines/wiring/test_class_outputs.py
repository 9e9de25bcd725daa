"""Which outputs of a network come from the weights that it starts from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import networks
import numpy as np
import pytest

from unidet.backend.runtime import bring_up
from unidet.errors import UserError
from unidet.pipelines.proposers import detr, nanodet_plus, rtdetr
from unidet.pipelines.wiring.class_outputs import kept_outputs, with_own_classes
from unidet.pipelines.wiring.starting_weights import ClassOutputs, load_starting_weights
from unidet.vocabularies.vocabulary import shipped
from unidet.weights.layouts.registry import layout_named
from unidet.weights.write import metadata_of, write_safetensors

COCO = shipped("coco").names


def rows(
    names: Sequence[str | None], in_file: Sequence[str | None], count: int, further: bool = True
) -> list[float]:
    """The bias of outputs named `names` and of a side: 0 where new, from a file with the numbers
    1, 2, … for `count` outputs and 1000 for the side."""
    own = {"body": np.zeros(2), "out.bias": np.zeros(max(len(names), 1) + 1)}
    numbers = np.array([*range(1, count + 1), 1000.0])
    arrays = {"body": np.ones(2), "out.bias": numbers, "out": np.stack([numbers] * 2, axis=1)}
    own["out"] = np.zeros((len(own["out.bias"]), 2))
    outputs = ClassOutputs(("out*",), tuple(names))
    changed = with_own_classes(arrays, own, outputs, in_file, is_trained_further=further)
    assert changed["body"] is arrays["body"]
    assert changed["out"][:, 1].tolist() == changed["out.bias"].tolist()
    *classes, side = changed["out.bias"].tolist()
    assert side == 1000
    return classes


@pytest.mark.parametrize(
    ("names", "in_file", "expected", "said"),
    [
        (("cat", "dog"), ("cat", "dog"), [1, 2], ""),
        (("dog", "cat"), ("cat", "dog"), [2, 1], "weights for 2 classes: 2 outputs by name\n"),
        (("Dog", "traffic_light"), ("traffic light", "dog"), [2, 1], "2 outputs by name\n"),
        (("fish", "dog"), ("cat", "dog"), [0, 2], "1 output by name, 1 new\n"),
        (("fish", "bird"), ("cat", "dog"), [0, 0], "2 classes: 2 new\n"),
        (("dog",), ("cat", "dog", "owl"), [2], "weights for 3 classes: 1 output by name\n"),
        (("cat", "dog", "owl"), ("owl", "cat"), [2, 0, 1], "2 outputs by name, 1 new\n"),
        ((None, "dog"), (None, "dog"), [1, 2], ""),
        (("a", "b"), (), [1, 2], "without names for their outputs: taken by position, as 'a', 'b'"),
        (("a", "b", "c"), (), [0, 0, 0], "weights for 2 classes: 3 new\n"),
        (("a", "b"), ("only one",), [1, 2], "the weights name 1 class ('only one') and have 2 "),
        ((), (), [0], "weights for 2 classes: 1 new\n"),
    ],
)
def test_outputs_of_equal_names_are_taken_over(
    names: Sequence[str | None],
    in_file: Sequence[str | None],
    expected: list[float],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    count = len(in_file) if len(in_file) > 1 else 2
    assert rows(names, in_file, count) == expected
    error = capsys.readouterr().err
    assert said in error
    assert bool(said) == bool(error)


@pytest.mark.parametrize(
    ("names", "count", "in_file", "said"),
    [
        (("cat", "dog"), 80, (), "has outputs for 80 classes, those of your 2 names among them"),
        (("cat", "fox"), 80, (), "80 classes, 1 of your 2 names among them; new are 'fox'"),
        (("elk", "fox"), 80, (), "80 classes, 0 of your 2 names among them; new are 'elk', 'fox'"),
        (("elk",), 3, ("fox", "owl", "elk"), "3 classes, those of your 1 name among them"),
        (("elk", "fox"), 2, (), "2 classes and no names: taken by position, as 'elk', 'fox'"),
        (("elk",), 3, ("elk",), "3 classes, 0 of your 1 name among them; new are 'elk'"),
    ],
)
def test_what_is_said_of_weights_before_training(
    names: Sequence[str], count: int, in_file: Sequence[str], said: str
) -> None:
    assert kept_outputs(names, count, in_file).endswith(said)


def test_the_one_output_of_class_agnostic_weights_is_taken_over(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert rows((), (), 1) == [1]
    assert not capsys.readouterr().err


def test_eighty_outputs_without_names_are_coco_s(capsys: pytest.CaptureFixture[str]) -> None:
    backwards = COCO[::-1]
    assert rows(COCO, (), 80) == [*range(1, 81)]
    assert not capsys.readouterr().err
    assert rows(backwards, (), 80, further=False) == [*range(80, 0, -1)]
    assert rows(("wheel", COCO[4]), (), 80) == [0, 5]
    own = [f"part {number}" for number in range(80)]
    capsys.readouterr()
    for further in (True, False):
        assert rows(own, (), 80, further) == [*range(1, 81)]
        assert "taken by position, as 'part 0', 'part 1', 'part 2', …" in capsys.readouterr().err


def test_weights_that_are_not_trained_further_know_all_names() -> None:
    assert rows(("dog", "cat"), ("cat", "dog"), 2, further=False) == [2, 1]
    assert rows(("dog",), ("cat", "dog", "owl"), 3, further=False) == [2]
    with pytest.raises(UserError, match=r"^has outputs for 'cat', 'dog', none for 'owl'; train it"):
        rows(("dog", "owl"), ("cat", "dog"), 2, further=False)


@pytest.mark.parametrize(
    "own", [{"a": (3, 2), "b": (4,)}, {"a": (3, 3), "b": (3,)}, {"a": (2, 2, 1), "b": (2,)}]
)
def test_a_network_of_other_sizes_is_not_one_for_other_classes(own: dict[str, Any]) -> None:
    arrays = {"a": np.ones((2, 2)), "b": np.ones(2)}
    zeros = {name: np.zeros(shape) for name, shape in own.items()}
    outputs = ClassOutputs(("a", "b"), ("cat",))
    unchanged = with_own_classes(arrays, zeros, outputs, ("dog",), is_trained_further=True)
    assert unchanged == arrays


@pytest.mark.parametrize(
    ("kind", "layout", "behind"),
    [(nanodet_plus, "nanodet_plus_m", 10), (rtdetr, "rtdetr_r18vd", 9), (detr, "detr_r50", 2)],
)
def test_every_kind_says_which_arrays_have_a_row_for_each_class(
    kind: Any, layout: str, behind: int
) -> None:
    """Those whose length the layout leaves open, and nothing else but the number of queries."""
    official = layout_named(layout)
    open_length = {
        official.our_names[name]
        for name, shape in official.expected.items()
        if None in shape and "query" not in name
    }
    outputs = ClassOutputs(kind.KIND.class_arrays, ("cat",))
    own = {name: np.zeros(1) for name in official.our_names.values()}
    arrays = {name: np.ones(2) for name in own}
    changed = with_own_classes(arrays, own, outputs, ("a", "cat"), is_trained_further=True)
    assert {name for name, array in changed.items() if len(array) == 1} == open_length
    assert len(open_length) == behind


def test_a_network_of_a_study_carries_its_names(tmp_path: Path) -> None:
    bring_up("cpu")
    from unidet.models.nanodet_plus.detector import NanoDetPlus
    from unidet.weights.load import state_of

    trained = state_of(NanoDetPlus(networks.nanodet_plus(), classes=2, auxiliary=False))
    file = tmp_path / "model.safetensors"
    write_safetensors(file, trained, metadata_of(["dog", "cat"]))
    network = NanoDetPlus(networks.nanodet_plus(), classes=2, auxiliary=False)
    outputs = ClassOutputs(nanodet_plus.KIND.class_arrays, ("cat", "dog"))
    load_starting_weights(network, file, is_trained_further=False, outputs=outputs)
    name = "head.predict.0.weight"
    order = [1, 0, *range(2, len(trained[name]))]
    np.testing.assert_array_equal(state_of(network)[name], trained[name][order])
    other = ClassOutputs(outputs.arrays, ("cat", "owl"))
    with pytest.raises(UserError, match=r"model\.safetensors: has outputs for .* none for 'owl'"):
        load_starting_weights(network, file, is_trained_further=False, outputs=other)
