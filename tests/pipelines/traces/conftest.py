"""Full-size networks with the recordings' weights, rebuilt from parameter names."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from commands import exit_status

from unidet.backend.runtime import bring_up

bring_up("cpu")

Run = Callable[..., int]


@pytest.fixture(scope="session")
def unidet() -> Run:
    """The command; gives its exit status."""
    return exit_status


@pytest.fixture(scope="session")
def official_weights(
    reference: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Path]:
    """`official_weights("keys_stage1.txt")`: the recordings' weights under official names."""
    folder = tmp_path_factory.mktemp("weights")

    def build(keys: str, **vocabularies: str) -> Path:
        embeddings = reference / "bench/clip_embeddings"
        named = [f"{name}={embeddings / file}" for name, file in vocabularies.items()]
        out = folder / f"{keys}.npz"
        rule = reference / "reference/deterministic_weights.py"
        command = [sys.executable, rule, reference / "reference" / keys, out, *named]
        subprocess.run(command, check=True, capture_output=True)
        return out

    return build


@pytest.fixture(scope="session")
def golden(reference: Path) -> Callable[[str], dict[str, np.ndarray]]:
    """`golden("stage1_cln")`: the recorded tensors."""

    def read(name: str) -> dict[str, np.ndarray]:
        with np.load(reference / f"reference/goldens/{name}.npz") as arrays:
            return dict(arrays)

    return read
