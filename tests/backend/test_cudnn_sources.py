"""The copies of Jittor's convolutions add up in float32, and are those of this Jittor."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from unidet.backend.cudnn_sources import NAMES, copy_convolutions


def test_sums_are_float32_whatever_goes_in(jittor: Path, tmp_path: Path) -> None:
    copies = copy_convolutions(jittor, tmp_path / "cudnn")
    assert [copy.name for copy in copies] == [
        f"{name}_op.{kind}" for name in NAMES for kind in ("cc", "h")
    ]
    for copy in copies[::2]:
        text = copy.read_text()
        assert "CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT" in text
        assert 'jk.clear();\n    jk << "@Tx,@Tw,@Ty,";' in text


def test_another_jittor_is_refused(jittor: Path, tmp_path: Path) -> None:
    place = "extern/cuda/cudnn/ops"
    shutil.copytree(jittor / place, tmp_path / place)
    source = tmp_path / place / "cudnn_conv_op.cc"
    source.write_text(source.read_text().replace("jk.clear();", ""))
    with pytest.raises(RuntimeError, match=r"cudnn_conv_op\.cc has not one .*jk\.clear"):
        copy_convolutions(tmp_path, tmp_path / "cudnn")
