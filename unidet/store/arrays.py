"""Writing and reading of numpy arrays: memory-mapped reading, validation, one error per failure."""

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
"""name -> (kinds of numpy types, e.g. "iu" or "f", and the shape; None is any length)."""
_ALIGNMENT = 64
"""Bytes. Arrays start at multiples of this, so that they can be used without a copy."""
_LOCAL_HEADER = 30
_PADDING = 0xD935
"""Type of a zip extra field that is only padding, as in Android's zipalign."""


def save_arrays(target: Path | IO[bytes], arrays: Mapping[str, np.ndarray]) -> None:
    """Write an .npz archive for `np.load` and `map_arrays`; names may contain any character.

    The same arrays give the same bytes. `np.savez` is not used: on a full disk it leaves an archive
    open, which raises a second error when it is garbage-collected.

    Raises:
        OSError: the file cannot be written.
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
    """Write a safetensors file with the permissions of a normal new file.

    The library creates files that only their owner may read, so that other users of a shared store
    could not verify them or resume from them.

    Raises:
        OSError, SafetensorError: the file cannot be written.
    """
    from safetensors.numpy import save_file

    path.touch()
    mode = stat.S_IMODE(path.stat().st_mode)
    save_file(dict(arrays), path, metadata=metadata)
    os.chmod(path, mode)


def _room(start: int, info: zipfile.ZipInfo) -> bytes:
    """An extra field that aligns the content of a zip member whose header begins at `start`."""
    sizes = struct.calcsize("<HHQQ")  # the zip64 field that zipfile adds
    header, padding = struct.calcsize("<HH"), _LOCAL_HEADER + sizes + len(info.filename.encode())
    length = -(start + padding + header) % _ALIGNMENT
    return struct.pack("<HH", _PADDING, length) + bytes(length)


def map_arrays(path: Path) -> dict[str, np.ndarray]:
    """Memory-map the arrays of an uncompressed .npz archive, read-only.

    Arrays that are not aligned, as `np.savez` writes them, are copied.

    Raises:
        OSError: the file cannot be read.
        ValueError, zipfile.BadZipFile: it is not such an archive.
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
    """Raise Malformed for a file of an artefact, with the reason `why`."""
    raise Malformed(
        f"{path}: not a valid file of its stage ({why}); unidet verify --repair restores it if the "
        "disk has altered it, unidet rm removes it if it comes from elsewhere"
    )


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Context for reading a file of an artefact: errors of readers become Malformed.

    Raises:
        OSError: the disk fails.
        Malformed: the content cannot be read.
    """
    try:
        yield
    except (OSError, UserError):
        raise
    except Exception as error:  # raised by zipfile, struct, tokenize, ast, pickle or numpy
        malformed(path, f"{type(error).__name__}: {error!s:.80}".replace("\n", " "))


def require_arrays(path: Path, arrays: Mapping[str, np.ndarray], kinds: Kinds) -> None:
    """Check names, types and shapes of an artefact's arrays; it may come from another store.

    Raises:
        Malformed: an array is missing, or its type or shape is wrong.
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
    """Load these arrays of an uncompressed archive, checked with `require_arrays`; no others."""
    with readable(path):
        arrays = map_arrays(path)
    require_arrays(path, arrays, kinds)
    return {name: arrays[name].copy() for name in kinds}


def load_array(
    path: Path, types: str, shape: tuple[int | None, ...], *, mapped: bool = False
) -> np.ndarray:
    """Load the array of a `.npy` file, memory-mapped if `mapped`, and check its type and shape.

    Raises:
        OSError: the file cannot be read.
        Malformed: it is not such a file, or its type or shape is wrong.
    """
    import numpy as np

    with readable(path), np.errstate(over="ignore"):  # it refuses such a size, but warns too
        array = np.load(path, mmap_mode="r" if mapped else None)
        if not isinstance(array, np.ndarray):  # of a zip archive
            raise ValueError("an archive of arrays")
    require_arrays(path, {"array": array}, {"array": (types, shape)})
    return array


def reserve_array(path: Path, dtype: type, shape: tuple[int, ...]) -> None:
    """Create a `.npy` file of full size, to be memory-mapped and filled.

    All blocks are allocated now: on a full disk, a process that writes to the mapping would be
    killed by SIGBUS.

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
