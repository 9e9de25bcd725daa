"""A training run's whole state in one file, replaced atomically; the one before it is kept.

A checkpoint holds its own checksum, the name of its folder, which is the run's key, and the log as
it was at its step, so that the two cannot part.
"""

from __future__ import annotations

import hashlib
import math
from contextlib import suppress
from pathlib import Path

import jittor as jt
import numpy as np
from jittor import nn
from safetensors import SafetensorError
from safetensors.numpy import load

from unidet.console.terminal import say
from unidet.errors import UserError
from unidet.store.arrays import save_tensors
from unidet.store.disk import MOST_BYTES, read_plain, remove, sync, unreadable_is_damaged
from unidet.training import log, ranks
from unidet.training.ema import WeightEMA
from unidet.training.optimizer import Optimizer

FILE = "checkpoint.safetensors"
PREVIOUS = "previous.safetensors"
CHECKSUM = "checksum"
RUN = "run"
_MOST_BYTES_A_NUMBER = 64  # of the network: the number itself, its average and its moments


def save_checkpoint(
    folder: Path,
    step: int,
    model: nn.Module,
    optimizer: Optimizer,
    ema: WeightEMA | None,
    rows: bytes | bytearray,
) -> None:
    """Write a checkpoint with the log's rows; the previous one is kept beside it.

    Raises:
        UserError: the disk is full or fails; the old file is as it was.
    """
    arrays = {f"model/{name}": var.numpy() for name, var in model.state_dict().items()}
    arrays |= {f"optimizer/{name}": array for name, array in optimizer.state().items()}
    if ema:
        arrays |= {f"ema/{name}": array for name, array in ema.state().items()}
    arrays["step"] = np.array([step], np.int64)
    arrays[RUN] = _run_of(folder)
    arrays["log"] = np.frombuffer(bytes(rows), np.uint8)
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    arrays[CHECKSUM] = _checksum(arrays)
    draft = folder / f"{FILE}.draft"
    try:
        save_tensors(draft, arrays)
        sync(draft)
        if (folder / PREVIOUS).is_dir():  # which no file replaces
            _set_aside(folder / PREVIOUS)
        with suppress(FileNotFoundError):
            (folder / FILE).replace(folder / PREVIOUS)
        draft.replace(folder / FILE)
        sync(folder)
    except (SafetensorError, OSError) as error:
        kept = (folder / FILE).exists() or (folder / PREVIOUS).exists()
        then = "resumes from the one before" if kept else "starts again, as there is none before it"
        text = f"the checkpoint cannot be written; the same command {then}"
        raise UserError(f"{folder / FILE}: {text} ({error})") from error
    finally:
        draft.unlink(missing_ok=True)


def load_checkpoint(
    folder: Path, model: nn.Module, optimizer: Optimizer, ema: WeightEMA | None
) -> int:
    """Restore the newest usable state in `folder`, and the log as it was then.

    Damaged files are set aside and named in one line.

    Returns:
        The number of finished steps, 0 if there is no usable checkpoint.
    """
    state = model.state_dict()
    most = MOST_BYTES + _MOST_BYTES_A_NUMBER * sum(math.prod(var.shape) for var in state.values())
    arrays = _usable(folder / FILE, most) or _usable(folder / PREVIOUS, most)
    if arrays is None:
        return 0
    for name, var in state.items():
        var.update(_like(var, arrays[f"model/{name}"]))
    optimizer.load(_below(arrays, "optimizer/"))
    if ema:
        ema.load(_below(arrays, "ema/"))
    # Now, for a value that is still a pending array is compiled into the kernels that read it:
    # others than the uninterrupted run's, and Jittor's compiler fails on one-element arrays.
    jt.sync_all()
    if ranks.rank() == 0:
        log.restore(folder, arrays["log"].tobytes())
    return int(arrays["step"][0])


def _usable(path: Path, most: int) -> dict[str, np.ndarray] | None:
    """The content of a checkpoint of at most so many bytes; None if it is missing, damaged or of
    another run."""
    try:
        with unreadable_is_damaged():
            arrays = load(read_plain(path, most))  # of a mapped file, that would end the process
        if not np.array_equal(arrays.pop(CHECKSUM), _checksum(arrays)):
            raise ValueError("its checksum does not match")
        if not np.array_equal(arrays.pop(RUN), _run_of(path.parent)):
            raise ValueError("it is of another run")
    except FileNotFoundError:
        return None
    except (SafetensorError, ValueError, KeyError) as error:
        aside = _set_aside(path)
        if ranks.rank() == 0:
            before = path.name == FILE and (path.parent / PREVIOUS).exists()
            then = "continuing from the one before" if before else "starting again"
            say(f"  {aside}: a damaged checkpoint ({error}); {then}")
        return None
    return arrays


def _set_aside(path: Path) -> Path:
    """Move what stands in place of a checkpoint out of the way; returns where it is."""
    aside = path.with_name(f"{path.name}.damaged")
    with suppress(FileNotFoundError):  # another process of this run was first
        if aside.is_dir() or path.is_dir():
            remove(aside)
        path.replace(aside)
    return aside


def _run_of(folder: Path) -> np.ndarray:
    return np.frombuffer(folder.name.encode(), np.uint8)


def _checksum(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """(32,) SHA-256 over names, types, shapes and values, in order of name."""
    hasher = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        hasher.update(f"{name}\0{array.dtype.str}\0{array.shape}\0".encode())
        hasher.update(array.reshape(-1).view(np.uint8).data)
    return np.frombuffer(hasher.digest(), np.uint8)


def _like(var: jt.Var, array: np.ndarray) -> jt.Var:
    fresh = jt.array(array)
    return fresh.stop_grad() if var.is_stop_grad() else fresh


def _below(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name[len(prefix) :]: array for name, array in arrays.items() if name.startswith(prefix)}
