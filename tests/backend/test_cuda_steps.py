"""Jittor's core and every kernel of all networks' steps go through nvcc, without a GPU.

The core is compiled as on a machine with one (four minutes of a core). The steps then run on
stand-ins for CUDA's libraries (cuda_steps.py), which leaves the kernels' sources; nvcc compiles
them to machine code for three generations of GPUs.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from unidet.backend import gpu
from unidet.backend.gpu import NoCuda
from unidet.backend.toolkits import Toolkit

pytestmark = pytest.mark.slow
TESTS = Path(__file__).parents[1]
GENERATIONS = (80, 90, 100)
AT_ONCE = 70  # kernels in one file: nearly all of nvcc's time goes into the same headers
READS = {
    "clip": 0,
    "rpn": 6,
    "roi": 1,
    "proposals": 6,
    "lvis_raw": 3,
    "clip, bfloat16": 0,
    "rpn, bfloat16": 6,
    "roi, bfloat16": 1,
    "clip, float16": 1,
    "rpn, float16": 7,
    "roi, float16": 2,
    "end2end": 4,
    "end2end regions": 5,
    "finetune": 2,
    "plain_rpn": 3,
    "plain_rpn proposals": 4,
    "nanodet_plus": 4,
    "nanodet_plus proposals": 6,
    "rtdetr": 19,
    "rtdetr proposals": 3,
    "detr": 12,
    "detr proposals": 2,
}
"""Copies to the host: those of training/test_host_copies.py, but for what is read a second time;
networks that compute nothing leave out the regions of none of their proposals."""


@pytest.fixture(scope="module")
def toolkit() -> Toolkit:
    try:
        return gpu.find_toolkit()
    except NoCuda as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def folder(toolkit: Toolkit, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What cuda_steps.py has left."""
    folder = tmp_path_factory.mktemp("cuda")
    paths = os.pathsep.join([str(TESTS), str(TESTS / "backend")])
    environment = os.environ | {"UNIDET_CACHE": str(folder / "cache"), "PYTHONPATH": paths}
    command = [sys.executable, str(TESTS / "backend" / "cuda_steps.py"), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def test_no_operation_runs_on_the_host(folder: Path) -> None:
    on_host = [
        file.name
        for file in sorted((folder / "sources").glob("*_op.cc"))
        if "#define JIT_cpu" in file.read_text()
    ]
    assert on_host == []


def test_nothing_is_copied_to_the_host_but_what_is_read(folder: Path) -> None:
    assert json.loads((folder / "copies.json").read_text()) == READS


def test_every_kernel_compiles(folder: Path, toolkit: Toolkit) -> None:
    sources = sorted((folder / "sources").glob("*_op.cc"))
    assert len(sources) > 600
    targets = [f"-gencode=arch=compute_{target},code=sm_{target}" for target in GENERATIONS]
    flags = re.sub(r"-gencode=\S+|-shared|-[lL]\S+", "", (folder / "flags.txt").read_text())
    (nvcc,) = folder.glob("cache/*/cuda/bin/nvcc")
    # What shares a variable with the library that it calls is left in Jittor's own namespace, and
    # cuRAND's header in its place, before what looks whether it is there.
    alone = [source for source in sources if re.search("extern |curand", source.read_text())]
    many = [source for source in sources if source not in alone]
    texts = [source.read_text() for source in alone]
    texts += [one_file(many[first : first + AT_ONCE]) for first in range(0, len(many), AT_ONCE)]
    for number, text in enumerate(texts):
        together = folder / f"kernels-{number}.cc"
        together.write_text(text)
        command = f'"{nvcc}" "{together}" {flags} {includes()} -Dfinal= {" ".join(targets)}'
        command += f' -c -o "{together}.o"'
        done = subprocess.run(command, shell=True, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[:3000]


def includes() -> str:
    """Where Jittor's operations by NVIDIA's libraries have their headers."""
    from unidet.backend.runtime import _jittor_folder

    extern = _jittor_folder() / "extern" / "cuda"
    places = [
        extern / name / kind for name in ("cudnn", "cublas", "curand") for kind in ("inc", "ops")
    ]
    return " ".join(f'-I"{place}"' for place in places)


def one_file(sources: list[Path]) -> str:
    """Kernels side by side: each in a namespace of its own, its macros taken back, and its body a
    function of a class of its own, so that none sees another."""
    headers, parts = [], []
    for number, source in enumerate(sources):
        text = source.read_text()
        headers += re.findall(r"^\s*#include\s+\S+", text, flags=re.MULTILINE)
        text = re.sub(r"^\s*#include\s+\S+|^#define JIT\w* 1$", "", text, flags=re.MULTILINE)
        text = text.replace("using namespace jittor;", "")
        text = re.sub(r"\bnamespace jittor\b", "namespace body", text)
        text = re.sub(
            r"void (?:jittor::)?(\w+Op)::jit_run\(\)",
            rf"struct K{number} : ::jittor::\1 {{ void jit_run(); }}; void K{number}::jit_run()",
            text,
        )
        macros = sorted(set(re.findall(r"^\s*#define\s+(\w+)", text, flags=re.MULTILINE)))
        undone = "\n".join(f"#undef {macro}" for macro in macros)
        parts.append(f"// {source.name}\nnamespace k{number} {{\n{text}\n}}\n{undone}\n")
    first = ["#define JIT 1", "#define JIT_cuda 1", *dict.fromkeys(map(str.strip, headers))]
    return "\n".join([*first, "using namespace jittor;", *parts])
