"""Jittor's core compiles with the CUDA toolkit at hand, whether or not there is a GPU to run it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from unidet.backend import gpu
from unidet.backend.gpu import NoCuda

pytestmark = pytest.mark.slow
SCRIPT = """
from unidet.backend import gpu, runtime
here = gpu.Cuda(gpu.Driver((99, 0), (gpu.Gpu("any", 90),)), gpu.find_toolkit())
runtime.find_cuda = lambda: here
runtime.bring_up_untried()
"""


def test_the_core(tmp_path: Path) -> None:
    """Without a driver the process ends when the core, built and loaded, asks for a stream."""
    try:
        gpu.find_toolkit()
    except NoCuda as missing:
        pytest.skip(str(missing))
    environment = os.environ | {"UNIDET_CACHE": str(tmp_path)}
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    cores = list(tmp_path.glob("**/cu*/jittor_core*.so"))
    assert len(cores) == 1, done.stderr[-3000:]
