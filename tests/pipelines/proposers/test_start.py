"""What stage `rpn` starts from."""

from __future__ import annotations

from pathlib import Path

import pytest

from unidet.config.compose import compose
from unidet.errors import UserError
from unidet.pipelines.proposers import start


def test_both_files_of_an_ncnn_network_enter_the_key(tmp_path: Path) -> None:
    overrides = ["rpn.weights=net.param", f"data.root={tmp_path}"]
    with pytest.raises(UserError, match=r"rpn.weights: .*net.param is not there"):
        start.files(compose(overrides), "")
    (tmp_path / "net.param").touch()
    with pytest.raises(UserError, match=r"rpn.weights: .*net.bin is not there"):
        start.files(compose(overrides), "")
    (tmp_path / "net.bin").touch()
    assert set(start.files(compose(overrides), "")) == {"weights", "weights.bin"}
