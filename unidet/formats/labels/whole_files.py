"""Files of labels that are read at once, or of which the beginning is."""

from __future__ import annotations

from pathlib import Path

from unidet.errors import require_end

MOST_BYTES = 1 << 30
"""More than any file of labels that is not read in parts; it is held in memory several times."""


def head_of(file: Path, count: int) -> bytes:
    """The first bytes of a file; raises as `bytes_in`."""
    require_end(file)
    with file.open("rb") as stream:
        return stream.read(count)


def bytes_in(file: Path) -> bytes:
    """Content of a file.

    Raises:
        OSError: it cannot be read, is a pipe or a device, which may have no end, or is too large.
    """
    require_end(file)
    with file.open("rb") as stream:
        content = stream.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise OSError(0, f"more than {MOST_BYTES} bytes", str(file))
    return content
