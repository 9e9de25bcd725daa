"""A server on the loopback, and no waiting between attempts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from loopback import Served, serving

from unidet.download import fetch


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setattr(fetch, "_PAUSE", 0)
    with serving() as server:
        yield server
