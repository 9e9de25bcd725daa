"""Convolutions by oneDNN rearrange their maps in Jittor's memory, and are those of this Jittor."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from unidet.backend import runtime
from unidet.backend.onednn_sources import NAMES, copy_convolutions


def test_no_memory_of_onednn_is_left_in_the_copies(tmp_path: Path) -> None:
    copies = copy_convolutions(runtime._jittor_folder(), tmp_path / "onednn")
    assert tuple(copies) == NAMES
    for copy in copies.values():
        text = copy.read_text()
        assert "_desc(), eng)" not in text
        assert text.count(" room(") >= 3


def test_another_jittor_is_refused(tmp_path: Path) -> None:
    place = "extern/mkl/ops"
    shutil.copytree(runtime._jittor_folder() / place, tmp_path / place)
    source = tmp_path / place / "mkl_conv_backward_x_op.cc"
    source.write_text(source.read_text().replace("stream s(eng)", "stream flow(eng)"))
    with pytest.raises(RuntimeError, match=r"mkl_conv_backward_x_op\.cc takes memory otherwise"):
        copy_convolutions(tmp_path, tmp_path / "onednn")


def test_kernels_are_made_of_the_copies() -> None:
    if runtime.bring_up("cpu").onednn is None:
        pytest.skip("no oneDNN here")
    import jittor as jt

    image = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    sums = jt.nn.conv2d(jt.array(image), jt.ones((1, 1, 3, 3)))
    assert sums.numpy().ravel().tolist() == [45, 54, 81, 90]
    kernels = Path(jt.flags.cache_path, "jit").glob("mkl_conv__*_op.cc")
    assert any("rooms.emplace_back" in kernel.read_text() for kernel in kernels)
