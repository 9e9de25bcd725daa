"""The lvis package runs where it would not by itself, and nothing stays patched."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable

import numpy as np
import pytest

from unidet.errors import UserError
from unidet.evaluation.lvis_package import lvis_package_metrics


def forget(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)


def test_numpy_is_left_as_it_was(make_world: Callable) -> None:
    assert "float" not in vars(np)
    metrics = lvis_package_metrics(*make_world(0).write())
    assert metrics["AP"] > 0
    assert "float" not in vars(np)


def test_opencv_that_cannot_be_loaded_is_no_obstacle(
    make_world: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = make_world(0).write()
    expected = lvis_package_metrics(*paths)
    forget(monkeypatch, "lvis")
    # None makes `import cv2` raise ModuleNotFoundError
    monkeypatch.setitem(sys.modules, "cv2", None)
    assert lvis_package_metrics(*paths) == expected
    assert sys.modules["cv2"] is None
    assert "lvis" not in sys.modules
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("lvis")


def test_a_missing_package_is_named(make_world: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    forget(monkeypatch, "lvis")
    monkeypatch.setitem(sys.modules, "lvis", None)
    with pytest.raises(UserError, match="pip install lvis"):
        lvis_package_metrics(*make_world(0).write())


@pytest.mark.parametrize(
    ("part", "field"),
    [
        ("categories", "frequency"),
        ("images", "neg_category_ids"),
        ("images", "not_exhaustive_category_ids"),
        ("annotations", "area"),
    ],
)
def test_a_field_that_the_package_needs_is_named(
    make_world: Callable, part: str, field: str
) -> None:
    truth, results = make_world(0).write()
    document = json.loads(truth.read_text())
    del document[part][0][field]
    truth.write_text(json.dumps(document))
    with pytest.raises(UserError, match=f"'{field}' is missing in 1 of its {part}"):
        lvis_package_metrics(truth, results)


def test_what_else_the_package_cannot_read_is_one_line(make_world: Callable) -> None:
    truth, results = make_world(0).write()
    document = json.loads(truth.read_text())
    document["categories"][0]["frequency"] = "often"
    truth.write_text(json.dumps(document))
    with pytest.raises(UserError, match=r"the lvis package cannot evaluate .*; leave out"):
        lvis_package_metrics(truth, results)
