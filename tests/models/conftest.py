"""Tests here need Jittor, brought up as the command does it."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from unidet.runtime import bring_up

bring_up()


@pytest.fixture(scope="session")
def official_weights(reference: Path) -> Callable[[str], dict[str, np.ndarray]]:
    """Keys file -> the weights of the recordings under official names, without text embeddings."""
    folder = reference / "reference"
    spec = importlib.util.spec_from_file_location("rule", folder / "deterministic_weights.py")
    assert spec is not None
    assert spec.loader is not None
    rule = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(rule)

    def make(keys: str) -> dict[str, np.ndarray]:
        rows = [row.split("\t") for row in (folder / keys).read_text().splitlines()]
        return {
            name: rule.deterministic_value(name, tuple(ast.literal_eval(shape)))
            for name, shape, *_ in rows
            if not name.endswith(("num_batches_tracked", "zs_weights"))
        }

    return make
