"""Files of numpy arrays: written with one error where the disk fails, read through a mapping."""

from __future__ import annotations

import mmap
import os
import stat
import struct
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, NoReturn

from unidet.errors import Malformed, UserError

if TYPE_CHECKING:
    import numpy as np

Kinds = Mapping[str, tuple[str, tuple[int | None, ...]]]
"""name -> kinds of numpy types ("iu", "f") and lengths; None is any length."""
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


def save_tensors(
    path: Path, arrays: Mapping[str, np.ndarray], metadata: dict[str, str] | None = None
) -> None:
    """Write safetensors, to be read by whoever may read a new file: of itself the library writes
    for its user alone, whom others of a group can then neither check nor resume.

    Raises:
        OSError, SafetensorError: it cannot be written.
    """
    from safetensors.numpy import save_file

    path.touch()
    mode = stat.S_IMODE(path.stat().st_mode)
    save_file(dict(arrays), path, metadata=metadata)
    os.chmod(path, mode)


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


def malformed(path: Path, why: str) -> NoReturn:
    """Refuse a file of an artefact.

    Raises:
        Malformed: always.
    """
    raise Malformed(
        f"{path}: not what its stage writes ({why}); unidet verify --repair brings back what the "
        "disk has altered, unidet rm removes what came from elsewhere"
    )


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Context for reading a file of an artefact: any error of a reader becomes Malformed.

    Raises:
        OSError: the disk fails.
        Malformed: it cannot be read.
    """
    try:
        yield
    except (OSError, UserError):
        raise
    except Exception as error:  # of zipfile, struct, tokenize, ast, pickle and numpy
        malformed(path, f"{type(error).__name__}: {error!s:.80}".replace("\n", " "))


def require_arrays(path: Path, arrays: Mapping[str, np.ndarray], kinds: Kinds) -> None:
    """Check the names, types and shapes of an artefact's arrays, which may come from elsewhere.

    Raises:
        Malformed: one is missing, or of another type or shape.
    """
    for name, (types, lengths) in kinds.items():
        if name not in arrays:
            malformed(path, f"there is no array {name}")
        array = arrays[name]
        fits = len(lengths) == array.ndim and all(
            wanted in (None, length) for wanted, length in zip(lengths, array.shape, strict=True)
        )
        if not fits or array.dtype.kind not in types:
            malformed(path, f"{name} is {array.dtype} of shape {array.shape}")


def load_arrays(path: Path, kinds: Kinds) -> dict[str, np.ndarray]:
    """The arrays of an archive, checked as `require_arrays` does."""
    import numpy as np

    with readable(path), np.load(path) as archive:
        arrays = dict(archive)
    require_arrays(path, arrays, kinds)
    return arrays


def load_array(
    path: Path, types: str, shape: tuple[int | None, ...], *, mapped: bool = False
) -> np.ndarray:
    """The array of a `.npy` file, checked as `require_arrays` does; or read where it is looked at.

    Raises:
        OSError: it cannot be read.
        Malformed: it is none, or of another type or shape.
    """
    import numpy as np

    with readable(path):
        array = np.load(path, mmap_mode="r" if mapped else None)
    require_arrays(path, {"array": array}, {"array": (types, shape)})
    return array


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
