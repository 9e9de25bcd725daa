"""Files of numpy arrays: written with one error where the disk fails, read through a mapping."""

from __future__ import annotations

import mmap
import os
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


_ALIGNMENT = 64
"""Bytes, at multiples of which arrays begin: so they can be used where they lie."""
_LOCAL_HEADER = 30
_PADDING = 0xD935
"""What Android's zipalign calls an extra field that only makes room."""


def save_arrays(target: Path | IO[bytes], arrays: Mapping[str, np.ndarray]) -> None:
    """Write what `np.load` reads and `map_arrays` maps; names may hold any character, also "/".

    The same arrays give the same bytes. Where the disk is full, `np.savez` leaves an open archive
    behind, which complains once more when it is collected.

    Raises:
        OSError: it cannot be written.
    """
    import numpy as np

    with zipfile.ZipFile(target, "w") as archive:
        for name, array in arrays.items():
            info = zipfile.ZipInfo(f"{name}.npy")
            info.extra = _room(archive.start_dir, info)
            with archive.open(info, "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)


def _room(start: int, info: zipfile.ZipInfo) -> bytes:
    """An extra field after which a member that begins at `start` has its content aligned."""
    sizes = struct.calcsize("<HHQQ")  # what zipfile adds for members of any length
    header, padding = struct.calcsize("<HH"), _LOCAL_HEADER + sizes + len(info.filename.encode())
    length = -(start + padding + header) % _ALIGNMENT
    return struct.pack("<HH", _PADDING, length) + bytes(length)


def map_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an uncompressed archive, which are read from the file where they are looked at.

    They cannot be written to. An archive of `np.savez`, whose arrays are not aligned, is read.

    Raises:
        OSError: it cannot be read.
        ValueError, zipfile.BadZipFile: it is no such archive.
    """
    import numpy as np

    arrays = {}
    with path.open("rb") as file, zipfile.ZipFile(file) as archive:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        for member in archive.infolist():
            if member.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"{member.filename} is compressed")
            lengths = struct.unpack_from("<HH", mapped, member.header_offset + _LOCAL_HEADER - 4)
            file.seek(member.header_offset + _LOCAL_HEADER + sum(lengths))
            version = np.lib.format.read_magic(file)
            read = {(1, 0): np.lib.format.read_array_header_1_0}
            shape, is_fortran, dtype = read.get(version, np.lib.format.read_array_header_2_0)(file)
            array = np.frombuffer(mapped, dtype, int(np.prod(shape)), file.tell())
            array = array.reshape(shape, order="F" if is_fortran else "C")
            arrays[member.filename.removesuffix(".npy")] = (
                array if array.flags.aligned else array.copy()
            )
    return arrays


def reserve_array(path: Path, dtype: type, shape: tuple[int, ...]) -> None:
    """Make a `.npy` file that is then mapped into memory and filled, with room for all of it.

    Without room, whoever fills it would be ended by SIGBUS.

    Raises:
        OSError: the disk is full.
    """
    import numpy as np

    np.lib.format.open_memmap(path, "w+", dtype, shape).flush()
    with path.open("r+b") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from error
