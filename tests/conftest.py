"""Every test sees a Jittor that was brought up as the command does it."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import yaml
from longest import LONGEST
from omegaconf import _utils as omegaconf_reading

from unidet.store import handed_out

TESTS = Path(__file__).resolve().parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest first, in the order of LONGEST; the others stay in theirs."""
    ranks = {TESTS / name: rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path, len(ranks)))


@pytest.fixture(autouse=True)
def _artefacts_of_this_test_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unexpected error is looked for in the artefacts that were used, not in other tests'."""
    monkeypatch.setattr(handed_out, "_actions", {})


@pytest.fixture(scope="session", autouse=True)
def _pages_parsed_once() -> Iterator[None]:
    """Hydra parses the same twenty pages for each of a thousand compositions, which is a third of
    their time: what a text says is kept."""
    loader = omegaconf_reading.get_yaml_loader()
    values: dict[str, Any] = {}

    class Remembering:
        def __init__(self, stream: Any) -> None:
            self.stream = stream

        def get_single_data(self) -> Any:
            if isinstance(self.stream, str):
                text = self.stream
            else:
                text = self.stream.read()
                self.stream.seek(0)  # an error names the file
            if text not in values:
                values[text] = yaml.load(self.stream, loader)
            return deepcopy(values[text])

        def dispose(self) -> None: ...

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(omegaconf_reading, "get_yaml_loader", lambda: Remembering)
        yield


@pytest.fixture(scope="session")
def reference() -> Path:
    """Folder of recorded reference tensors and real data; absent, the test is skipped."""
    default = Path(__file__).resolve().parents[1].parent / "shared"
    folder = Path(os.environ.get("UNIDET_REFERENCE", default))
    if not folder.is_dir():
        pytest.skip("no reference folder (set UNIDET_REFERENCE)")
    return folder


@pytest.fixture(scope="session")
def load_file() -> Callable[[Path], ModuleType]:
    """Runs a Python file that is no module of a package, and gives what it defines."""

    def load(path: Path) -> ModuleType:
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture(scope="session")
def recorded_weight(
    reference: Path, load_file: Callable[[Path], ModuleType]
) -> Callable[[str, tuple[int, ...]], np.ndarray]:
    """The value of an official RT-DETR or DETR parameter in the recordings, from its name."""
    return load_file(reference / "reference/detectors/deterministic_weights_detr.py").detr_value


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing says where home is, as in a container that runs as a number without a name."""

    def nobody(number: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {number}")

    for name in ("HOME", "XDG_CACHE_HOME", "UNIDET_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", nobody)


@pytest.fixture(scope="session")
def setting() -> Callable[[Any, str], Any]:
    """A value of a configuration by its dotted key; numbers count in a tuple."""

    def get(config: Any, key: str) -> Any:
        for part in key.split("."):
            config = config[int(part)] if part.isdigit() else getattr(config, part)
        return config

    return get
