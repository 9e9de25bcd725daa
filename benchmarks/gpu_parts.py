"""The parts of benchmarks/gpu.py: commands with time limits."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

HERE = Path(__file__).absolute().parent
PEERS = HERE.parent / ".venv-peers" / "bin" / "python"
TINY_STUDY = (
    *("data.train_scenes=8", "data.val_scenes=5", "data.dev_scenes=4", "data.clip_scenes=12"),
    *("data.clip_test_scenes=4", "clip.training.steps=3", "clip.training.batch_size=8"),
    *("rpn.training.steps=3", "rpn.training.batch_size=2", "roi.training.steps=3"),
    *("roi.training.batch_size=2", "calibration_sweep.betas=[0.4]"),
    "calibration_sweep.gammas=[0.0,0.6]",
)


class Part(NamedTuple):
    """A command; `limit` is in seconds, `variables` are added to the environment."""

    name: str
    limit: float
    command: tuple[str, ...]
    variables: Mapping[str, str] = MappingProxyType({})


class Parts(NamedTuple):
    """All parts in the order of their importance."""

    first: Sequence[Part]
    references: Sequence[Part]  # the CPU's results, for comparison
    parity: Sequence[Part]
    timed: Sequence[Part]  # run while nothing else does
    last: Sequence[Part]


def parts(folder: Path, device: str, quick: bool, torch: str) -> Parts:
    """All parts; `torch` is the Python interpreter with PyTorch."""
    own, flags = sys.executable, ("--quick",) if quick else ()

    def networks(stage: str) -> Part:
        target = str(folder / f"{stage}.npz")
        command = (own, str(HERE / "networks.py"), device, stage, target, *flags)
        return Part(stage, 150, command)

    def speed(precision: str, limit: float, program: str = "speed") -> Part:
        name = f"{program}-{precision}"
        python = torch if program == "twin" else own
        target = str(folder / f"{name}.json")
        command = (python, str(HERE / f"{program}.py"), device, target, precision, *flags)
        tf32 = {"NVIDIA_TF32_OVERRIDE": "1"} if precision == "tf32" else {}
        return Part(name, limit, command, tf32)

    def study(precision: str, limit: float) -> Part:
        name = f"study-{precision}"
        changes = [f"runtime.device={device}", f"runtime.precision={precision}"]
        changes += [f"store.root={folder / name}", *(TINY_STUDY if quick else ())]
        return Part(name, limit, (own, "-m", "unidet", *changes))

    cases = (own, str(HERE / "cases.py"), device, str(folder / "cases.npz"))
    return Parts(
        first=[Part("doctor", 240, (own, "-m", "unidet", "doctor"))],
        references=references(folder, quick),
        parity=[Part("cases", 150, cases), networks("first"), networks("second")],
        timed=[
            speed("float32", 150),
            speed("float32", 60, "twin"),
            speed("bfloat16", 120),
            speed("bfloat16", 60, "twin"),
        ],
        last=[
            study("float32", 400),
            speed("tf32", 90),
            speed("tf32", 60, "twin"),
            speed("float16", 90),
            speed("float16", 60, "twin"),
            study("bfloat16", 300),
        ],
    )


def references(folder: Path, quick: bool) -> list[Part]:
    """Reference results of the CPU, computed on half of its cores; they need no GPU."""
    own, flags = sys.executable, ("--quick",) if quick else ()
    cases = (own, str(HERE / "cases.py"), "cpu", str(folder / "cases-cpu.npz"))
    networks = [
        (own, str(HERE / "networks.py"), "cpu", stage, str(folder / f"{stage}-cpu.npz"), *flags)
        for stage in ("first", "second")
    ]
    commands = (cases, *networks)
    threads = {"OMP_NUM_THREADS": str(max(1, len(os.sched_getaffinity(0)) // 2))}
    return [
        Part(f"{name}-cpu", 500, command, threads)
        for name, command in zip(("cases", "first", "second"), commands, strict=True)
    ]


def torch_python() -> str:
    """The Python interpreter with PyTorch: this one, or that of `make setup-peers`."""
    return sys.executable if find_spec("torch") or not PEERS.exists() else str(PEERS)
