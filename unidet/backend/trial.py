"""Tests in a separate process whether Jittor starts on this machine's GPU and computes correctly.

Even if driver and toolkit are found they may be incompatible, and Jittor then ends the process
instead of raising. The result is kept beside the compile cache, so that later runs with the same
driver, GPUs and toolkit skip the test.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

from unidet.backend.files import write
from unidet.backend.gpu import Cuda, NoCuda
from unidet.backend.interpreter import python_command

_SECONDS = 1200  # enough to compile the core and the first kernels on a slow machine
_STOP = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
_TOLERANCE = 1e-4
_ERROR = re.compile(r"\b(fatal|error)\s*:|\bfatal\s+:|cannot open shared object", re.IGNORECASE)


def require_success(cuda: Cuda, home: Path, *, again: bool = False) -> None:
    """Tests CUDA, unless a result is recorded; `again` ignores the record.

    Raises:
        NoCuda: the trial fails or has failed before, was stopped (which is not recorded), or its
            result cannot be written.
    """
    record = home / "trial.json"
    try:
        problem = None if again else _recorded(record, cuda)
        if problem is None:
            home.mkdir(parents=True, exist_ok=True)
            print("trying the GPU, once per machine (one to three minutes)…", file=sys.stderr)
            problem = _try(home / "trial.log")
            write(record, json.dumps({"tried": repr(cuda), "problem": problem}))
    except OSError as error:
        raise NoCuda(
            f"{error.filename or home} cannot be written ({error.strerror}); the result of the GPU "
            "trial is kept there: set UNIDET_CACHE to a writable folder"
        ) from error
    if problem:
        raise NoCuda(
            f"Jittor does not work on {cuda.summary}: {problem}; {home / 'trial.log'} tells more, "
            "`unidet doctor` tries again"
        )


def _recorded(record: Path, cuda: Cuda) -> str | None:
    """The recorded problem with this CUDA, empty if there was none; None without a valid record."""
    try:
        kept = json.loads(record.read_bytes())
        return str(kept["problem"]) if kept["tried"] == repr(cuda) else None
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return None


def _try(log: Path) -> str:
    """What is wrong; empty if nothing is.

    Raises:
        NoCuda: the trial was stopped by a signal.
    """
    with log.open("wb") as output:
        command = python_command("from unidet.backend.trial import main; main()")
        try:
            status = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, timeout=_SECONDS
            ).returncode
        except subprocess.TimeoutExpired:
            return f"no answer within {_SECONDS} s"
    if -status in _STOP:  # Ctrl-C or a closed terminal stops it too: no fault of the GPU
        raise NoCuda("the trial of the GPU was stopped; the next command tries again")
    return "" if status == 0 else f"exit status {status}, {_reason(log)}"


def _reason(log: Path) -> str:
    """The first line with an error of a compiler or linker, else the last line."""
    lines = [
        line.strip()
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines()
        if line.strip()
    ]
    errors = [line for line in lines if _ERROR.search(line)]
    return [*errors[:1], *lines[-1:], "nothing printed"][0][:200]


def main() -> None:
    """Runs the trial; exits with 0 if every result is correct."""
    from unidet.backend.runtime import bring_up_untried

    bring_up_untried()
    wrong = {name: error for name, error in errors().items() if not error < _TOLERANCE}
    if wrong:
        sys.exit("wrong results: " + ", ".join(f"{name} by {e:.2g}" for name, e in wrong.items()))


def errors() -> dict[str, float]:
    """Name -> largest absolute error against numpy: convolution, its gradients, product, sort."""
    import jittor as jt
    import numpy as np

    generator = np.random.default_rng(0)
    image = generator.standard_normal((5, 5)).astype(np.float32)
    kernel = generator.standard_normal((3, 3)).astype(np.float32)
    matrix = generator.standard_normal((40, 30)).astype(np.float32)
    patches = np.lib.stride_tricks.sliding_window_view(image, (3, 3))
    spread = np.zeros((5, 5), np.float32)
    for row, column in np.ndindex(3, 3):
        spread[row : row + 3, column : column + 3] += kernel
    image_var, kernel_var = jt.array(image[None, None]), jt.array(kernel[None, None])
    convolved = jt.nn.conv2d(image_var, kernel_var)
    gradients = jt.grad(convolved.sum(), [image_var, kernel_var])
    pairs = {
        "convolution": (convolved[0, 0], np.einsum("ijkl,kl->ij", patches, kernel)),
        "its gradient in the image": (gradients[0][0, 0], spread),
        "its gradient in the kernel": (gradients[1][0, 0], patches.sum(axis=(0, 1))),
        "matrix product": (jt.matmul(jt.array(matrix), jt.array(matrix.T)), matrix @ matrix.T),
        "sort": (jt.argsort(jt.array(matrix[0]))[1], np.sort(matrix[0])),
    }
    return {
        name: float(np.abs(found.numpy() - wanted).max()) for name, (found, wanted) in pairs.items()
    }
