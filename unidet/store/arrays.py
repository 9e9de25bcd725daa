"""Files of numpy arrays that fail with one error where the disk does."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import numpy as np


def save_arrays(target: Path | IO[bytes], arrays: Mapping[str, np.ndarray]) -> None:
    """Write what `np.savez` writes, byte for byte; names may hold any character, also "/".

    Where the disk is full, numpy's own function leaves an open archive behind, which complains once
    more when it is collected.

    Raises:
        OSError: it cannot be written.
    """
    with zipfile.ZipFile(target, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)


def reserve_array(path: Path, dtype: type, shape: tuple[int, ...]) -> None:
    """Make a `.npy` file that is then mapped into memory and filled, with room for all of it.

    Without room, whoever fills it would be ended by SIGBUS.

    Raises:
        OSError: the disk is full.
    """
    np.lib.format.open_memmap(path, "w+", dtype, shape).flush()
    with path.open("r+b") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from error
